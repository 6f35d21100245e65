//! What the audience reads: frames, log records and the tree, one line each.

use std::fmt::Write as _;

use rookeeper_node::effect::CloseReason;
use rookeeper_proto::acl::Acl;
use rookeeper_proto::code::{ErrorCode, EventType, OpCode};
use rookeeper_proto::ids::SessionId;
use rookeeper_proto::jute::{DecodeError, Reader};
use rookeeper_proto::password;
use rookeeper_proto::stat::Stat;
use rookeeper_proto::txn::{Record, Txn};

use super::Stage;

type Shown = Result<String, DecodeError>;

impl Stage {
    /// `S1` is the first session that was answered.
    pub(crate) fn session_name(&self, session: SessionId) -> String {
        match self.sessions.iter().position(|known| *known == session) {
            Some(at) => format!("S{}", at + 1),
            None if session == SessionId::NONE => "-".into(),
            None => "S?".into(),
        }
    }

    pub(crate) fn close_reason(&self, why: CloseReason) -> String {
        match why {
            CloseReason::ClientAhead { seen, ours } => {
                format!("client ahead, saw {} of {}", seen.0, ours.0)
            }
            CloseReason::Reattached(session) => format!("{} moved", self.session_name(session)),
            CloseReason::SessionClosed(session) => format!("{} closed", self.session_name(session)),
            CloseReason::SessionExpired(session) => {
                format!("{} expired", self.session_name(session))
            }
            CloseReason::DiskFull => "disk full".into(),
            CloseReason::NotServing => "not serving".into(),
        }
    }

    pub(crate) fn show_frames(&mut self, name: &str, mut bytes: &[u8]) {
        while let Some((head, rest)) = bytes.split_first_chunk::<4>() {
            let (frame, rest) = rest.split_at(u32::from_be_bytes(*head) as usize);
            bytes = rest;
            let line = self
                .show_frame(name, frame)
                .expect("a frame that a client can read");
            self.say(&format!("{name} < {line}"));
        }
        assert!(bytes.is_empty(), "half a frame: {bytes:?}");
    }

    fn show_frame(&mut self, name: &str, frame: &[u8]) -> Shown {
        let mut r = Reader::new(frame);
        let connected =
            self.clients[name].asked.is_empty() || self.clients[name].asked.contains_key(&i32::MIN);
        if connected && matches!(frame.len(), 36 | 37) && frame.starts_with(&[0; 4]) {
            return self.show_connected(name, &mut r, frame.len());
        }
        let (xid, zxid, err) = (r.i32()?, r.i64()?, r.i32()?);
        if xid == -1 {
            let kind = EventType::from_i32(r.i32()?).expect("a known event");
            r.i32()?;
            let path = r.required_string("path")?;
            return Ok(format!("event z{zxid} {kind:?} {path}"));
        }
        let client = self.clients.get_mut(name);
        let asked = client.and_then(|client| match xid {
            // Several requests may share a special number.
            ..0 => client.asked.get(&xid).copied(),
            _ => client.asked.remove(&xid),
        });
        let op = asked.and_then(OpCode::from_i32);
        let code = ErrorCode::from_i32(err).expect("a known error");
        let body = match code {
            ErrorCode::Ok => self.show_body(op, &mut r)?,
            code => format!(" {code}"),
        };
        assert!(
            r.is_empty() || code != ErrorCode::Ok,
            "surplus bytes: {frame:?}"
        );
        let what = op.map_or_else(|| format!("op {asked:?}"), |op| format!("{op:?}"));
        Ok(format!("{what} {xid} z{zxid}{body}"))
    }

    fn show_connected(&mut self, name: &str, r: &mut Reader<'_>, len: usize) -> Shown {
        self.clients
            .get_mut(name)
            .map(|client| client.asked.remove(&i32::MIN));
        let (_, timeout, session) = (r.i32()?, r.i32()?, SessionId(r.i64()?));
        let secret = r.buffer()?.unwrap_or_default();
        let right = password::matches(session, secret);
        let byte = if len == 37 { "" } else { ", no read-only byte" };
        Ok(match timeout {
            0 => format!("refused (zero password: {}){byte}", secret == [0; 16]),
            _ => format!(
                "connected {} timeout {timeout}, right password: {right}{byte}",
                self.session_name(session)
            ),
        })
    }

