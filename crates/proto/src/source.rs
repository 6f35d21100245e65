//! A stream of bytes that is read once, front to back: how a tree image reaches the tree, whatever it comes from (a snapshot
//! file, a leader's SNAP), without the tree knowing files or sockets.

use std::error::Error;

/// Why a stream gave no bytes: its own error, boxed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SourceError(#[from] pub Box<dyn Error + Send + Sync>);

/// Gives the next bytes of a stream.
pub trait Source {
    /// The next `n` bytes, valid until the next call. Implementations must not allocate `n` bytes before that many are there.
    ///
    /// # Errors
    /// When the stream ends before, or cannot be read.
    fn take(&mut self, n: usize) -> Result<&[u8], SourceError>;
}
