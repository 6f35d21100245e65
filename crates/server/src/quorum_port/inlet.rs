//! What comes from one peer: packets, and the state that follows a SNAP.
//!
//! What lives here: cutting a stream into packets, and giving the stream away where the state begins. What does not: what a packet
//! means.
//!
//! Nothing is allocated by an announced length: bytes are gathered as they come, up to the limit of a packet.

use std::io::{self, Read};
use std::net::TcpStream;

use bytes::BytesMut;
use rookeeper_proto::jute::{DecodeError, Reader};
use rookeeper_proto::packet::Packet;
use rookeeper_proto::source::{Source, SourceError};
use thiserror::Error;

use super::outbox::SIGNATURE;

/// Bytes read from the socket at once.
const READ: usize = 128 * 1024;
/// Bytes of packets handed over at once; beyond, the rest waits for its turn.
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
        }
    }

    /// The socket.
    #[must_use]
    pub const fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Waits for packets and gives all that are there, at least one, in order. `last` ends the batch behind a packet: what follows
    /// it may be none.
    pub fn packets<T>(
        &mut self,
        into: &mut Vec<T>,
        mut meaning: impl FnMut(Packet) -> Result<T, DecodeError>,
        last: impl Fn(&T) -> bool,
    ) -> Result<usize, InletError> {
        let mut bytes = 0;
        loop {
            let before = self.received.len();
            while let Some(packet) = Packet::take(&mut self.received, self.limit)? {
                into.push(meaning(packet)?);
                bytes = before - self.received.len();
                if bytes > BATCH || into.last().is_some_and(&last) {
                    return Ok(bytes);
                }
            }
            if !into.is_empty() {
                return Ok(bytes);
            }
            self.read()?;
        }
    }

    /// Gathers what the socket has.
    fn read(&mut self) -> Result<(), InletError> {
        let n = loop {
            match self.socket.read(&mut self.fresh) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => break done?,
            }
        };
        if n == 0 {
            return Err(InletError::Closed);
        }
        self.received
            .extend_from_slice(self.fresh.get(..n).unwrap_or_default());
        Ok(())
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
        Ok(loaded)
    }
}

/// The bytes behind a SNAP.
struct Stream<'a> {
    inlet: &'a mut Inlet,
    given: BytesMut,
}

impl Stream<'_> {
    fn gather(&mut self, n: usize) -> Result<&[u8], InletError> {
        while self.inlet.received.len() < n {
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
