//! One client connection: its socket, and the [`Conversation`] that decides.
//!
//! A turn takes everything that one socket read brought, serves it under one read guard, and sends the answers with one write.
//! Writes go to the driver, with the reads between them, and come back as mail; all other reads never leave this task.
//!
//! Invariants:
//! - Mail is moved to the output before anything read from the tree afterwards, so an event precedes what shows its change.
//! - The socket is not read while too much is waiting: for the client to read, for the driver, or in all.
//! - Mail is left in its mailbox, where it is counted, while the client does not read what it was sent before.
//! - Neither the tree nor this thread is held longer than a slice of time, whatever a client asks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use rookeeper_node::conversation::{Answered, Conversation, Fault};
use rookeeper_node::effect::CloseReason;
use rookeeper_node::input::{ConnId, Input};
use rookeeper_node::reads::View;
use rookeeper_proto::ids::SessionId;
use rookeeper_tree::watches::WatcherId;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;
use tracing::debug;

use crate::connection_end::{self, End, LINGER};
use crate::connections::Connection;
use crate::inbox::Message;
use crate::mailbox::Ending;
use crate::metrics::{ConnectionBatch, LastingCounter};
use crate::output::Output;
use crate::service::Service;
use crate::words::Word;
use crate::words_port;

/// First size of the read buffer, bytes: an idle connection keeps about this much.
const READ_SMALL: usize = 512;
/// Largest size of the read buffer for small requests, bytes.
const READ_LARGE: usize = 64 * 1024;
/// A read buffer is given back when it has this many times the size that is needed now.
const READ_WASTE: usize = 8;
/// Output beyond which no more reads are served before it is written, bytes.
const OUTPUT_BUDGET: usize = 256 * 1024;
/// Bytes of requests that one connection may have waiting; beyond, its socket is not read until all are answered.
const HELD_BYTES: usize = 16 * 1024 * 1024;
/// How long reads are served under one guard: then a waiting writer, and other connections of this thread, have their turn.
const READ_SLICE: Duration = Duration::from_millis(1);
/// Reads between two looks at the clock.
const READS_PER_LOOK: usize = 16;
/// Watched paths of a closed connection that are forgotten under one lock.
const FORGET_CHUNK: usize = 1024;
/// How long the last frames of a connection, or the answer to a four-letter word, may take to a client that goes on reading.
const FAREWELL: Duration = Duration::from_secs(30);
/// Pause before a tree that may be too old is looked at again.
const STALE_PAUSE: Duration = Duration::from_millis(5);

struct ClientConn<'a> {
    service: &'a Service,
    connection: Connection,
    conversation: Conversation,
    input: BytesMut,
    read_size: usize,
    output: Output,
    submit: Vec<Input>,
    /// Bytes of requests received since nothing was outstanding.
    held: usize,
    /// There is more to do than the last turn did, and nothing will come that wakes this connection.
    unfinished: bool,
    /// The tree may be too old to be shown.
    stale: bool,
    /// The driver may write to the socket: nothing else does, until the mail is taken.
    is_open: bool,
    /// Requests counted in the server's outstanding figure.
    counted: usize,
    /// Figures of this turn, published at its end.
    batch: Box<ConnectionBatch>,
    begun: Instant,
}

/// Serves one accepted connection until it ends.
pub async fn serve(service: Arc<Service>, conn: ConnId, peer: SocketAddr, stream: TcpStream) {
    let (mut read, write) = stream.into_split();
    let write = Arc::new(write);
    let address = rookeeper_tree::acl::peer_address(peer.ip());
    let mut conversation = Conversation::new(conn, address);
    conversation.order_syncs();
    let who = Arc::clone(conversation.identities());
    let connection = service.connections.register(
        conn,
        (peer, Some(Arc::clone(&write))),
        who,
        service.clock.mono(),
    );
    debug!("Accepted socket connection from /{peer}");
    let mut client = ClientConn {
        service: &service,
        connection,
        conversation,
        input: BytesMut::new(),
        read_size: READ_SMALL,
        output: Output::new(),
        submit: Vec::new(),
        held: 0,
        unfinished: false,
        stale: false,
        is_open: false,
        counted: 0,
        batch: Box::default(),
        begun: Instant::now(),
    };
    let end = client.run(&mut read, &write).await;
    client.leave(&end);
    let gracious = !matches!(end, End::Client | End::Socket(_));
    drop(client);
    if gracious {
        connection_end::linger(&mut read).await;
    }
}

