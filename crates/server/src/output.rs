//! Bytes on their way to one client's socket.
//!
//! Invariant: a slow client costs the time to copy its bytes once or twice, never once per write of the socket.

use std::io;

use tokio::net::tcp::OwnedWriteHalf;

/// Bytes that were written and still lie in front, before they are moved away.
const COMPACT_FROM: usize = 64 * 1024;
/// Memory that an idle connection may keep, bytes.
const KEPT: usize = 4 * 1024;
/// Memory goes back when so many times more is held than the last flush needed.
const WASTE: usize = 8;

/// What waits to be written.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    written: usize,
}

impl Output {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            written: 0,
        }
    }

    /// Bytes that wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// True when nothing waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What waits, oldest first.
    #[must_use]
    pub fn waiting(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    /// Where more is appended. Only for appending: what lies there already may have been written.
    pub const fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Writes what the socket takes at once, which may be nothing.
    pub fn try_write(&mut self, socket: &OwnedWriteHalf) -> io::Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        match socket.try_write(self.waiting()) {
            Ok(n) => self.wrote(n),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Waits until the socket takes something; how much is for [`Self::wrote`]. Nothing was written when this is given up.
    pub async fn write(&self, socket: &OwnedWriteHalf) -> io::Result<usize> {
        loop {
            socket.writable().await?;
            match socket.try_write(self.waiting()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
    }

    /// The socket took the first `n` waiting bytes.
    pub fn wrote(&mut self, n: usize) {
        self.written = (self.written + n).min(self.bytes.len());
        if self.is_empty() {
            let used = std::mem::take(&mut self.written);
            self.bytes.clear();
            release(&mut self.bytes, used);
        } else if self.written >= COMPACT_FROM && self.written >= self.len() {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
    }
}

/// Gives the memory of an empty buffer back if it is much more than the `used` bytes that it held last.
pub(crate) fn release(empty: &mut Vec<u8>, used: usize) {
    if empty.capacity() > KEPT && empty.capacity() / WASTE > used {
        *empty = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_in_pieces_comes_out_in_order_and_is_moved_seldom() {
        let all: Vec<u8> = (0..1_000_000_u32).map(|n| n as u8).collect();
        let mut output = Output::new();
        output.tail().extend_from_slice(&all);
        let (mut seen, mut moves) = (Vec::new(), 0);
        while !output.is_empty() {
            let piece: Vec<u8> = output.waiting().iter().take(1000).copied().collect();
            seen.extend_from_slice(&piece);
            let before = output.written;
            output.wrote(piece.len());
            moves += usize::from(output.written < before);
        }
        assert_eq!(seen, all);
        assert!(moves < 10, "{moves}");
    }

    #[test]
    fn memory_of_a_large_answer_is_given_back_by_the_next_small_one() {
        let mut output = Output::new();
        output.tail().extend(vec![0; 500_000]);
        output.wrote(500_000);
        output.tail().extend([0; 20]);
        output.wrote(20);
        assert!(output.bytes.capacity() <= KEPT);
    }
}
