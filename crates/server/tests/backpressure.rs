//! While the disk takes its time, requests wait in the sockets of those who sent them and not in the server.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test with real sockets: a failure is its result"
)]

mod raw;

use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use raw::*;
use rookeeper_server::boot::Server;
use rookeeper_storage::cut_disk::CutDisk;
use rookeeper_storage::disk::{Disk, DiskFile, Entry, LockGuard, OpenMode};

/// A disk whose syncs wait while its gate is shut.
#[derive(Debug, Clone, Default)]
struct GatedDisk {
    disk: CutDisk,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    shut: Mutex<bool>,
    changed: Condvar,
}

#[derive(Debug)]
struct GatedFile {
    file: Box<dyn DiskFile>,
    gate: Arc<Gate>,
}

impl Gate {
    fn set(&self, shut: bool) {
        *self.shut.lock().unwrap() = shut;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut shut = self.shut.lock().unwrap();
        while *shut {
            shut = self.changed.wait(shut).unwrap();
        }
    }
}

impl GatedDisk {
    fn gated(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        let gate = Arc::clone(&self.gate);
        Box::new(GatedFile { file, gate })
    }
}

impl Disk for GatedDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.create(path).map(|file| self.gated(file))
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(path, mode).map(|file| self.gated(file))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(dir)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }
    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        self.disk.free_space(dir)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        self.disk.lock(path)
    }
}

impl DiskFile for GatedFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buf)
    }
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }
    fn allocate(&mut self, offset: u64, len: u64) -> io::Result<()> {
        self.file.allocate(offset, len)
    }
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn sync_data(&mut self) -> io::Result<()> {
        self.gate.pass();
        self.file.sync_data()
    }
}

/// Sends as long as the socket takes something within a second, at most `limit` bytes. Returns how many it took.
fn pour(client: &mut Client, bytes: &[u8], limit: usize) -> usize {
    client.stream.set_nonblocking(true).unwrap();
    let (mut poured, mut progress) = (0, Instant::now());
    while poured < limit && progress.elapsed() < Duration::from_secs(1) {
        match client.stream.write(&bytes[poured % bytes.len()..]) {
            Ok(n) => (poured, progress) = (poured + n, Instant::now()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(5));
            }
            Err(error) => panic!("{error}"),
        }
    }
    client.stream.set_nonblocking(false).unwrap();
    poured
}

fn requests_wait_in_the_socket(
    words: &[&str],
    data: usize,
    most_outstanding: usize,
    most_bytes: usize,
) {
    const POUR: usize = 96 * 1024 * 1024;
    capture_log();
    let disk = GatedDisk::default();
    let settings = settings(Path::new("/member"), 2000, words);
    let server = Server::start_on(Arc::new(disk.clone()), settings).unwrap();
    let address = server.client_address().unwrap();
    let mut reader = Client::connect(address);
    let mut greedy = Client::connect(address);
    greedy.must(op::CREATE, &create("/n", b"", 0));
    disk.gate.set(true);
    let one = request(7, op::SET_DATA, &set_data("/n", &vec![1; data]));
    let poured = pour(&mut greedy, &one, POUR);
    let outstanding = server.service().gauges.outstanding.load(Ordering::Relaxed);
    assert!(outstanding <= most_outstanding, "{outstanding} requests");
    assert!(poured < most_bytes, "{poured} bytes");
    for _ in 0..10 {
        reader.must(op::GET_DATA, &path_watch("/n"));
    }
    disk.gate.set(false);
    // The rest of the last request, and a last one that is answered behind all others.
    let begun = poured % one.len();
    let mut sender = greedy.stream.try_clone().unwrap();
    let rest = one[begun..].to_vec();
    let sending = thread::spawn(move || sender.write_all(&rest).unwrap());
    let mut zxid = 0;
    for _ in 0..=poured / one.len() {
        let reply = greedy.reply().unwrap();
        assert_eq!((reply.xid, reply.err), (7, 0));
        assert!(reply.zxid > zxid, "in order");
        zxid = reply.zxid;
    }
    sending.join().unwrap();
    greedy.ping().unwrap();
}

/// What the buffers of a socket may hold on both sides, bytes.
const SOCKET: usize = 24 * 1024 * 1024;

#[test]
fn small_requests_beyond_the_outstanding_limit_wait_in_the_socket() {
    // One read of the socket may bring many requests beyond the limit.
    let words = ["-Dzookeeper.globalOutstandingLimit=50"];
    requests_wait_in_the_socket(&words, 1000, 50 + 70, SOCKET);
}

#[test]
fn large_requests_wait_in_the_socket_before_the_outstanding_limit() {
    const HELD: usize = 16 * 1024 * 1024;
    requests_wait_in_the_socket(&[], 1_000_000, 40, SOCKET + HELD);
}
