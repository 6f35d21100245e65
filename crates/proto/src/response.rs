//! What a server says: the connect response, replies, watch events. Each function appends whole frames to an output buffer.

use crate::code::{ErrorCode, EventType};
use crate::ids::{SessionId, Xid, Zxid};
use crate::jute::Writer;
use crate::password::{self, PASSWORD_LEN};

/// Keeper state of an event: the only one a server sends.
const SYNC_CONNECTED: i32 = 3;

/// Appends a frame: reserves its length field, lets `body` write, fills the length in.
pub fn frame(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.put_i32(0);
    body(out);
    let len = i32::try_from(out.len() - start - 4).unwrap_or(i32::MAX);
    if let Some(field) = out.get_mut(start..start + 4) {
        field.copy_from_slice(&len.to_be_bytes());
    }
}

/// Appends a reply: header and what `body` writes.
pub fn reply(
    out: &mut Vec<u8>,
    xid: Xid,
    zxid: Zxid,
    err: ErrorCode,
    body: impl FnOnce(&mut Vec<u8>),
) {
    frame(out, |out| {
        out.put_i32(xid.0);
        out.put_i64(zxid.0);
        out.put_i32(err.code());
        body(out);
    });
}

/// Appends a reply that is only a header.
pub fn reply_header(out: &mut Vec<u8>, xid: Xid, zxid: Zxid, err: ErrorCode) {
    reply(out, xid, zxid, err, |_| {});
}

/// The header zxid of events made by setWatches, of replies to unknown operations.
pub const NO_ZXID: Zxid = Zxid(-1);

/// Appends a watch event. `zxid` is that of the transaction (3.9), or [`NO_ZXID`].
pub fn event(out: &mut Vec<u8>, zxid: Zxid, kind: EventType, path: &str) {
    reply(out, Xid::EVENT, zxid, ErrorCode::Ok, |out| {
        out.put_i32(kind.code());
        out.put_i32(SYNC_CONNECTED);
        out.put_string(path);
    });
}

/// The answer to a connect request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectResponse {
    /// The session is on.
    Accepted {
        /// Its id.
        session: SessionId,
        /// Negotiated timeout, ms.
        timeout_ms: i32,
    },
    /// No such session, or a wrong password: timeout 0, id 0, zero password.
    Refused,
}

impl ConnectResponse {
    /// Appends the frame. `read_only` is the byte of the answer, present exactly when the request had one.
    pub fn encode(self, read_only: Option<bool>, out: &mut Vec<u8>) {
        let (session, timeout, secret) = match self {
            Self::Accepted {
                session,
                timeout_ms,
            } => (session, timeout_ms, password::password(session)),
            Self::Refused => (SessionId::NONE, 0, [0; PASSWORD_LEN]),
        };
        frame(out, |out| {
            out.put_i32(0);
            out.put_i32(timeout);
            out.put_i64(session.0);
            out.put_buffer(Some(&secret));
            if let Some(read_only) = read_only {
                out.put_bool(read_only);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_has_zeros_everywhere() {
        let mut out = Vec::new();
        ConnectResponse::Refused.encode(Some(false), &mut out);
        assert_eq!(out.len(), 4 + 37);
        assert_eq!(&out[..4], &[0, 0, 0, 0x25]);
        assert_eq!(
            out[4..].iter().filter(|b| **b != 0).collect::<Vec<_>>(),
            [&0x10]
        );
    }

    #[test]
    fn an_event_has_the_documented_bytes() {
        let mut out = Vec::new();
        event(&mut out, Zxid(7), EventType::NodeDataChanged, "/a");
        let expected =
            b"\0\0\0\x1e\xff\xff\xff\xff\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x03\0\0\0\x03\0\0\0\x02/a";
        assert_eq!(out, expected);
    }
}
