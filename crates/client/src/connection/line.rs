//! A connection, encrypted or not. Each kind is served by code of its own, so that neither pays for the other.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
#[cfg(feature = "tls")]
use tokio_rustls::client::TlsStream;

/// A connection to a server.
#[derive(Debug)]
pub(super) enum Line {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream<TcpStream>>),
}

impl Line {
    /// Asks a four-letter word, and reads the first bytes of the answer.
    pub(super) async fn ask<const LEN: usize>(&mut self, word: &[u8]) -> io::Result<[u8; LEN]> {
        let mut answer = [0; LEN];
        match self {
            Self::Plain(stream) => {
                stream.write_all(word).await?;
                stream.read_exact(&mut answer).await?;
            }
            #[cfg(feature = "tls")]
            Self::Tls(stream) => {
                stream.write_all(word).await?;
                stream.flush().await?;
                stream.read_exact(&mut answer).await?;
            }
        }
        Ok(answer)
    }
}
