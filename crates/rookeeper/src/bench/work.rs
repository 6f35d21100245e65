//! The kinds of load: which request comes next.

use clap::ValueEnum;
use rookeeper_proto::code::OpCode;

use super::wire;

/// Root of everything a bench creates.
pub(super) const ROOT: &str = "/rookeeper-bench";
/// Operations of one multi.
const MULTI_OPS: usize = 10;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Work {
    /// getData.
    Get,
    /// exists.
    Exists,
    /// getChildren of one znode with `--keys` children.
    Children,
    /// setData.
    Set,
    /// create, ever new znodes.
    Create,
    /// create, then delete.
    CreateDelete,
    /// getData and setData by `--reads` percent.
    Mixed,
    /// multi of ten setData.
    Multi,
}

/// Makes the requests of one connection.
#[derive(Debug)]
pub(super) struct Generator {
    work: Work,
    reads: u32,
    keys: Vec<String>,
    data: Vec<u8>,
    own: String,
    random: u64,
    count: u64,
}

impl Generator {
    /// The generator of connection `number` in a run whose name no other run has.
    pub(super) fn new(
        work: Work,
        reads: u32,
        keys: Vec<String>,
        data: Vec<u8>,
        (run, number): (&str, usize),
    ) -> Self {
        let random = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(number as u64 + 1);
        let own = format!("{ROOT}/new/{run}-{number}-");
        Self {
            work,
            reads,
            keys,
            data,
            own,
            random,
            count: 0,
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random % bound.max(1) as u64).unwrap_or_default()
    }

    fn key(&mut self) -> usize {
        let count = self.keys.len();
        self.below(count)
    }

    /// Appends the next request.
    pub(super) fn next(&mut self, xid: i32, out: &mut Vec<u8>) {
        let at = self.key();
        let is_read = self.below(100) < self.reads as usize;
        let Self { keys, data, .. } = self;
        let Some(key) = keys.get(at) else { return };
        self.count += 1;
        match self.work {
            Work::Get => wire::read(out, xid, OpCode::GetData, key, false),
            Work::Exists => wire::read(out, xid, OpCode::Exists, key, false),
            Work::Children => {
                wire::read(
                    out,
                    xid,
                    OpCode::GetChildren,
                    &format!("{ROOT}/keys"),
                    false,
                );
            }
            Work::Set => wire::set(out, xid, key, data),
            Work::Mixed if is_read => wire::read(out, xid, OpCode::GetData, key, false),
            Work::Mixed => wire::set(out, xid, key, data),
            Work::Multi => {
                let paths = keys.iter().cycle().skip(at).take(MULTI_OPS);
                wire::multi_set(out, xid, paths, data);
            }
            Work::Create => wire::create(out, xid, &format!("{}{}", self.own, self.count), data, 0),
            Work::CreateDelete => {
                let path = format!("{}{}", self.own, self.count.div_ceil(2));
                if self.count % 2 == 1 {
                    wire::create(out, xid, &path, data, 0);
                } else {
                    wire::delete(out, xid, &path);
                }
            }
        }
    }
}