impl ClientConn<'_> {
    async fn run(&mut self, read: &mut OwnedReadHalf, write: &OwnedWriteHalf) -> End {
        let end = loop {
            if std::mem::take(&mut self.stale) {
                tokio::time::sleep(STALE_PAUSE).await;
            } else if std::mem::take(&mut self.unfinished) {
                tokio::task::yield_now().await;
            } else if let Err(end) = self.wait(read, write).await {
                break end;
            }
            let outcome = self.turn(write);
            if let Err(End::Word(word)) = outcome {
                self.answer_word(word).await;
            }
            if let Err(end) = outcome {
                break end;
            }
        };
        self.take_mail(true);
        if !matches!(end, End::Client | End::Socket(_)) {
            self.write_out(write).await;
        }
        end
    }

    /// Writes what is left, as long as the client takes it. Who stops reading loses the rest.
    async fn write_out(&mut self, write: &OwnedWriteHalf) {
        let begun = Instant::now();
        while !self.output.is_empty() && begun.elapsed() < FAREWELL {
            match timeout(LINGER, self.output.write(write)).await {
                Ok(Ok(n @ 1..)) => self.output.wrote(n),
                _ => return,
            }
        }
    }

    /// Waits for something to do: input, room for output, mail, or the end of patience.
    async fn wait(&mut self, read: &mut OwnedReadHalf, write: &OwnedWriteHalf) -> Result<(), End> {
        let reading = self.may_read();
        let patience = self.patience();
        if self.input.is_empty() && self.input.capacity() > READ_WASTE * self.read_size {
            self.input = BytesMut::new();
        }
        if reading && self.input.capacity() - self.input.len() < self.read_size {
            self.input.reserve(self.read_size);
        }
        tokio::select! {
            () = self.connection.mailbox.filled() => Ok(()),
            done = read.read_buf(&mut self.input), if reading => match done {
                Ok(0) => Err(End::Client),
                Ok(n) => {
                    self.heard(n);
                    Ok(())
                }
                Err(error) => Err(End::Socket(error)),
            },
            done = self.output.write(write), if !self.output.is_empty() => match done {
                Ok(n) => {
                    self.output.wrote(n);
                    if !reading {
                        // Its pings lie unread behind what it is still fetching: fetching is a sign of life too.
                        self.connection.mailbox.hear(self.service.clock.mono());
                    }
                    Ok(())
                }
                Err(error) => Err(End::Socket(error)),
            },
            () = tokio::time::sleep(patience.unwrap_or_default()), if patience.is_some() => Err(End::NoSession),
        }
    }

    /// How long a connection without a session may still take. One that asked for a session waits for this server, not this
    /// server for it.
    fn patience(&self) -> Option<Duration> {
        let asked = !self.conversation.wants_more();
        if asked || self.conversation.session().is_some() {
            return None;
        }
        Some(
            self.service
                .limits
                .sessionless
                .saturating_sub(self.begun.elapsed()),
        )
    }

    fn may_read(&self) -> bool {
        let crowded = || {
            self.counted > 0
                && self.service.gauges.outstanding.load(Ordering::Relaxed)
                    > self.service.limits.outstanding
        };
        self.has_room() && self.held < HELD_BYTES && self.conversation.wants_more() && !crowded()
    }

    const fn has_room(&self) -> bool {
        self.output.len() < OUTPUT_BUDGET
    }

    fn heard(&mut self, n: usize) {
        self.read_size = if n >= self.read_size {
            (self.read_size * 4).min(READ_LARGE)
        } else if n * READ_WASTE < self.read_size {
            (self.read_size / 4).max(READ_SMALL)
        } else {
            self.read_size
        };
    }

    /// Takes what came, and answers what can be answered.
    fn turn(&mut self, write: &OwnedWriteHalf) -> Result<(), End> {
        let outcome = self.close_mailbox().and_then(|()| self.take_turns());
        self.account();
        outcome?;
        let was_full = !self.has_room();
        self.output.try_write(write).map_err(End::Socket)?;
        // What had to wait for room has it now.
        self.unfinished |= was_full && self.has_room();
        self.open_mailbox();
        Ok(())
    }

    /// Lets the driver answer at the socket, if there is nothing to do here before. That costs the driver's time, so it is for a client
    /// that waits for one answer.
    fn open_mailbox(&mut self) {
        let idle = self.output.is_empty() && !self.unfinished && !self.stale;
        if idle && self.conversation.in_flight() == 1 && self.conversation.outstanding() == 1 {
            self.connection.mailbox.open();
            self.is_open = true;
        }
    }

    /// What the driver began to write goes on before all that comes now.
    fn close_mailbox(&mut self) -> Result<(), End> {
        if std::mem::take(&mut self.is_open)
            && let Some(ending) = self.take_mail(true)
        {
            self.conversation.deafen();
            return Err(End::Ending(ending));
        }
        Ok(())
    }

    /// Frames may have waited in the input for the session to begin, or for room in the queue: they go on without the socket.
    fn take_turns(&mut self) -> Result<(), End> {
        loop {
            self.receive()?;
            self.answer()?;
            let blocked = self.stale || !self.conversation.wants_more() || !self.has_room();
            if blocked || self.unfinished || !self.has_frame() {
                return Ok(());
            }
        }
    }

    /// True when the input begins with a whole frame, or with a length that no frame has.
    fn has_frame(&self) -> bool {
        self.input.first_chunk::<4>().is_some_and(|head| {
            usize::try_from(i32::from_be_bytes(*head))
                .map_or(true, |len| self.input.len() >= 4 + len)
        })
    }

    /// Cuts frames off the input.
    fn receive(&mut self) -> Result<(), End> {
        let before = self.conversation.outstanding();
        let mono = self.service.clock.mono();
        let mut first_word = self.conversation.session().is_none() && before == 0;
        while self.conversation.wants_more() {
            let Some(head) = self.input.first_chunk::<4>() else {
                break;
            };
            if std::mem::take(&mut first_word)
                && let Some(word) = Word::from_bytes(*head)
                && self.connection.talk.received.load(Ordering::Relaxed) == 0
            {
                return self.word(word);
            }
            let announced = i32::from_be_bytes(*head);
            let len = usize::try_from(announced)
                .ok()
                .filter(|len| *len <= self.service.limits.frame);
            let Some(len) = len.filter(|len| *len > 0) else {
                return Err(End::Length(announced));
            };
            if self.input.len() < 4 + len {
                // Room for what may come at once, never for what was only announced.
                self.read_size = (4 + len - self.input.len()).clamp(self.read_size, READ_LARGE);
                break;
            }
            self.input.advance(4);
            let frame = self.input.split_to(len).freeze();
            let frame = self
                .service
                .large_requests
                .admit(frame)
                .map_err(|_| End::LargeRequests)?;
            self.take_frame(frame, mono)?;
        }
        Ok(())
    }

    fn take_frame(&mut self, frame: Bytes, mono: i64) -> Result<(), End> {
        self.connection.mailbox.hear(mono);
        self.connection
            .talk
            .received
            .fetch_add(1, Ordering::Relaxed);
        self.batch.received(frame.len() as u64);
        self.held += frame.len();
        let who = Arc::as_ptr(self.conversation.identities());
        let auth = &self.service.replica.auth;
        let taken = self
            .conversation
            .receive(auth, mono, frame, self.output.tail());
        if !std::ptr::eq(who, Arc::as_ptr(self.conversation.identities())) {
            self.connection
                .mailbox
                .set_identities(Arc::clone(self.conversation.identities()));
        }
        match taken {
            Ok(None) => Ok(()),
            Ok(Some(input)) => {
                log_connect(&input, self.connection.peer);
                self.service.inbox.send(Message::Input(input));
                Ok(())
            }
            Err(fault) => {
                if matches!(fault, Fault::AuthRefused(_)) {
                    self.service
                        .metrics
                        .count_lasting(LastingCounter::AuthFailed);
                }
                Err(End::Fault(fault))
            }
        }
    }

    /// Moves mail to the output, if there is `room`, and does what it says.
    fn take_mail(&mut self, room: bool) -> Option<Ending> {
        let mail = self.connection.mailbox.take(self.output.tail(), room);
        self.note_sent(mail.answered + mail.others);
        if let Some(bytes) = mail.other_bytes.checked_div(mail.others) {
            (0..mail.others).for_each(|_| self.batch.sent(bytes as u64));
        }
        if mail.answered > 0 {
            let (now, metrics) = (self.service.clock.mono(), &self.service.metrics);
            let mut last = self.connection.talk.last.lock();
            last.zxid = mail.last_zxid;
            let bytes = mail
                .answer_bytes
                .checked_div(mail.answered)
                .unwrap_or_default() as u64;
            let batch = &mut self.batch;
            self.conversation.completed(mail.answered, |answered| {
                let latency = now - answered.received_at;
                last.note(answered.op, answered.xid, now, latency);
                let latency = latency.unsigned_abs();
                if answered.is_update() {
                    batch.answered_update(metrics, latency, bytes);
                } else {
                    batch.answered_read(metrics, latency, bytes);
                }
            });
        }
        if let Some((session, timeout_ms)) = mail.opened {
            self.conversation.open(session);
            self.connection.talk.last.lock().opened();
            self.connection
                .talk
                .timeout_ms
                .store(timeout_ms, Ordering::Relaxed);
            self.log_session(session, timeout_ms);
        }
        mail.ending
            .or_else(|| self.interrupted(mail.interrupted, mail.resumed))
    }

    /// The member lost its leader, or has one again.
    fn interrupted(&mut self, interrupted: bool, resumed: bool) -> Option<Ending> {
        if interrupted && !self.conversation.interrupt() {
            return Some(Ending::Member(CloseReason::NotServing));
        }
        if resumed {
            self.conversation.resume();
            self.unfinished = true;
        }
        None
    }

    fn note_sent(&self, frames: usize) {
        let sent = &self.connection.talk.sent;
        sent.fetch_add(frames as u64, Ordering::Relaxed);
    }

    fn answer(&mut self) -> Result<(), End> {
        loop {
            if let Some(ending) = self.take_mail(self.has_room()) {
                self.conversation.deafen();
                return Err(End::Ending(ending));
            }
            self.conversation.submit_writes(&mut self.submit);
            if !self.submit.is_empty() {
                self.service.inbox.send_all(&mut self.submit);
            }
            if self.unfinished || !self.conversation.wants_to_read() || !self.has_room() {
                return Ok(());
            }
            self.serve_reads()?;
            if self.stale {
                return Ok(());
            }
        }
    }

    /// Serves reads one by one until there is no more, no room, or no time.
    fn serve_reads(&mut self) -> Result<(), End> {
        let service = self.service;
        if !service.replica.is_fresh(service.clock.mono()) {
            self.stale = true;
            return Ok(());
        }
        let tree = service.replica.tree.read();
        // All of it: what it says happened before what is read now.
        if let Some(ending) = self.take_mail(true) {
            return Err(End::Ending(ending));
        }
        if self.conversation.is_interrupted() {
            return Ok(());
        }
        let view = View {
            tree: &tree,
            watches: &service.replica.watches,
            auth: &service.replica.auth,
        };
        let (begun, now) = (Instant::now(), service.clock.mono());
        let mut last = self.connection.talk.last.lock();
        last.zxid = tree.last_zxid();
        let (batch, mut served) = (&mut self.batch, 0);
        let mut note = |answered: Answered| {
            let latency = now - answered.received_at;
            last.note(answered.op, answered.xid, now, latency);
            let bytes = answered.bytes as u64;
            batch.answered_read(&service.metrics, latency.unsigned_abs(), bytes);
            served += 1;
        };
        let mut outcome = Ok(());
        while outcome.is_ok()
            && self.output.len() < OUTPUT_BUDGET
            && self.conversation.wants_to_read()
        {
            if begun.elapsed() > READ_SLICE {
                self.unfinished = true;
                break;
            }
            self.conversation.warm(&tree, READS_PER_LOOK);
            let room = OUTPUT_BUDGET - self.output.len();
            let out = self.output.tail();
            let bounds = (READS_PER_LOOK, out.len() + room);
            outcome = self.conversation.serve_reads(&view, bounds, out, &mut note);
        }
        drop(last);
        self.note_sent(served);
        outcome.map_err(End::Fault)
    }

    /// Keeps the server's figure of outstanding requests right.
    fn account(&mut self) {
        let now = self.conversation.outstanding();
        let figure = &self.service.gauges.outstanding;
        if now > self.counted {
            figure.fetch_add(now - self.counted, Ordering::Relaxed);
        } else if now < self.counted {
            figure.fetch_sub(self.counted - now, Ordering::Relaxed);
        }
        self.counted = now;
        if now == 0 {
            self.held = 0;
        }
        self.service.metrics.publish(&mut self.batch);
        self.connection
            .talk
            .queued
            .store(now as u64, Ordering::Relaxed);
    }

    /// A word and what belongs to it: complete, or not yet.
    fn word(&self, word: Word) -> Result<(), End> {
        if self.input.len() < 4 + word.extra_bytes() {
            Ok(())
        } else {
            Err(End::Word(word))
        }
    }

    async fn answer_word(&mut self, word: Word) {
        self.input.advance(4);
        let extra = self.input.split_to(word.extra_bytes());
        self.connection
            .talk
            .received
            .fetch_add(1, Ordering::Relaxed);
        let asker = self.connection.mailbox.conn();
        // On the heap: else every connection has the room that a report takes, for the one in a thousand that asks.
        let answer = Box::pin(words_port::answer(self.service, word, &extra, asker)).await;
        self.output.tail().extend(answer);
    }

    fn log_session(&self, session: SessionId, timeout_ms: i32) {
        debug!(
            "Established session {session} with negotiated timeout {timeout_ms} for client /{}",
            self.connection.peer
        );
    }

    fn leave(&mut self, end: &End) {
        self.conversation.deafen();
        let outstanding = &self.service.gauges.outstanding;
        outstanding.fetch_sub(std::mem::take(&mut self.counted), Ordering::Relaxed);
        let conn = self.conversation.conn();
        let peer = self.connection.peer;
        self.service.connections.leave(conn, peer.ip());
        let watches = &self.service.replica.watches.0;
        while !watches.lock().remove_some(WatcherId(conn.0), FORGET_CHUNK) {}
        self.service.metrics.publish(&mut self.batch);
        self.service
            .inbox
            .send(Message::Input(Input::Disconnected(conn)));
        end.log(peer, self.connection.mailbox.session());
    }
}

fn log_connect(input: &Input, peer: SocketAddr) {
    let Input::Connect { request, .. } = input else {
        return;
    };
    let what = if request.session == SessionId::NONE {
        "establish new session"
    } else {
        "renew session"
    };
    debug!(
        "Client attempting to {what}: session = {}, zxid = {}, timeout = {}, address = /{peer}",
        request.session, request.last_zxid_seen, request.timeout_ms
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten thousand idle clients cost ten thousand of these.
    const MOST: usize = 1280;

    fn size_of_task<F: Future>(
        _: impl Fn(Arc<Service>, ConnId, SocketAddr, TcpStream) -> F,
    ) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_task_of_a_connection_is_small() {
        let size = size_of_task(serve);
        assert!(size <= MOST, "{size} bytes");
    }
}
