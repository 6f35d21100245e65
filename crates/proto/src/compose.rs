//! What a client writes: whole frames of its requests, ready for a socket but for the xid, which is filled in when they leave.
//!
//! The counterpart of [`crate::request`], which reads them. Layouts: client protocol 2.3 and 2.4.

use crate::acl::{self, Acl};
use crate::code::{AddWatchMode, CreateMode, OpCode, WatcherType};
use crate::ids::{Xid, Zxid};
use crate::jute::Writer;
use crate::multi::MultiHeader;
use crate::response;

/// The scheme field of an auth request is preceded by a type that nobody reads.
const AUTH_TYPE: i32 = 0;
/// Where the xid is: behind the length.
const XID: std::ops::Range<usize> = 4..8;

/// A frame of operation `op` with what `body` writes; the xid is 0 until [`set_xid`].
pub fn frame(op: OpCode, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    response::frame(&mut out, |out| {
        out.put_i32(0);
        out.put_i32(op.code());
        body(out);
    });
    out
}

/// Fills the xid of a frame in.
pub fn set_xid(frame: &mut [u8], xid: Xid) {
    if let Some(field) = frame.get_mut(XID) {
        field.copy_from_slice(&xid.0.to_be_bytes());
    }
}

/// A frame without a body: ping, whoAmI, closeSession.
#[must_use]
pub fn bare(op: OpCode) -> Vec<u8> {
    frame(op, |_| {})
}

/// What is created.
#[derive(Debug, Clone, Copy)]
pub struct NewZnode<'a> {
    /// Without the number of a sequential one.
    pub path: &'a str,
    /// Null and empty differ.
    pub data: Option<&'a [u8]>,
    /// Who may do what.
    pub acl: &'a [Acl],
    /// Its kind.
    pub mode: CreateMode,
    /// ms; used for TTL modes only.
    pub ttl_ms: i64,
}

impl NewZnode<'_> {
    /// The operation that creates such a znode and answers with its stat.
    #[must_use]
    pub const fn op(&self) -> OpCode {
        match self.mode {
            CreateMode::Container => OpCode::CreateContainer,
            CreateMode::PersistentWithTtl | CreateMode::PersistentSequentialWithTtl => {
                OpCode::CreateTtl
            }
            _ => OpCode::Create2,
        }
    }

    /// The body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_string(self.path);
        out.put_buffer(self.data);
        acl::encode_list(self.acl, out);
        out.put_i32(self.mode.code());
        if self.mode.is_ttl() {
            out.put_i64(self.ttl_ms);
        }
    }
}

/// getACL, sync, getAllChildrenNumber, getEphemerals: only a path.
#[must_use]
pub fn path(op: OpCode, path: &str) -> Vec<u8> {
    frame(op, |out| out.put_string(path))
}

/// exists, getData, getChildren and getChildren2: a path, and whether to leave a one-shot watch.
#[must_use]
pub fn path_watch(op: OpCode, path: &str, watch: bool) -> Vec<u8> {
    frame(op, |out| {
        out.put_string(path);
        out.put_bool(watch);
    })
}

/// The body of a read inside a multiRead, which leaves no watch.
pub fn path_unwatched(path: &str, out: &mut Vec<u8>) {
    out.put_string(path);
    out.put_bool(false);
}

/// The body of delete and check: a path and the expected version, or -1.
pub fn path_version(path: &str, version: i32, out: &mut Vec<u8>) {
    out.put_string(path);
    out.put_i32(version);
}

/// The body of setData.
pub fn set_data(path: &str, data: Option<&[u8]>, version: i32, out: &mut Vec<u8>) {
    out.put_string(path);
    out.put_buffer(data);
    out.put_i32(version);
}

/// setACL.
#[must_use]
pub fn set_acl(path: &str, entries: &[Acl], version: i32) -> Vec<u8> {
    frame(OpCode::SetAcl, |out| {
        out.put_string(path);
        acl::encode_list(entries, out);
        out.put_i32(version);
    })
}

/// reconfig: what joins and leaves, or all members; `config` is the expected configuration version, or -1.
#[must_use]
pub fn reconfig(
    joining: Option<&str>,
    leaving: Option<&str>,
    members: Option<&str>,
    config: i64,
) -> Vec<u8> {
    frame(OpCode::Reconfig, |out| {
        for text in [joining, leaving, members] {
            out.put_buffer(text.map(str::as_bytes));
        }
        out.put_i64(config);
    })
}

/// auth.
#[must_use]
pub fn auth(scheme: &str, data: &[u8]) -> Vec<u8> {
    frame(OpCode::Auth, |out| {
        out.put_i32(AUTH_TYPE);
        out.put_string(scheme);
        out.put_buffer(Some(data));
    })
}

