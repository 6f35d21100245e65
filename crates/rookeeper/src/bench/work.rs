//! The kinds of load: which request comes next.

use std::sync::Arc;

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

/// The znodes that requests go to.
#[derive(Debug, Clone)]
pub(super) enum Keys {
    /// Each by its path.
    Listed(Arc<[String]>),
    /// This many that `bench fill` made. Their paths are computed: a list of millions would measure the generator's memory.
    Filled(usize),
}

impl Keys {
    fn len(&self) -> usize {
        match self {
            Self::Listed(paths) => paths.len(),
            Self::Filled(znodes) => *znodes,
        }
    }

    /// The path of number `at`; `scratch` holds it if it is computed.
    fn path<'a>(&'a self, at: usize, scratch: &'a mut String) -> &'a str {
        match self {
            Self::Listed(paths) => paths.get(at).map_or(ROOT, String::as_str),
            Self::Filled(znodes) => {
                filled_path(at, *znodes, scratch);
                scratch
            }
        }
    }
}

/// Parents of a filled tree.
pub(super) const FILLED_PARENTS: usize = 1000;
/// What is filled.
pub(super) const FILLED_ROOM: &str = "fill";

/// Writes the path of znode `at` among `znodes`: a 20-character name below one of [`FILLED_PARENTS`].
pub(super) fn filled_path(at: usize, znodes: usize, path: &mut String) {
    path.clear();
    for part in [ROOT, "/", FILLED_ROOM, "/p"] {
        path.push_str(part);
    }
    push_digits(path, at % FILLED_PARENTS.min(znodes), 3);
    path.push_str("/name-");
    push_digits(path, at, 15);
}

/// Decimal digits with leading zeros: four times as fast as `format!`, in a loop that is measured.
fn push_digits(out: &mut String, number: usize, digits: u32) {
    let mut divisor = 10_usize.pow(digits - 1);
    while divisor > 0 {
        let digit = u32::try_from(number / divisor % 10).unwrap_or_default();
        out.extend(char::from_digit(digit, 10));
        divisor /= 10;
    }
}

/// Makes the requests of one connection.
#[derive(Debug)]
pub(super) struct Generator {
    work: Work,
    reads: u32,
    keys: Keys,
    scratch: String,
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
        keys: Keys,
        data: Vec<u8>,
        (run, number): (&str, usize),
    ) -> Self {
        let random = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(number as u64 + 1);
        let own = format!("{ROOT}/new/{run}-{number}-");
        Self {
            work,
            reads,
            keys,
            scratch: String::new(),
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
        self.count += 1;
        let Self {
            keys,
            data,
            scratch,
            ..
        } = self;
        let key = keys.path(at, scratch);
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
                let path_of = |n| {
                    let mut path = String::new();
                    keys.path((at + n) % keys.len(), &mut path).to_owned()
                };
                wire::multi_set(out, xid, (0..MULTI_OPS).map(path_of), data);
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
