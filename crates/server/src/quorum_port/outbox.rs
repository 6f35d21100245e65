//! What waits to be sent to one peer, and the thread that sends it.
//!
//! What lives here: the queue, in which packets are bytes already and big things are names: a part of the log, or the state. They
//! are read while they are sent, by the thread that sends. What does not: what is queued.
//!
//! The driver hands over what it has gathered once per batch ([`Outbox::flush`]). Where nothing waits it goes to the socket at once,
//! as far as that takes it: no thread has to be woken for an acknowledgement.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::thread;

use parking_lot::{Condvar, Mutex};
use rookeeper_database::history::History;
use rookeeper_proto::jute::Writer;
use rookeeper_proto::packet::Packet;
use rookeeper_proto::packet::from_leader::FromLeader;
use rookeeper_quorum::sync_plan::LogRange;
use rookeeper_tree::image::Image;
use rustix::net::SendFlags;
use tracing::{debug, info, warn};

use super::name_of;
use crate::background;
use crate::replica::Replica;

/// Bytes that may wait for one peer: what a busy leader proposes while a learner receives a large state.
const MAX_QUEUED: usize = 512 * 1024 * 1024;
/// Bytes of a state or of the log that are gathered before they are written; for a state, under one read guard.
const PIECE: usize = 64 * 1024;
/// What follows a state: the reader knows that it was not cut short.
pub const SIGNATURE: &str = "BenWasHere";

#[derive(Debug)]
enum Item {
    Bytes(Vec<u8>),
    Log(History, LogRange),
    Image(Image, Arc<Replica>),
}

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    /// The thread is sending something that it has taken.
    busy: bool,
    /// Nothing more is taken; the thread ends.
    ending: bool,
}

#[derive(Debug)]
struct Shared {
    socket: TcpStream,
    queue: Mutex<Queue>,
    filled: Condvar,
}

/// The driver's end of a connection. Dropping it sends what the peer takes at once, and closes the connection.
#[derive(Debug)]
pub struct Outbox {
    shared: Arc<Shared>,
    gathered: Vec<u8>,
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.flush();
        if !self.shared.is_idle() {
            // The thread may be in the middle of a write that a hung peer never takes: only this ends it, and gives a state back.
            self.cut();
        }
        self.shared.queue.lock().ending = true;
        self.shared.filled.notify_one();
    }
}

impl Outbox {
    /// Begins to send; the name is that of the thread.
    pub fn start(socket: TcpStream, name: &str) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            socket,
            queue: Mutex::default(),
            filled: Condvar::new(),
        });
        let sending = Arc::clone(&shared);
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || sending.send_all())?;
        Ok(Self {
            shared,
            gathered: Vec::new(),
        })
    }

    /// Adds a packet to what goes out with the next [`Self::flush`].
    pub fn say(&mut self, packet: &Packet) {
        packet.encode(&mut self.gathered);
    }

    /// Hands over what was gathered.
    pub fn flush(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        // Nobody else adds anything, so what is idle stays idle, and the lock need not be held while something is sent.
        let sent = if self.shared.is_idle() {
            self.send_now()
        } else {
            0
        };
        if sent == self.gathered.len() {
            self.gathered.clear();
            return;
        }
        self.gathered.drain(..sent);
        let left = Item::Bytes(std::mem::take(&mut self.gathered));
        self.shared.add(&mut self.shared.queue.lock(), left);
    }

    /// Bytes that the socket took without waiting. An error shows again where the thread writes.
    fn send_now(&self) -> usize {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        rustix::net::send(&self.shared.socket, &self.gathered, flags).unwrap_or(0)
    }

    /// Queues records of the log, each as a proposal and its commit.
    pub fn send_log(&mut self, history: History, range: LogRange) {
        self.send_big(Item::Log(history, range));
    }

    /// Queues the state.
    pub fn send_image(&mut self, image: Image, replica: Arc<Replica>) {
        self.send_big(Item::Image(image, replica));
    }

    fn send_big(&mut self, item: Item) {
        self.flush();
        let mut queue = self.shared.queue.lock();
        self.shared.add(&mut queue, item);
    }

    /// Closes the connection at once; nothing more is sent.
    pub fn cut(&self) {
        self.shared.cut();
    }
}

