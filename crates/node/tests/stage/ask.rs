//! What clients ask, as bytes.

use std::error::Error;

use goldenscript::ArgumentConsumer;
use rookeeper_proto::code::OpCode;
use rookeeper_proto::ids::{SessionId, Zxid};
use rookeeper_proto::jute::Writer;
use rookeeper_proto::multi::MultiHeader;
use rookeeper_proto::password;
use rookeeper_proto::request::ConnectRequest;

use super::Stage;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

impl Stage {
    /// `connect NAME [timeout=MS] [session=S1] [password=wrong] [seen=ZXID] [byte=absent]`.
    pub(crate) fn connect(&mut self, args: &mut ArgumentConsumer<'_>) -> Outcome<()> {
        let name = text(args.next_pos())?.to_owned();
        let number = |text: Option<&str>, default: i64| text.map_or(Ok(default), str::parse);
        let timeout_ms = i32::try_from(number(args.take_key("timeout"), 10_000)?)?;
        let session = match args.take_key("session") {
            None => SessionId::NONE,
            Some("unknown") => SessionId(0x0123),
            Some(name) => self.session_called(name)?,
        };
        let password = match args.take_key("password") {
            Some("wrong") => vec![1; 16],
            _ => password::password(session).to_vec(),
        };
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid(number(args.take_key("seen"), 0)?),
            timeout_ms,
            session,
            password,
            read_only: args.take_key("byte").is_none().then_some(false),
        };
        let mut frame = Vec::new();
        request.encode(&mut frame);
        self.open(&name);
        if let Some(client) = self.clients.get_mut(&name) {
            client.asked.insert(i32::MIN, 0);
        }
        self.frame(&name, frame);
        Ok(())
    }

    fn session_called(&self, name: &str) -> Outcome<SessionId> {
        let at: usize = name.trim_start_matches('S').parse()?;
        self.sessions
            .get(at - 1)
            .copied()
            .ok_or_else(|| format!("no session {name}").into())
    }

    /// `NAME REQUEST ...` of a connected client.
    pub(crate) fn ask(&mut self, name: &str, args: &mut ArgumentConsumer<'_>) -> Outcome<()> {
        let what = text(args.next_pos())?.to_owned();
        let mut body = Vec::new();
        let op = match what.as_str() {
            "raw" => {
                let op: i32 = text(args.next_pos())?.parse()?;
                body = unhex(args.next_pos().unwrap_or_default())?;
                op
            }
            "frame" => {
                let frame = unhex(args.next_pos().unwrap_or_default())?;
                self.frame(name, frame);
                return Ok(());
            }
            what => request(what, args, &mut body)?.code(),
        };
        self.send(name, op, args.take_key("xid"), &body)?;
        Ok(())
    }

    /// Sends a request and tells its xid.
    pub(crate) fn send(
        &mut self,
        name: &str,
        op: i32,
        xid: Option<&str>,
        body: &[u8],
    ) -> Outcome<i32> {
        let xid = self.xid(name, op, xid)?;
        let mut frame = Vec::new();
        frame.put_i32(xid);
        frame.put_i32(op);
        frame.extend_from_slice(body);
        self.frame(name, frame);
        Ok(xid)
    }

    fn xid(&mut self, name: &str, op: i32, given: Option<&str>) -> Outcome<i32> {
        let client = self.clients.get_mut(name).ok_or("no such client")?;
        let xid = match (given, OpCode::from_i32(op)) {
            (Some(xid), _) => xid.parse()?,
            (None, Some(OpCode::Ping)) => -2,
            (None, Some(OpCode::Auth)) => -4,
            (None, Some(OpCode::SetWatches | OpCode::SetWatches2)) => -8,
            _ => {
                client.next_xid += 1;
                client.next_xid - 1
            }
        };
        client.asked.insert(xid, op);
        Ok(xid)
    }
}

fn text(text: Option<&str>) -> Outcome<&str> {
    text.ok_or_else(|| "something is missing".into())
}

fn unhex(hex: &str) -> Outcome<Vec<u8>> {
    let digits: Vec<u8> = hex.bytes().collect();
    digits
        .chunks(2)
        .map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?))
        .collect()
}

