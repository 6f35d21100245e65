//! The ceiling: a server that answers each frame with a reply of fixed size and does nothing else, on one thread.
//!
//! With `--fanout`, a setData also makes it write one event to every connection, in a plain loop: the ceiling of watches.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, BytesMut};
use rookeeper_proto::code::{EventType, OpCode};
use rookeeper_proto::ids::Zxid;
use rookeeper_proto::response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const BUFFER: usize = 64 * 1024;
/// The path that events speak of: as long as that of `bench fanout`.
const EVENT_PATH: &str = "/rookeeper-bench/fanout";

/// Every connection, for events.
#[derive(Debug, Clone, Default)]
#[expect(
    clippy::disallowed_types,
    reason = "a plain write to a socket is the floor that is measured"
)]
struct Listeners(Arc<Mutex<Vec<std::net::TcpStream>>>);

impl Listeners {
    /// Takes a second handle on the connection.
    fn add(&self, stream: TcpStream) -> io::Result<TcpStream> {
        let stream = stream.into_std()?;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(stream.try_clone()?);
        TcpStream::from_std(stream)
    }

    /// Writes one event to each; who is gone, or does not read, is forgotten.
    fn tell(&self, event: &[u8]) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain_mut(|stream| {
            stream
                .write(event)
                .is_ok_and(|written| written == event.len())
        });
    }
}

/// Serves until the process ends. `reply` is the length of a reply body behind its 16-byte header.
pub(super) async fn serve(address: &str, reply: usize, fanout: bool) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let listeners = fanout.then(Listeners::default);
    loop {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        if let Some(listeners) = &listeners {
            stream = listeners.add(stream)?;
        }
        let listeners = listeners.clone();
        // A connection that fails ends alone.
        tokio::spawn(async move { answer(stream, reply, listeners).await.unwrap_or_default() });
    }
}

async fn answer(
    mut stream: TcpStream,
    reply: usize,
    listeners: Option<Listeners>,
) -> io::Result<()> {
    let mut frame = vec![0; 4 + 16 + reply];
    let len = u32::try_from(16 + reply).unwrap_or(u32::MAX);
    frame.splice(..4, len.to_be_bytes());
    let mut event = Vec::new();
    response::event(&mut event, Zxid(1), EventType::NodeDataChanged, EVENT_PATH);
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
            if let Some(listeners) = &listeners
                && input.get(8..12) == Some(&OpCode::SetData.code().to_be_bytes())
            {
                listeners.tell(&event);
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
