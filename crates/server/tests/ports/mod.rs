//! Ports for servers that are stopped and started again at the same place.
//!
//! They lie below those that the system gives to whoever connects, so no connection of another test sits there meanwhile.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 10_000;
const COUNT: u16 = 10_000;
/// Test programs of one run have numbers in a row, and use some hundred ports at most.
const APART: u32 = 397;

/// Ports that nobody has now, and that this program gives to nobody else.
pub fn free_ports(count: usize) -> Vec<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() * APART % u32::from(COUNT)).unwrap();
    let next = || FIRST + (own + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
    std::iter::repeat_with(next)
        .filter(|port| TcpListener::bind(("0.0.0.0", *port)).is_ok())
        .take(count)
        .collect()
}
