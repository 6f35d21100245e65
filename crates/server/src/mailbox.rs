//! What the driver has for one connection: bytes to send, how many writes they answer, and whether to close.
//!
//! Invariants:
//! - Bytes are in the order in which the client must see them.
//! - No event is told before what it tells of is known to be committed: between two leaders it is held.
//! - The driver writes to the socket only between [`Mailbox::open`] and the next [`Mailbox::take`], and what it could not write of a
//!   frame is the first that the connection takes.
//! - What a client does not read stays here, where it is counted, and not in its connection's output.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;
use rookeeper_node::effect::CloseReason;
use rookeeper_node::input::ConnId;
use rookeeper_proto::ids::{SessionId, Zxid};
use rookeeper_tree::auth::Identities;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;

use crate::output::release;

/// Events and replies that a client has not read, bytes; beyond, it is disconnected.
pub const MAX_UNREAD_BYTES: usize = 64 * 1024 * 1024;

/// The driver writes no more than this to a socket itself, bytes: it has other things to do.
pub const MAX_HANDED_OVER_BYTES: usize = 64 * 1024;

/// Why the connection shall end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The member says so.
    Member(CloseReason),
    /// The session was refused.
    Refused,
    /// The client does not read.
    Overflow,
    /// The server stops.
    Stopping,
}

/// What waits for the connection.
#[derive(Debug, Default)]
pub struct Mail {
    /// Frames.
    pub bytes: Vec<u8>,
    /// Requests in flight answered by these frames.
    pub answered: usize,
    /// Bytes of those answers.
    pub answer_bytes: usize,
    /// Other frames: events, and the answer to the connect request.
    pub others: usize,
    /// Bytes of those.
    pub other_bytes: usize,
    /// The zxid of the last of them.
    pub last_zxid: Zxid,
    /// The session begins, with its timeout in ms.
    pub opened: Option<(SessionId, i32)>,
    /// The member lost its leader: what was in flight then is not answered.
    pub interrupted: bool,
    /// A session may go on, after it was interrupted.
    pub resumed: bool,
    /// Write out, then close.
    pub ending: Option<Ending>,
    /// Between two leaders: events of what may come to nothing.
    held: Option<Held>,
    /// The connection waits and has nothing to write: what is here may go to the socket before the connection knows of it.
    open: bool,
}

/// Events that are not told yet.
#[derive(Debug, Default)]
struct Held {
    bytes: Vec<u8>,
    count: usize,
}

impl Mail {
    fn other(&mut self, frames: &[u8], count: usize) {
        self.bytes.extend_from_slice(frames);
        self.others += count;
        self.other_bytes += frames.len();
    }
}

/// One connection as the driver knows it.
#[derive(Debug)]
pub struct Mailbox {
    conn: ConnId,
    /// The socket, if bytes go to it as they are.
    socket: Option<Arc<OwnedWriteHalf>>,
    mail: Mutex<Mail>,
    identities: Mutex<Arc<Identities>>,
    filled: Notify,
    /// Session id, 0 before there is one.
    session: AtomicI64,
    /// Monotonic ms at which the client was last heard of.
    heard: AtomicI64,
    /// What the driver knows of it.
    told: AtomicI64,
}

impl Mailbox {
    /// The mailbox of a fresh connection.
    #[must_use]
    pub fn new(
        conn: ConnId,
        socket: Option<Arc<OwnedWriteHalf>>,
        identities: Arc<Identities>,
    ) -> Self {
        Self {
            conn,
            socket,
            mail: Mutex::default(),
            identities: Mutex::new(identities),
            filled: Notify::new(),
            session: AtomicI64::new(0),
            heard: AtomicI64::new(0),
            told: AtomicI64::new(0),
        }
    }

    /// Whose it is.
    #[must_use]
    pub const fn conn(&self) -> ConnId {
        self.conn
    }

    // The driver's side.

    /// Queues an event or another frame that answers no write.
    ///
    /// What happens between two leaders may come to nothing: it is told when the session goes on, and else never.
    pub fn put(&self, frame: &[u8]) {
        let mut mail = self.mail.lock();
        if mail.ending.is_some() {
            return;
        }
        let held = mail.held.as_ref().map_or(0, |held| held.bytes.len());
        if mail.bytes.len() + held + frame.len() > MAX_UNREAD_BYTES {
            mail.ending = Some(Ending::Overflow);
            return;
        }
        match &mut mail.held {
            Some(held) => {
                held.bytes.extend_from_slice(frame);
                held.count += 1;
            }
            None => mail.other(frame, 1),
        }
    }