    fn show_body(&self, op: Option<OpCode>, r: &mut Reader<'_>) -> Shown {
        use OpCode as O;
        Ok(match op {
            Some(O::Create | O::Sync) => {
                format!(" {}", r.string()?.unwrap_or_else(|| "null".into()))
            }
            Some(O::Create2 | O::CreateContainer | O::CreateTtl) => {
                format!(" {} {}", r.required_string("path")?, self.stat(r)?)
            }
            Some(O::SetData | O::SetAcl | O::Exists) => format!(" {}", self.stat(r)?),
            Some(O::GetData) => format!(" {} {}", data(r)?, self.stat(r)?),
            Some(O::GetChildren | O::GetEphemerals) => format!(" {}", names(r)?),
            Some(O::GetChildren2) => format!(" {} {}", names(r)?, self.stat(r)?),
            Some(O::GetAcl) => format!(" {} {}", acl(r)?, self.stat(r)?),
            Some(O::GetAllChildrenNumber | O::AddWatch) => format!(" {}", r.i32()?),
            Some(O::Multi | O::MultiRead) => self.results(r)?,
            Some(O::WhoAmI) => {
                let all = r.vector(|r| {
                    Ok(format!(
                        "{}:{}",
                        r.required_string("a")?,
                        r.required_string("b")?
                    ))
                })?;
                format!(" {}", all.unwrap_or_default().join(" "))
            }
            Some(O::Sasl) => format!(" token {:?}", r.buffer()?),
            _ => String::new(),
        })
    }

    fn results(&self, r: &mut Reader<'_>) -> Shown {
        let mut line = String::new();
        loop {
            let (kind, done, err) = (r.i32()?, r.bool()?, r.i32()?);
            if done {
                assert_eq!((kind, err), (-1, -1));
                return Ok(format!("{line} [end]"));
            }
            let op = OpCode::from_i32(kind);
            let shown = match op {
                Some(OpCode::Error) => {
                    assert_eq!(r.i32()?, err);
                    format!("error {err}")
                }
                _ => format!(
                    "{:?}{}",
                    op.expect("a known result"),
                    self.show_body(op, r)?
                ),
            };
            let _ = write!(line, " [{shown}]");
        }
    }

    fn stat(&self, r: &mut Reader<'_>) -> Shown {
        let s = Stat::decode(r)?;
        let owner = self.session_name(SessionId(s.ephemeral_owner));
        Ok(format!(
            "{{c{} m{} p{} v{} cv{} av{} owner {owner}, {} bytes, {} children}}",
            s.czxid.0,
            s.mzxid.0,
            s.pzxid.0,
            s.version,
            s.cversion,
            s.aversion,
            s.data_length,
            s.num_children
        ))
    }

    pub(crate) fn log_line(&self, record: &Record) -> String {
        let who = self.session_name(record.header.session);
        let what = match &record.txn {
            Txn::CreateSession { timeout_ms } => format!("createSession {timeout_ms}"),
            Txn::CloseSession { paths } => {
                format!("closeSession {:?}", paths.as_deref().unwrap_or_default())
            }
            Txn::Create(create) => format!("{:?} {}", record.txn.kind(), create.path),
            Txn::Delete(delete) => format!("{:?} {}", record.txn.kind(), delete.path),
            Txn::SetData(set) => format!("setData {} v{}", set.path, set.version),
            Txn::SetAcl(set) => format!("setACL {} v{}", set.path, set.version),
            Txn::Check(check) => format!("check {}", check.path),
            Txn::Error(code) => format!("error {code}"),
            Txn::Multi(parts) => format!(
                "multi of {}, failure {:?}",
                parts.len(),
                record.txn.failure()
            ),
        };
        format!("log z{} {who} {what}", record.header.zxid.0)
    }

    /// Every znode but the special ones.
    pub(crate) fn show_tree(&mut self) {
        let mut lines: Vec<String> = Vec::new();
        for view in self.tree.iter() {
            let (path, stat) = (view.path(), view.stat());
            if path.starts_with("/zookeeper") {
                continue;
            }
            let owner = self.session_name(SessionId(stat.ephemeral_owner));
            let data = view.data().map_or_else(
                || "null".into(),
                |data| format!("{:?}", String::from_utf8_lossy(data)),
            );
            lines.push(format!(
                "{path} {data} v{} cv{} p{} owner {owner}",
                stat.version, stat.cversion, stat.pzxid.0
            ));
        }
        lines.sort();
        lines.iter().for_each(|line| self.say(line));
    }
}

fn data(r: &mut Reader<'_>) -> Shown {
    Ok(r.buffer()?.map_or_else(
        || "null".into(),
        |data| format!("{:?}", String::from_utf8_lossy(data)),
    ))
}

fn names(r: &mut Reader<'_>) -> Shown {
    let mut names: Vec<String> = r
        .vector(|r| Ok(r.required_string("name")?.into_owned()))?
        .unwrap_or_default();
    names.sort();
    Ok(format!("{names:?}"))
}

fn acl(r: &mut Reader<'_>) -> Shown {
    let entries = r.vector(Acl::decode)?.unwrap_or_default();
    Ok(entries
        .iter()
        .map(|entry| format!("{}={}", entry.who, entry.perms))
        .collect::<Vec<_>>()
        .join(","))
}