fn request(what: &str, args: &mut ArgumentConsumer<'_>, body: &mut Vec<u8>) -> Outcome<OpCode> {
    use OpCode as O;
    let watched = |op: OpCode, args: &mut ArgumentConsumer<'_>, body: &mut Vec<u8>| {
        body.put_string(text(args.next_pos())?);
        body.put_bool(args.take_key("watch").is_some());
        Outcome::Ok(op)
    };
    let path = |op: OpCode, args: &mut ArgumentConsumer<'_>, body: &mut Vec<u8>| {
        body.put_string(text(args.next_pos())?);
        Outcome::Ok(op)
    };
    match what {
        "get" => watched(O::GetData, args, body),
        "exists" => watched(O::Exists, args, body),
        "ls" => watched(O::GetChildren, args, body),
        "ls2" => watched(O::GetChildren2, args, body),
        "getacl" => path(O::GetAcl, args, body),
        "sync" => path(O::Sync, args, body),
        "count" => path(O::GetAllChildrenNumber, args, body),
        "ephemerals" => path(O::GetEphemerals, args, body),
        "ping" => Ok(O::Ping),
        "whoami" => Ok(O::WhoAmI),
        "close" => Ok(O::CloseSession),
        "setacl" => {
            body.put_string(text(args.next_pos())?);
            put_acl(args.take_key("acl"), body)?;
            body.put_i32(number(args.take_key("v"), -1)?);
            Ok(O::SetAcl)
        }
        "auth" => {
            body.put_i32(0);
            body.put_string(text(args.next_pos())?);
            body.put_buffer(args.next_pos().map(str::as_bytes));
            Ok(O::Auth)
        }
        "addwatch" => {
            body.put_string(text(args.next_pos())?);
            body.put_i32(number(args.take_key("mode"), 0)?);
            Ok(O::AddWatch)
        }
        "checkwatches" | "removewatches" => {
            body.put_string(text(args.next_pos())?);
            body.put_i32(number(args.take_key("type"), 3)?);
            Ok(if what == "checkwatches" {
                O::CheckWatches
            } else {
                O::RemoveWatches
            })
        }
        "setwatches" => {
            body.put_i64(text(args.take_key("since"))?.parse()?);
            let lists = [
                args.take_key("data"),
                args.take_key("exist"),
                args.take_key("child"),
            ];
            let more = [args.take_key("persistent"), args.take_key("recursive")];
            lists.into_iter().for_each(|list| put_list(list, body));
            if more.iter().all(Option::is_none) {
                return Ok(O::SetWatches);
            }
            more.into_iter().for_each(|list| put_list(list, body));
            Ok(O::SetWatches2)
        }
        "multi" | "multiread" => {
            while let Some(op) = args.next_pos() {
                let words: Vec<String> = op.split_whitespace().map(Into::into).collect();
                put_op(&words, body)?;
            }
            MultiHeader::END.encode(body);
            Ok(if what == "multi" {
                O::Multi
            } else {
                O::MultiRead
            })
        }
        "create" | "create2" | "container" | "ttl" | "delete" | "set" | "check" => {
            let mut words = vec![what.to_owned()];
            words.extend(std::iter::from_fn(|| args.next_pos().map(Into::into)));
            for key in ["flags", "acl", "ttl", "v", "data"] {
                words.extend(args.take_key(key).map(|value| format!("{key}={value}")));
            }
            put_write(&words, body)
        }
        other => Err(format!("no such request: {other}").into()),
    }
}

fn put_op(words: &[String], body: &mut Vec<u8>) -> Outcome<()> {
    let mut part = Vec::new();
    let op = match words[0].as_str() {
        "get" | "ls" => {
            part.put_string(&words[1]);
            part.put_bool(false);
            if words[0] == "get" {
                OpCode::GetData
            } else {
                OpCode::GetChildren
            }
        }
        _ => put_write(words, &mut part)?,
    };
    MultiHeader {
        kind: op.code(),
        done: false,
        err: -1,
    }
    .encode(body);
    body.extend(part);
    Ok(())
}

/// DATA with an equals sign is given as `data=DATA`. `create PATH [DATA] [flags=N] [acl=..] [ttl=N]`, `delete PATH [v=N]`, `set PATH [DATA] [v=N]`, `check PATH [v=N]`.
fn put_write(words: &[String], body: &mut Vec<u8>) -> Outcome<OpCode> {
    let key = |name: &str| {
        words
            .iter()
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    };
    let plain: Vec<&String> = words[1..]
        .iter()
        .filter(|word| !word.contains('='))
        .collect();
    let path = text(plain.first().map(|path| path.as_str()))?;
    let data = key("data")
        .or_else(|| plain.get(1).map(|data| data.as_str()))
        .map(str::as_bytes);
    if path == "null" {
        body.put_buffer(None);
    } else {
        body.put_string(path);
    }
    let op = match words[0].as_str() {
        "create" => OpCode::Create,
        "create2" => OpCode::Create2,
        "container" => OpCode::CreateContainer,
        "ttl" => OpCode::CreateTtl,
        "delete" => OpCode::Delete,
        "set" => OpCode::SetData,
        "check" => OpCode::Check,
        other => return Err(format!("no such operation: {other}").into()),
    };
    match op {
        OpCode::Delete | OpCode::Check => body.put_i32(number(key("v"), -1)?),
        OpCode::SetData => {
            body.put_buffer(data);
            body.put_i32(number(key("v"), -1)?);
        }
        _ => {
            body.put_buffer(data);
            put_acl(key("acl"), body)?;
            let flags = match op {
                OpCode::CreateContainer => 4,
                OpCode::CreateTtl => 5,
                _ => 0,
            };
            body.put_i32(number(key("flags"), flags)?);
            if op == OpCode::CreateTtl {
                body.put_i64(text(key("ttl"))?.parse()?);
            }
        }
    }
    Ok(op)
}

fn number(text: Option<&str>, default: i32) -> Outcome<i32> {
    Ok(text.map_or(Ok(default), str::parse)?)
}

/// Comma list of `PERMS:SCHEME:ID`; `null` and `none` are no list and an empty one.
fn put_acl(text: Option<&str>, body: &mut Vec<u8>) -> Outcome<()> {
    let entries: Vec<&str> = match text.unwrap_or("31:world:anyone") {
        "null" => {
            body.put_i32(-1);
            return Ok(());
        }
        "none" => Vec::new(),
        list => list.split(',').collect(),
    };
    body.put_count(entries.len());
    for entry in entries {
        let mut parts = entry.splitn(3, ':');
        body.put_i32(parts.next().unwrap_or_default().parse()?);
        body.put_string(parts.next().unwrap_or_default());
        body.put_string(parts.next().unwrap_or_default());
    }
    Ok(())
}

fn put_list(list: Option<&str>, body: &mut Vec<u8>) {
    if list == Some("null") {
        body.put_i32(-1);
        return;
    }
    let paths: Vec<&str> = list
        .into_iter()
        .flat_map(|list| list.split(','))
        .filter(|p| !p.is_empty())
        .collect();
    body.put_count(paths.len());
    paths.iter().for_each(|path| body.put_string(path));
}
