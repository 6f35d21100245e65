//! A whole server over a disk whose power goes, whose space ends, or which fails: whatever was acknowledged over a socket is there
//! afterwards, what is there is a prefix of what was sent, and the result always loads with the right digests.
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

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use raw::*;
use rookeeper_server::boot::{Outcome, Server, StartError};
use rookeeper_server::config::Settings;
use rookeeper_storage::cut_disk::{CutDisk, Fault, Tear};

/// Requests in flight of the one client.
const WINDOW: usize = 8;
/// Creates of one life.
const WORK: usize = 120;
/// Every so many creates one is ephemeral.
const EPHEMERAL: usize = 5;

fn member(words: &[&str]) -> Settings {
    let mut all = vec!["-Dzookeeper.snapCount=30"];
    all.extend(words);
    settings(Path::new("/member"), 2000, &all)
}

fn start(disk: &CutDisk, words: &[&str]) -> Result<Server, StartError> {
    capture_log();
    Server::start_on(Arc::new(disk.clone()), member(words))
}

/// What the client knows of the znodes `/n0`, `/n1`, ... that it creates one after the other.
#[derive(Default)]
struct History {
    /// zxid of each create that was acknowledged.
    acknowledged: BTreeMap<usize, i64>,
    /// Creates that were sent.
    sent: usize,
    /// The sessions that were acknowledged.
    sessions: Vec<Hello>,
}

impl History {
    /// Creates until the server ends or the work is done.
    fn work(&mut self, address: SocketAddr) -> io::Result<()> {
        let mut client = Client::open(address, &Hello::default())?;
        self.sessions.push(client.hello());
        let (end, mut unanswered) = (self.sent + WORK, self.sent);
        while unanswered < end {
            while self.sent < end && self.sent - unanswered < WINDOW {
                let (path, text) = (format!("/n{}", self.sent), self.sent.to_string());
                let flags = i32::from(self.sent.is_multiple_of(EPHEMERAL));
                self.sent += 1;
                client.send(op::CREATE, &create(&path, text.as_bytes(), flags))?;
            }
            let reply = client.reply()?;
            assert_eq!(reply.err, 0);
            self.acknowledged.insert(unanswered, reply.zxid);
            unanswered += 1;
        }
        Ok(())
    }

    /// Compares with what a restarted server has, which counts from now on.
    fn check(&mut self, server: &Server) {
        let mismatches = &server.service().gauges.digest_mismatches;
        assert_eq!(mismatches.load(Ordering::Relaxed), 0, "digests");
        let address = server.client_address().unwrap();
        let mut client = Client::connect(address);
        let names = client.must(op::GET_CHILDREN, &path_watch("/")).names();
        let found: BTreeSet<usize> = names
            .iter()
            .filter_map(|name| name.strip_prefix('n')?.parse().ok())
            .collect();
        let acknowledged = self.acknowledged.keys().next_back().map_or(0, |n| n + 1);
        let end = found.len();
        assert_eq!(found, (0..end).collect(), "a prefix of what was sent");
        assert!(
            end >= acknowledged,
            "{acknowledged} acknowledged, {end} found"
        );
        assert!(end <= self.sent, "{} sent, {end} found", self.sent);
        for (n, zxid) in self.acknowledged.iter().rev().take(2 * WINDOW) {
            let path = path_watch(&format!("/n{n}"));
            let reply = client.must(op::GET_DATA, &path);
            assert_eq!(reply.data(), n.to_string().as_bytes());
            let stat = &reply.body[4 + reply.data().len()..];
            assert_eq!(stat[..8], zxid.to_be_bytes(), "czxid");
        }
        for hello in &self.sessions {
            let again = Client::open(address, hello).unwrap();
            assert_eq!(again.session, hello.session, "an acknowledged session");
        }
        client.must(op::CLOSE, &Out::new());
        self.sent = end;
    }
}

/// One life of the server under work. Errors of the start are the cut's.
fn live(disk: &CutDisk, history: &mut History) {
    let Ok(server) = start(disk, &[]) else {
        assert!(disk.is_off(), "only a cut may prevent a start");
        return;
    };
    // The purge of the start runs beside: what it deletes must not be missed, wherever the cut falls.
    let (address, stopper) = (server.client_address().unwrap(), server.stopper());
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let done = history.work(address);
            stopper.stop();
            done
        });
        let outcome = server.wait();
        drop(server);
        let done = worker.join().unwrap();
        assert!(done.is_ok() || disk.is_off(), "{done:?}");
        assert!(outcome == Outcome::Stopped || disk.is_off());
    });
}