    /// Queues the replies to the `count` oldest requests in flight. Once the connection is to end there are none any more: a request
    /// before them may have been left without an answer. So it is with a connection that has not heard yet that it was interrupted: it
    /// has requests in flight, and ends.
    pub fn answer(&self, frames: &[u8], count: usize, zxid: Zxid) {
        let mut mail = self.mail.lock();
        if mail.ending.is_some() || mail.interrupted {
            return;
        }
        mail.bytes.extend_from_slice(frames);
        mail.answered += count;
        mail.answer_bytes += frames.len();
        mail.last_zxid = zxid;
    }

    /// Queues the answer to the connect request.
    pub fn connected(&self, frame: &[u8], session: Option<(SessionId, i32)>) {
        let mut mail = self.mail.lock();
        mail.other(frame, 1);
        match session {
            Some((id, _)) => {
                self.session.store(id.0, Ordering::Relaxed);
                mail.opened = session;
            }
            None => mail.ending = Some(Ending::Refused),
        }
    }

    /// Tells the connection that the member has lost its leader.
    pub fn interrupt(&self) {
        let mut mail = self.mail.lock();
        mail.interrupted = true;
        mail.resumed = false;
        mail.held.get_or_insert_default();
        drop(mail);
        self.wake();
    }

    /// Tells the connection that its session goes on with a new leader.
    pub fn resume(&self) {
        let mut mail = self.mail.lock();
        mail.resumed = true;
        if let Some(Held { bytes, count }) = mail.held.take() {
            mail.other(&bytes, count);
        }
        drop(mail);
        self.wake();
    }

    /// Asks the connection to end.
    pub fn end(&self, ending: Ending) {
        self.mail.lock().ending.get_or_insert(ending);
        self.wake();
    }

    /// Tells the connection that there is mail.
    pub fn wake(&self) {
        self.filled.notify_one();
    }

    /// The same; before that, what there is goes to the socket, if the connection does nothing but wait. So the client does not wait for
    /// the connection to wake.
    pub fn hand_over(&self) {
        let mut mail = self.mail.lock();
        if let Some(socket) = self.socket.as_ref().filter(|_| mail.open)
            && (1..=MAX_HANDED_OVER_BYTES).contains(&mail.bytes.len())
            // What goes wrong the connection finds out for itself, with what is left.
            && let Ok(n) = socket.try_write(&mail.bytes)
        {
            mail.bytes.drain(..n);
        }
        drop(mail);
        self.wake();
    }

    /// The identities, for the filter of events.
    #[must_use]
    pub fn identities(&self) -> Arc<Identities> {
        Arc::clone(&self.identities.lock())
    }

    /// The session and when it was last heard of, once there is one.
    #[must_use]
    pub fn heard(&self) -> Option<(SessionId, i64)> {
        let session = self.session()?;
        Some((session, self.heard.load(Ordering::Relaxed)))
    }

    /// The session and when it was last heard of, if that is news to the driver.
    #[must_use]
    pub fn newly_heard(&self) -> Option<(SessionId, i64)> {
        let at = self.heard.load(Ordering::Relaxed);
        if self.told.load(Ordering::Relaxed) == at {
            return None;
        }
        let session = self.session()?;
        self.told.store(at, Ordering::Relaxed);
        Some((session, at))
    }

