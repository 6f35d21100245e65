//! What comes from one peer: packets, and the state that follows a SNAP.
//!
//! What lives here: cutting a stream into packets, and giving the stream away where the state begins. What does not: what a packet
//! means.
//!
//! The driver itself reads packets, as many as have come, and never waits for one: a thread between it and the socket would have to
//! be woken for each, and would have to wake the driver. A state is read by whoever may wait for it.
//!
//! Nothing is allocated by an announced length: bytes are gathered as they come, up to the limit of a packet.

use std::io::{self, Read};
use std::net::TcpStream;
use std::time::Duration;

use bytes::BytesMut;
use rookeeper_proto::jute::{DecodeError, Reader};
use rookeeper_proto::packet::Packet;
use rookeeper_proto::source::{Source, SourceError};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use thiserror::Error;

use super::outbox::SIGNATURE;
use crate::background;

/// Bytes read from the socket at once.
const READ: usize = 128 * 1024;
/// Bytes read in one turn; beyond, the rest waits for the next one.
const BATCH: usize = 1024 * 1024;

/// Why a connection ended.
#[derive(Debug, Error)]
pub enum InletError {
    /// The other end closed it.
    #[error("the other end closed the connection")]
    Closed,
    /// The socket.
    #[error(transparent)]
    Socket(#[from] io::Error),
    /// Nothing came for as long as this end waits.
    #[error("nothing more came within {} ms", .0.as_millis())]
    Stalled(Duration),
    /// Not a packet: whatever this is, it does not speak the quorum protocol.
    #[error("it does not speak the quorum protocol: {0}")]
    Malformed(#[from] DecodeError),
    /// What follows a state is not the mark of its end.
    #[error("the state is not followed by its signature")]
    Unsigned,
}

/// The reading end of a connection.
#[derive(Debug)]
pub struct Inlet {
    socket: TcpStream,
    received: BytesMut,
    limit: usize,
    fresh: Box<[u8]>,
    /// Packets may have been received that were not given yet.
    unheard: bool,
}

impl Inlet {
    /// Reads packets whose buffers have at most `limit` bytes.
    #[must_use]
    pub fn new(socket: TcpStream, limit: usize) -> Self {
        Self {
            socket,
            received: BytesMut::new(),
            limit,
            fresh: vec![0; READ].into_boxed_slice(),
            unheard: false,
        }
    }

    /// The socket.
    #[must_use]
    pub const fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// True when packets may be here that the socket will not announce.
    #[must_use]
    pub const fn is_waiting(&self) -> bool {
        self.unheard
    }

    /// Gives the packets that have come, in order, without waiting. `last` ends the batch behind a packet: what follows it may be
    /// none.
    pub fn packets<T>(
        &mut self,
        into: &mut Vec<T>,
        mut meaning: impl FnMut(Packet) -> Result<T, DecodeError>,
        last: impl Fn(&T) -> bool,
    ) -> Result<(), InletError> {
        let (mut bytes, mut more) = (0, true);
        loop {
            while let Some(packet) = Packet::take(&mut self.received, self.limit)? {
                into.push(meaning(packet)?);
                if into.last().is_some_and(&last) {
                    self.unheard = true;
                    return Ok(());
                }
            }
            self.unheard = false;
            if !more || bytes > BATCH {
                return Ok(());
            }
            let n = self.read_now()?;
            more = n == READ;
            bytes += n;
        }
    }

    /// Gathers what the socket has, which may be nothing.
    fn read_now(&mut self) -> Result<usize, InletError> {
        match recv(&self.socket, &mut *self.fresh, RecvFlags::DONTWAIT) {
            Ok((_, 0)) => Err(InletError::Closed),
            Ok((_, n)) => {
                self.keep(n);
                Ok(n)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    /// Waits for something, and gathers it.
    fn read(&mut self) -> Result<(), InletError> {
        let n = loop {
            match self.socket.read(&mut self.fresh) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_late(&error) => return Err(self.stalled()),
                done => break done?,
            }
        };
        if n == 0 {
            return Err(InletError::Closed);
        }
        self.keep(n);
        Ok(())
    }

    fn stalled(&self) -> InletError {
        let patience = self.socket.read_timeout().ok().flatten();
        InletError::Stalled(patience.unwrap_or_default())
    }

    fn keep(&mut self, n: usize) {
        self.received
            .extend_from_slice(self.fresh.get(..n).unwrap_or_default());
    }

    /// Gives the stream to whoever reads the state from it, then checks that it ended where it should.
    pub fn state<T, E: From<InletError>>(
        &mut self,
        load: impl FnOnce(&mut dyn Source) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut stream = Stream {
            inlet: self,
            given: BytesMut::new(),
        };
        let loaded = load(&mut stream)?;
        stream.signature()?;
        self.unheard = true;
        Ok(loaded)
    }
}

/// True for what the system says when the time to read is over: one or the other.
fn is_late(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// The bytes behind a SNAP.
struct Stream<'a> {
    inlet: &'a mut Inlet,
    given: BytesMut,
}

impl Stream<'_> {
    fn gather(&mut self, n: usize) -> Result<&[u8], InletError> {
        while self.inlet.received.len() < n {
            background::pause();
            self.inlet.read()?;
        }
        self.given = self.inlet.received.split_to(n);
        Ok(&self.given)
    }

    fn signature(&mut self) -> Result<(), InletError> {
        let len = self.gather(4)?;
        if Reader::new(len).i32()? != SIGNATURE.len() as i32
            || self.gather(SIGNATURE.len())? != SIGNATURE.as_bytes()
        {
            return Err(InletError::Unsigned);
        }
        Ok(())
    }
}

impl Source for Stream<'_> {
    fn take(&mut self, n: usize) -> Result<&[u8], SourceError> {
        self.gather(n).map_err(|error| SourceError(Box::new(error)))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use rookeeper_proto::ids::Zxid;
    use rookeeper_proto::packet::from_leader::FromLeader;

    use super::*;

    const SNAP: FromLeader = FromLeader::Snap(Zxid(7));

    fn pair() -> (TcpStream, Inlet) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (two, _) = listener.accept().unwrap();
        (one, Inlet::new(two, 1024))
    }

    fn heard(inlet: &mut Inlet) -> Vec<FromLeader> {
        let mut heard = Vec::new();
        let last = |said: &FromLeader| *said == SNAP;
        inlet
            .packets(&mut heard, FromLeader::from_packet, last)
            .unwrap();
        heard
    }

    fn bytes(said: impl IntoIterator<Item = FromLeader>) -> Vec<u8> {
        let mut bytes = Vec::new();
        said.into_iter()
            .for_each(|said| said.into_packet().encode(&mut bytes));
        bytes
    }

    /// What was sent is not there at once.
    fn wait_for(inlet: &Inlet, n: usize) {
        while inlet.socket().peek(&mut [0; 1024]).unwrap() < n {}
    }

    #[test]
    fn only_whole_packets_are_given_and_none_is_waited_for() {
        let (mut one, mut inlet) = pair();
        assert_eq!(heard(&mut inlet), []);
        let said = bytes([FromLeader::Commit(Zxid(1)), FromLeader::Commit(Zxid(2))]);
        let (begin, end) = said.split_at(said.len() - 3);
        one.write_all(begin).unwrap();
        wait_for(&inlet, begin.len());
        assert_eq!(heard(&mut inlet), [FromLeader::Commit(Zxid(1))]);
        one.write_all(end).unwrap();
        wait_for(&inlet, end.len());
        assert_eq!(heard(&mut inlet), [FromLeader::Commit(Zxid(2))]);
        assert!(!inlet.is_waiting());
    }

    #[test]
    fn what_follows_the_last_packet_of_a_batch_is_known_to_wait() {
        let (mut one, mut inlet) = pair();
        let said = bytes([SNAP, FromLeader::UpToDate]);
        one.write_all(&said).unwrap();
        wait_for(&inlet, said.len());
        assert_eq!(heard(&mut inlet), [SNAP]);
        assert!(inlet.is_waiting());
        assert_eq!(heard(&mut inlet), [FromLeader::UpToDate]);
        assert!(!inlet.is_waiting());
    }

    #[test]
    fn the_end_of_a_connection_comes_behind_what_was_said() {
        let (mut one, mut inlet) = pair();
        let said = bytes([FromLeader::UpToDate]);
        one.write_all(&said).unwrap();
        wait_for(&inlet, said.len());
        assert_eq!(heard(&mut inlet), [FromLeader::UpToDate]);
        drop(one);
        let mut heard = Vec::new();
        let end = loop {
            match inlet.packets(&mut heard, FromLeader::from_packet, |_| false) {
                Ok(()) => {}
                Err(end) => break end,
            }
        };
        assert!(matches!(end, InletError::Closed) && heard.is_empty());
    }

    #[test]
    fn a_state_that_stops_coming_is_given_up_with_the_limit_in_the_message() {
        let (_one, mut inlet) = pair();
        // The system counts in steps of a few ms.
        let patience = Duration::from_millis(200);
        inlet.socket().set_read_timeout(Some(patience)).unwrap();
        let end: Result<(), InletError> = inlet.state(|_| Ok(()));
        let text = end.unwrap_err().to_string();
        assert_eq!(text, "nothing more came within 200 ms");
    }
}