#[test]
fn nothing_acknowledged_is_lost_wherever_the_power_goes() {
    // How many operations a life has, and that a life without a cut is in order.
    let disk = CutDisk::new();
    let mut history = History::default();
    live(&disk, &mut history);
    assert_eq!(history.acknowledged.len(), WORK);
    let operations = disk.operations();
    let step = (operations / 40).max(1);
    let (mut lost_power, mut seed) = (0, 0);
    for cut in (1..operations).step_by(usize::try_from(step).unwrap()) {
        let disk = CutDisk::new();
        let mut history = History::default();
        // Two lives that end in darkness: the second one recovers, purges and works on what the first left.
        for n in [cut, 1 + cut % (operations / 2)] {
            seed += 1;
            disk.cut_at(n);
            live(&disk, &mut history);
            lost_power += u32::from(disk.is_off());
            disk.restart(match seed % 4 {
                0 => Tear::Nothing,
                1 => Tear::Everything,
                2 => Tear::Prefix(seed),
                _ => Tear::Sectors(seed),
            });
            let server = start(&disk, &[]).unwrap_or_else(|error| {
                panic!("after a cut at operation {n} ({seed}): {error}");
            });
            history.check(&server);
            assert_eq!(server.stop(), Outcome::Stopped);
        }
    }
    assert!(lost_power > 60, "only {lost_power} cuts took place");
}

#[test]
fn a_full_disk_refuses_writes_serves_reads_and_resumes_by_itself() {
    let disk = CutDisk::new();
    let server = start(&disk, &[]).unwrap();
    let address = server.client_address().unwrap();
    let mut client = Client::connect(address);
    let mut idle = Client::connect(address);
    client.must(op::CREATE, &create("/full", b"0", 0));
    disk.fail_from(0, Fault::Full);
    // What is allocated is used up first.
    let mut last = 0;
    let refused = await_some("the disk is full", || {
        let text = format!("{:09000}", last + 1);
        let reply = client.call(op::SET_DATA, &set_data("/full", text.as_bytes()));
        let err = reply.unwrap().err;
        last += i32::from(err == 0);
        (err != 0).then_some(err)
    });
    assert_eq!(refused, -1);
    assert!(server.service().gauges.disk_full.load(Ordering::Relaxed));
    let shown = |client: &mut Client| -> i32 {
        let reply = client.must(op::GET_DATA, &path_watch("/full"));
        String::from_utf8(reply.data().to_vec())
            .unwrap()
            .parse()
            .unwrap()
    };
    assert_eq!(shown(&mut client), last);
    assert_eq!(shown(&mut idle), last);
    assert!(
        Client::open(address, &Hello::default()).is_err(),
        "no new session"
    );
    let moved = Client::open(address, &idle.hello()).unwrap();
    assert_eq!(moved.session, idle.session, "an old session may move");
    disk.heal();
    await_true("writes resume", || {
        let reply = client.call(op::SET_DATA, &set_data("/full", b"77"));
        reply.unwrap().err == 0
    });
    Client::connect(address).must(op::CREATE, &create("/after", b"", 0));
    assert_eq!(server.stop(), Outcome::Stopped);
    disk.restart(Tear::Nothing);
    let server = start(&disk, &[]).unwrap();
    let mut client = Client::connect(server.client_address().unwrap());
    assert_eq!(shown(&mut client), 77);
    client.must(op::EXISTS, &path_watch("/after"));
}

#[test]
fn a_disk_that_fails_ends_the_server_and_nothing_more_is_acknowledged() {
    let disk = CutDisk::new();
    let server = start(&disk, &[]).unwrap();
    let mut client = Client::connect(server.client_address().unwrap());
    client.must(op::CREATE, &create("/kept", b"", 0));
    disk.fail_from(0, Fault::Broken);
    client.send(op::CREATE, &create("/lost", b"", 0)).unwrap();
    assert_eq!(server.wait(), Outcome::LogFailed);
    drop(server);
    assert!(client.drain().unwrap().is_empty(), "no answer");
    disk.restart(Tear::Nothing);
    let server = start(&disk, &[]).unwrap();
    let mut client = Client::connect(server.client_address().unwrap());
    client.must(op::EXISTS, &path_watch("/kept"));
}

#[test]
fn a_server_stops_although_its_log_waits_for_room() {
    let disk = CutDisk::new();
    let server = start(&disk, &["-Dzookeeper.preAllocSize=0"]).unwrap();
    let mut client = Client::connect(server.client_address().unwrap());
    client.must(op::CREATE, &create("/kept", b"", 0));
    disk.fail_from(0, Fault::Full);
    client.send(op::CREATE, &create("/wait", b"", 0)).unwrap();
    logged(&["the log waits for room on the disk"]);
    assert_eq!(server.stop(), Outcome::Stopped);
    disk.restart(Tear::Nothing);
    let server = start(&disk, &[]).unwrap();
    let mut client = Client::connect(server.client_address().unwrap());
    client.must(op::EXISTS, &path_watch("/kept"));
}

#[test]
fn a_server_that_stops_during_a_snapshot_leaves_its_directory_free() {
    let dir = tempfile::tempdir().unwrap();
    let (server, address) = server(dir.path(), 2000, &[]);
    let mut client = Client::connect(address);
    for part in 0..10 {
        let nodes: Vec<_> = (0..3000)
            .map(|n| (op::CREATE, create(&format!("/{part}-{n}"), &[7; 100], 0)))
            .collect();
        client.must(op::MULTI, &multi(&nodes));
    }
    drop(client);
    assert_eq!(server.stop(), Outcome::Stopped);
    // Every start with something to replay begins a snapshot at once.
    for _ in 0..5 {
        let server = Server::start(settings(dir.path(), 2000, &[])).unwrap();
        assert_eq!(server.stop(), Outcome::Stopped);
    }
}
