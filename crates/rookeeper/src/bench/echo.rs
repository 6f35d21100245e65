//! The ceiling: a server that answers each frame with a reply of fixed size and does nothing else, on one thread.

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const BUFFER: usize = 64 * 1024;

/// Serves until the process ends. `reply` is the length of a reply body behind its 16-byte header.
pub(super) async fn serve(address: &str, reply: usize) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        // A connection that fails ends alone.
        tokio::spawn(async move { answer(stream, reply).await.unwrap_or_default() });
    }
}

async fn answer(mut stream: TcpStream, reply: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut frame = vec![0; 4 + 16 + reply];
    let len = u32::try_from(16 + reply).unwrap_or(u32::MAX);
    frame.splice(..4, len.to_be_bytes());
    let (mut input, mut output) = (BytesMut::with_capacity(BUFFER), Vec::new());
    loop {
        input.reserve(BUFFER);
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
        output.clear();
        while let Some(head) = input.first_chunk::<4>() {
            let len = u32::from_be_bytes(*head) as usize;
            if input.len() < 4 + len {
                break;
            }
            let xid = input.get(4..8).map(<[u8]>::to_vec).unwrap_or_default();
            input.advance(4 + len);
            let start = output.len();
            output.extend_from_slice(&frame);
            if let Some(slot) = output.get_mut(start + 4..start + 4 + xid.len()) {
                slot.copy_from_slice(&xid);
            }
        }
        stream.write_all(&output).await?;
    }
}