    /// The session, once there is one.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        let id = self.session.load(Ordering::Relaxed);
        (id != 0).then_some(SessionId(id))
    }

    // The connection's side.

    /// Waits for mail.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Moves the bytes to the end of `out` and tells the rest. While `out` has no `room`, only an ending is told: the rest
    /// waits here.
    pub fn take(&self, out: &mut Vec<u8>, room: bool) -> Mail {
        let mut mail = self.mail.lock();
        mail.open = false;
        if !room {
            return Mail {
                ending: mail.ending,
                ..Mail::default()
            };
        }
        let used = mail.bytes.len();
        if out.is_empty() {
            std::mem::swap(out, &mut mail.bytes);
        } else {
            out.append(&mut mail.bytes);
        }
        release(&mut mail.bytes, used);
        Mail {
            bytes: Vec::new(),
            answered: std::mem::take(&mut mail.answered),
            answer_bytes: std::mem::take(&mut mail.answer_bytes),
            others: std::mem::take(&mut mail.others),
            other_bytes: std::mem::take(&mut mail.other_bytes),
            last_zxid: mail.last_zxid,
            opened: mail.opened.take(),
            interrupted: std::mem::take(&mut mail.interrupted),
            resumed: std::mem::take(&mut mail.resumed),
            ending: mail.ending,
            held: None,
            open: false,
        }
    }

    /// The connection has nothing to write, until it takes mail again.
    pub fn open(&self) {
        self.mail.lock().open = true;
    }

    /// The client was heard of.
    pub fn hear(&self, mono: i64) {
        self.heard.store(mono, Ordering::Relaxed);
    }

    /// The identities changed.
    pub fn set_identities(&self, identities: Arc<Identities>) {
        *self.identities.lock() = identities;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn nothing_is_answered_behind_an_ending() {
        let mailbox = Mailbox::new(ConnId(1), None, Arc::default());
        mailbox.answer(&[1], 1, Zxid(1));
        mailbox.end(Ending::Stopping);
        mailbox.answer(&[2], 1, Zxid(2));
        let mut out = Vec::new();
        let mail = mailbox.take(&mut out, true);
        assert_eq!((out, mail.answered), (vec![1], 1));
        assert_eq!(mail.ending, Some(Ending::Stopping));
    }

    #[test]
    fn what_is_asked_before_an_interruption_is_heard_is_not_answered() {
        let mailbox = Mailbox::new(ConnId(1), None, Arc::default());
        mailbox.interrupt();
        mailbox.answer(&[2], 1, Zxid(2));
        mailbox.resume();
        let mut out = Vec::new();
        let mail = mailbox.take(&mut out, true);
        assert!(out.is_empty() && mail.interrupted && mail.resumed);
        mailbox.answer(&[3], 1, Zxid(3));
        assert_eq!(mailbox.take(&mut out, true).answered, 1);
    }

    #[test]
    fn what_happens_between_two_leaders_is_told_when_the_session_goes_on() {
        let mailbox = Mailbox::new(ConnId(1), None, Arc::default());
        mailbox.put(&[1]);
        mailbox.interrupt();
        mailbox.put(&[2]);
        mailbox.interrupt();
        mailbox.put(&[3]);
        let mut out = Vec::new();
        assert_eq!(mailbox.take(&mut out, true).others, 1);
        assert_eq!(out, [1]);
        mailbox.resume();
        mailbox.put(&[4]);
        assert_eq!(mailbox.take(&mut out, true).others, 3);
        assert_eq!(out, [1, 2, 3, 4]);
    }

    #[test]
    fn what_is_not_read_stays_counted_until_the_bound_ends_the_connection() {
        let mailbox = Mailbox::new(ConnId(1), None, Arc::default());
        let (frame, mut out) = (vec![7; 1024 * 1024], Vec::new());
        for _ in 0..MAX_UNREAD_BYTES / frame.len() {
            mailbox.put(&frame);
            assert_eq!(mailbox.take(&mut out, false).ending, None);
        }
        assert!(out.is_empty());
        mailbox.put(&frame);
        assert_eq!(mailbox.take(&mut out, false).ending, Some(Ending::Overflow));
        mailbox.put(&[1]);
        let mail = mailbox.take(&mut out, true);
        assert_eq!(out.len(), MAX_UNREAD_BYTES);
        assert_eq!(mail.other_bytes, MAX_UNREAD_BYTES);
    }

    /// A mailbox with a socket, and the client's end of it.
    async fn tied() -> std::io::Result<(Mailbox, TcpStream)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let client = TcpStream::connect(listener.local_addr()?).await?;
        let (_read, write) = listener.accept().await?.0.into_split();
        write.writable().await?;
        let mailbox = Mailbox::new(ConnId(1), Some(Arc::new(write)), Arc::default());
        Ok((mailbox, client))
    }

    #[tokio::test]
    async fn who_waits_is_sent_its_answer_before_it_takes_it() -> std::io::Result<()> {
        let (mailbox, mut client) = tied().await?;
        mailbox.answer(&[1, 2], 1, Zxid(7));
        mailbox.hand_over();
        let mut out = Vec::new();
        assert_eq!(mailbox.take(&mut out, true).answered, 1);
        assert_eq!(out, [1, 2], "it was not open yet");

        mailbox.open();
        mailbox.answer(&[3, 4], 1, Zxid(8));
        mailbox.hand_over();
        let mut got = [0; 2];
        client.read_exact(&mut got).await?;
        assert_eq!(got, [3, 4]);
        out.clear();
        let mail = mailbox.take(&mut out, true);
        assert_eq!((mail.answered, mail.last_zxid), (1, Zxid(8)));
        assert!(out.is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn what_the_socket_does_not_take_is_first_in_what_is_taken() -> std::io::Result<()> {
        let (mailbox, mut client) = tied().await?;
        let (mut sent, mut rest) = (0_usize, Vec::new());
        while rest.is_empty() {
            let frame: Vec<u8> = (sent..sent + MAX_HANDED_OVER_BYTES)
                .map(|n| (n % 251) as u8)
                .collect();
            sent += frame.len();
            mailbox.open();
            mailbox.put(&frame);
            mailbox.hand_over();
            mailbox.take(&mut rest, true);
        }
        let mut got = vec![0; sent - rest.len()];
        client.read_exact(&mut got).await?;
        got.extend(rest);
        assert!(
            got.iter()
                .enumerate()
                .all(|(n, byte)| *byte == (n % 251) as u8)
        );
        Ok(())
    }
}