impl Shared {
    /// Nothing waits, and nothing is being sent.
    fn is_idle(&self) -> bool {
        let queue = self.queue.lock();
        !queue.busy && queue.items.is_empty()
    }

    fn add(&self, queue: &mut Queue, item: Item) {
        if let Item::Bytes(bytes) = &item {
            queue.bytes += bytes.len();
        }
        if queue.bytes > MAX_QUEUED {
            warn!(
                "{} does not keep up: {} bytes wait for it; the connection is closed",
                name_of(self.socket.peer_addr()),
                queue.bytes
            );
            self.cut();
            queue.items.clear();
            queue.ending = true;
        } else {
            queue.items.push_back(item);
        }
        self.filled.notify_one();
    }

    fn cut(&self) {
        // It may be closed already.
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    fn send_all(&self) {
        while let Some(item) = self.next() {
            if let Err(error) = self.send(item) {
                debug!(%error, "cannot send to {}", name_of(self.socket.peer_addr()));
                self.queue.lock().ending = true;
                break;
            }
        }
        self.queue.lock().items.clear();
        self.cut();
    }

    /// The next item; `None` at the end.
    fn next(&self) -> Option<Item> {
        let mut queue = self.queue.lock();
        queue.busy = false;
        loop {
            if let Some(item) = queue.items.pop_front() {
                queue.busy = true;
                if let Item::Bytes(bytes) = &item {
                    queue.bytes -= bytes.len();
                }
                return Some(item);
            }
            if queue.ending {
                return None;
            }
            self.filled.wait(&mut queue);
        }
    }

    fn send(&self, item: Item) -> io::Result<()> {
        match item {
            Item::Bytes(bytes) => (&self.socket).write_all(&bytes),
            Item::Log(history, range) => self.send_log(&history, range),
            Item::Image(image, replica) => {
                let sent = self.send_image_aside(image, &replica);
                replica.tree.write().close_images();
                sent
            }
        }
    }

    fn send_log(&self, history: &History, range: LogRange) -> io::Result<()> {
        let (mut piece, mut sent) = (Vec::with_capacity(PIECE * 2), Ok(()));
        let read = history.give(range, |zxid, txn| {
            FromLeader::Proposal { zxid, txn }
                .into_packet()
                .encode(&mut piece);
            FromLeader::Commit(zxid).into_packet().encode(&mut piece);
            if piece.len() >= PIECE {
                sent = (&self.socket).write_all(&piece);
                piece.clear();
            }
            sent.is_ok()
        });
        if let Err(error) = read {
            warn!(%error, "the log cannot be sent to {}", name_of(self.socket.peer_addr()));
            return Err(io::Error::other(error));
        }
        sent.and_then(|()| (&self.socket).write_all(&piece))
    }

    /// Sends it in a thread that gives way to requests: this one, which proposals need, could not take its rank back.
    fn send_image_aside(&self, image: Image, replica: &Replica) -> io::Result<()> {
        thread::scope(|scope| {
            let sending = thread::Builder::new()
                .name("rookeeper-state".to_owned())
                .spawn_scoped(scope, || {
                    background::give_way();
                    self.send_image(image, replica)
                })?;
            sending
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("the thread of a state panicked")))
        })
    }

    fn send_image(&self, mut image: Image, replica: &Replica) -> io::Result<()> {
        let (mut piece, mut bytes) = (Vec::with_capacity(PIECE * 2), 0);
        loop {
            piece.clear();
            let more = image.next_chunk(&replica.tree.read(), PIECE, &mut piece);
            if !more {
                piece.put_string(SIGNATURE);
            }
            bytes += piece.len();
            (&self.socket).write_all(&piece)?;
            if !more {
                break;
            }
            background::pause();
        }
        info!(
            "state {} sent to {}: {bytes} bytes",
            image.zxid(),
            name_of(self.socket.peer_addr())
        );
        Ok(())
    }
}