/// sasl: one token.
#[must_use]
pub fn sasl(token: &[u8]) -> Vec<u8> {
    frame(OpCode::Sasl, |out| out.put_buffer(Some(token)))
}

/// addWatch.
#[must_use]
pub fn add_watch(path: &str, mode: AddWatchMode) -> Vec<u8> {
    frame(OpCode::AddWatch, |out| {
        out.put_string(path);
        out.put_i32(mode.code());
    })
}

/// checkWatches and removeWatches.
#[must_use]
pub fn watch_query(op: OpCode, path: &str, kind: WatcherType) -> Vec<u8> {
    frame(op, |out| {
        out.put_string(path);
        out.put_i32(kind.code());
    })
}

/// setWatches with three lists, setWatches2 with five, in the order of [`crate::request::WatchList`].
#[must_use]
pub fn set_watches<S: AsRef<str>>(relative: Zxid, lists: &[Vec<S>]) -> Vec<u8> {
    let op = if lists.len() > 3 {
        OpCode::SetWatches2
    } else {
        OpCode::SetWatches
    };
    frame(op, |out| {
        out.put_i64(relative.0);
        for list in lists {
            out.put_count(list.len());
            list.iter().for_each(|path| out.put_string(path.as_ref()));
        }
    })
}

/// One operation of a multi or multiRead: its header and what `body` writes.
pub fn part(op: OpCode, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    MultiHeader {
        kind: op.code(),
        done: false,
        err: -1,
    }
    .encode(out);
    body(out);
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::jute::Reader;
    use crate::request::{self, PathWatch, Read, Request, RequestHeader, Write};

    fn parts(frame: &[u8]) -> (RequestHeader, Bytes) {
        let mut reader = Reader::new(frame);
        let len = reader.i32().unwrap();
        assert_eq!(len as usize, frame.len() - 4);
        let header = RequestHeader::decode(&mut reader).unwrap();
        (header, Bytes::copy_from_slice(reader.rest()))
    }

    #[track_caller]
    fn check(frame: &[u8], expected: Request<'_>) {
        let (header, body) = parts(frame);
        assert_eq!(request::decode(header.op, &body), Ok(expected));
    }

    #[test]
    fn a_server_reads_what_a_client_writes() {
        check(&bare(OpCode::Ping), Request::Ping);
        check(
            &path_watch(OpCode::GetData, "/a", true),
            Request::Read(Read::GetData(PathWatch {
                path: "/a".into(),
                watch: true,
            })),
        );
        check(
            &set_acl("/a", &Acl::open(), 3),
            Request::Write(Write::SetAcl(request::SetAcl {
                path: Some("/a".into()),
                acl: Some(Acl::open().into_iter().map(Into::into).collect()),
                version: 3,
            })),
        );
        check(
            &add_watch("/a", AddWatchMode::PersistentRecursive),
            Request::Read(Read::AddWatch {
                path: "/a".into(),
                mode: 1,
            }),
        );
        check(
            &reconfig(None, Some("3"), None, -1),
            Request::Write(Write::Reconfig(request::Reconfig {
                joining: None,
                leaving: Some("3".into()),
                members: None,
                config: -1,
            })),
        );
    }

    #[test]
    fn the_kind_of_a_znode_chooses_the_operation() {
        let mut znode = NewZnode {
            path: "/a",
            data: None,
            acl: &Acl::open(),
            mode: CreateMode::PersistentWithTtl,
            ttl_ms: 5000,
        };
        let (header, body) = parts(&frame(znode.op(), |out| znode.encode(out)));
        let Ok(Request::Write(Write::Create(create))) = request::decode(header.op, &body) else {
            panic!("not a create")
        };
        assert_eq!(
            (create.op, create.ttl, create.data),
            (OpCode::CreateTtl, 5000, None)
        );
        znode.mode = CreateMode::Container;
        assert_eq!(znode.op(), OpCode::CreateContainer);
    }

    #[test]
    fn the_number_of_lists_chooses_the_operation() {
        let three = set_watches(Zxid(7), &[vec!["/a"], vec![], vec!["/b"]]);
        assert_eq!(parts(&three).0.op, OpCode::SetWatches.code());
        let five = set_watches(Zxid(7), &[vec![], vec![], vec![], vec!["/p"], vec![]]);
        let (header, body) = parts(&five);
        let Ok(Request::Read(Read::SetWatches(set))) = request::decode(header.op, &body) else {
            panic!("not a setWatches")
        };
        assert_eq!((set.relative_zxid, set.lists.len()), (Zxid(7), 5));
    }

    #[test]
    fn the_xid_is_filled_in_afterwards() {
        let mut ping = bare(OpCode::Ping);
        set_xid(&mut ping, Xid::PING);
        assert_eq!(ping, b"\0\0\0\x08\xff\xff\xff\xfe\0\0\0\x0b");
    }
}
