//! What has to be there before something is measured.

use std::io;

use super::traffic::ask_all;
use super::wire::{self, Connection};
use super::work::ROOT;

/// Requests in flight while something is set up.
pub(super) const SETUP_DEPTH: usize = 500;
/// Bytes in flight while large values are set up.
const SETUP_BYTES: usize = 4 << 20;

/// Creates all `paths`; existing ones are fine.
pub(super) async fn create_all<'a>(
    connection: &mut Connection,
    paths: impl Iterator<Item = &'a String>,
    data: &[u8],
) -> io::Result<()> {
    create_with_flags(connection, paths, data, 0).await
}

/// Creates all `paths` with `flags`; existing ones are fine.
pub(super) async fn create_with_flags<'a>(
    connection: &mut Connection,
    paths: impl Iterator<Item = &'a String>,
    data: &[u8],
    flags: i32,
) -> io::Result<()> {
    let depth = (SETUP_BYTES / data.len().max(1)).clamp(1, SETUP_DEPTH);
    let requests =
        paths.map(|path| move |xid, out: &mut Vec<u8>| wire::create(out, xid, path, data, flags));
    ask_all(connection, depth, requests).await?;
    Ok(())
}

/// The znode below which one bench has its own.
pub(super) async fn room(connection: &mut Connection, name: &str) -> io::Result<String> {
    let path = format!("{ROOT}/{name}");
    // One after the other: the second is below the first.
    create_all(connection, [ROOT.to_owned()].iter(), b"").await?;
    create_all(connection, [path.clone()].iter(), b"").await?;
    Ok(path)
}

/// A name that no other run has: creates must not meet their own past.
pub(super) fn run_name() -> String {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    format!("{:x}", since.as_micros())
}
