//! Memory per watch is counted: a million watches of one client, and ten thousand clients at one path, are normal cases.
//!
//! The bytes are computed by the table from the capacities of what it holds.

use rookeeper_tree::watches::{Change, Table, WatchKind, WatchTable, WatcherId};

/// The promise: bytes per watch, beside the text of the path.
const BYTES_PER_WATCH: usize = 48;
/// What an idle table may keep: nothing that grows.
const IDLE_BYTES: usize = 4096;

const MILLION: usize = 1_000_000;
const CLIENTS: u32 = 10_000;

fn path_of_30(n: usize) -> String {
    let path = format!("/services/discovery/n{n:09}");
    assert_eq!(path.len(), 30);
    path
}

/// Bytes per watch beside the texts of the paths.
#[track_caller]
fn check_per_watch(table: &WatchTable, watches: usize, what: &str) -> f64 {
    let bytes = table.memory_estimate() - table.path_bytes();
    assert!(
        bytes <= watches * BYTES_PER_WATCH,
        "{what}: {bytes} bytes for {watches} watches"
    );
    bytes as f64 / watches as f64
}

#[test]
fn a_million_watches_of_one_client() {
    let mut table = WatchTable::new(7);
    let client = WatcherId(1);
    // Just beyond 7/8 of a power of two the hash tables have doubled: the worst case on the way.
    let worst = (1 << 20) / 8 * 7 + 1;
    for n in 0..MILLION {
        table
            .add(client, &path_of_30(n), WatchKind::DataStandard)
            .unwrap();
        if n + 1 == worst {
            let bytes = check_per_watch(&table, worst, "worst fill");
            println!("one client, {worst} paths: {bytes:.1} bytes per watch");
        }
    }
    assert_eq!((table.len(), table.path_bytes()), (MILLION, MILLION * 30));
    let bytes = check_per_watch(&table, MILLION, "a million paths");
    println!("one client, a million paths: {bytes:.1} bytes per watch");
    for n in 0..MILLION / 10 {
        assert_eq!(table.fire(Change::DataChanged(&path_of_30(n))).len(), 1);
    }
    assert_eq!(table.len(), MILLION - MILLION / 10);
    table.remove_watcher(client);
    assert!(table.is_empty());
    assert!(
        table.memory_estimate() < IDLE_BYTES,
        "{}",
        table.memory_estimate()
    );
}

#[test]
fn ten_thousand_clients_at_one_path() {
    let mut table = WatchTable::new(7);
    let path = path_of_30(0);
    // Not in order, as clients come and go.
    for n in 0..CLIENTS {
        table
            .add(
                WatcherId(n * 7919 % CLIENTS),
                &path,
                WatchKind::DataStandard,
            )
            .unwrap();
    }
    let (slot_chunks, clients) = (24 * 1024, CLIENTS as usize);
    let bytes = table.memory_estimate() - table.path_bytes();
    println!(
        "ten thousand clients, one path: {} bytes each",
        bytes / clients
    );
    assert!(bytes <= clients * BYTES_PER_WATCH + slot_chunks, "{bytes}");
    let firings = table.fire(Change::Deleted(&path));
    assert_eq!(firings.len(), 1);
    assert!(firings[0].watchers.iter().map(|id| id.0).eq(0..CLIENTS));
    assert!(table.is_empty() && table.memory_estimate() < IDLE_BYTES);
}

#[test]
fn a_thousand_clients_with_the_same_hundred_paths() {
    let mut table = WatchTable::new(7);
    for client in 0..1000 {
        for n in 0..100 {
            table
                .add(WatcherId(client), &path_of_30(n), WatchKind::Persistent)
                .unwrap();
        }
    }
    assert_eq!(table.len(), 2 * 100_000);
    let bytes = check_per_watch(&table, 100_000, "a hundred paths");
    println!("a thousand clients, a hundred paths: {bytes:.1} bytes per watch");
}

#[test]
fn a_path_as_deep_as_a_frame_is_long_costs_one_pass() {
    let mut table = WatchTable::new(7);
    table.add(WatcherId(1), "/", WatchKind::Recursive).unwrap();
    let deep = "/a".repeat(500_000);
    let firings = table.fire(Change::Created(&deep));
    assert_eq!(firings[0].watchers, [WatcherId(1)]);
    let mut out = Vec::new();
    table.trigger(Table::Child, &deep, &mut out);
    assert_eq!(out, []);
}
