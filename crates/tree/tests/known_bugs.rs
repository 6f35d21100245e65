//! Stories of known faults of replay and of transactions in logs that stop a Java server. The numbers are those of the issues.
#![allow(
    clippy::unwrap_used,
    reason = "a test may fail this way, also outside of test functions"
)]

use rookeeper_proto::acl::Acl;
use rookeeper_proto::code::{ErrorCode, OpCode};
use rookeeper_proto::ids::{SessionId, Zxid};
use rookeeper_proto::txn::{
    CheckTxn, CreateKind, CreateTxn, DeleteTxn, Record, SetDataTxn, Txn, TxnHeader,
};
use rookeeper_tree::apply::Outcome;
use rookeeper_tree::reaper::Reaping;
use rookeeper_tree::tree::{Tree, TreeOptions};

const NO_NODE: Outcome = Outcome::Failed(ErrorCode::NoNode.code());

struct Log {
    tree: Tree,
    zxid: Zxid,
}

impl Log {
    fn new() -> Self {
        let options = TreeOptions {
            extended_types: true,
            hash_seed: 2,
            max_images: None,
        };
        Self {
            tree: Tree::new(options),
            zxid: Zxid::ZERO,
        }
    }

    /// Reads and applies the next record, as a replay does.
    fn apply(&mut self, txn: Txn) -> Outcome {
        self.zxid = self.zxid.next();
        let header = TxnHeader {
            session: SessionId(7),
            cxid: 0,
            zxid: self.zxid,
            time: 10,
            kind: txn.kind().code(),
        };
        let mut bytes = Vec::new();
        Record {
            header,
            txn,
            digest: None,
        }
        .encode(&mut bytes);
        let record = Record::decode(&bytes.into()).unwrap();
        self.tree
            .apply(&record.header, &record.txn, &mut Vec::new())
    }

    fn create(&mut self, path: &str, kind: CreateKind, parent_cversion: i32) -> Outcome {
        let (path, acl) = (path.to_owned(), Acl::open());
        self.apply(Txn::Create(CreateTxn {
            kind,
            path,
            data: None,
            acl: acl.into(),
            parent_cversion,
        }))
    }

    fn plain(&mut self, path: &str) -> Outcome {
        self.create(path, CreateKind::Plain { ephemeral: false }, -1)
    }

    fn delete(&mut self, path: &str) -> Outcome {
        self.apply(Txn::Delete(DeleteTxn {
            path: path.into(),
            by_server: false,
        }))
    }

    fn set(&mut self, path: &str, text: &'static str) -> Outcome {
        let (path, data) = (path.to_owned(), Some(text.into()));
        self.apply(Txn::SetData(SetDataTxn {
            path,
            data,
            version: 1,
            reconfig: false,
        }))
    }

    fn counters(&self, path: &str) -> (i32, Zxid) {
        let stat = self.tree.get(path).unwrap().persisted();
        (stat.cversion, stat.pzxid)
    }
}

#[test]
fn zookeeper_1573_a_create_below_a_parent_that_the_snapshot_lacks_is_passed_over() {
    let mut log = Log::new();
    assert_eq!(log.plain("/gone/x"), NO_NODE);
    assert_eq!(log.set("/gone", "x"), NO_NODE);
    assert_eq!(log.delete("/gone/x"), NO_NODE);
    assert_eq!(log.tree.last_zxid(), Zxid(3));
}

#[test]
fn zookeeper_2623_a_bare_check_in_the_log_is_passed_over() {
    let mut log = Log::new();
    let check = CheckTxn {
        path: "/none".into(),
        version: 4,
    };
    assert_eq!(log.apply(Txn::Check(check)), Outcome::Done);
}

/// Also the deletes of a session that ends (ZOOKEEPER-3145).
#[test]
fn zookeeper_3125_a_delete_of_what_is_gone_still_tells_its_parent() {
    let mut log = Log::new();
    log.plain("/p");
    assert_eq!(log.delete("/p/gone"), NO_NODE);
    assert_eq!(log.counters("/p"), (0, Zxid(2)));
    log.apply(Txn::CloseSession {
        paths: Some(vec!["/p/gone".into(), "/none/gone".into()]),
    });
    assert_eq!(log.counters("/p"), (0, Zxid(3)));
}

fn plain(path: &str, parent_cversion: i32) -> Txn {
    Txn::Create(CreateTxn {
        kind: CreateKind::Plain { ephemeral: false },
        path: path.to_owned(),
        data: None,
        acl: Acl::open().into(),
        parent_cversion,
    })
}

fn parts() -> Vec<Txn> {
    let set = SetDataTxn {
        path: "/a".into(),
        data: Some("new".into()),
        version: 1,
        reconfig: false,
    };
    vec![
        plain("/m", 1),
        Txn::SetData(set),
        plain("/m/x", 1),
        plain("/last", 2),
    ]
}

/// An image that is open while a multi is applied has nothing of it, wherever it stands, and its zxid says so.
#[test]
fn zookeeper_3127_an_image_has_all_of_a_multi_or_nothing() {
    for pieces in 0..12 {
        let mut log = Log::new();
        log.plain("/a");
        let (before, digest) = (log.tree.last_zxid(), log.tree.digest());
        let mut image = log.tree.open_image().unwrap();
        let mut bytes = Vec::new();
        for _ in 0..pieces {
            image.next_chunk(&log.tree, 1, &mut bytes);
        }
        log.apply(Txn::Multi(parts()));
        while image.next_chunk(&log.tree, 1, &mut bytes) {}
        assert_eq!((image.zxid(), image.digest()), (before, digest));
        let text = String::from_utf8_lossy(&bytes);
        for late in ["/m", "/last", "new"] {
            assert!(!text.contains(late), "{late} after {pieces} pieces");
        }
    }
}

/// A snapshot of Java's may have half of a multi; its log, which begins before, brings the rest, whatever the half was.
#[test]
fn zookeeper_3127_half_a_multi_is_made_whole_by_the_log() {
    let zxid = Zxid(2);
    let whole = {
        let mut log = Log::new();
        log.plain("/a");
        log.apply(Txn::Multi(parts()));
        log.tree.digest()
    };
    for half in 0..=parts().len() {
        let mut log = Log::new();
        log.plain("/a");
        log.apply(Txn::Multi(parts().split_off(half)));
        log.zxid = Zxid(1);
        log.apply(Txn::Multi(parts()));
        assert_eq!(log.tree.last_zxid(), zxid);
        for path in ["/m", "/m/x", "/last"] {
            assert_eq!(
                log.tree.get(path).unwrap().persisted().czxid,
                zxid,
                "{path}"
            );
        }
        assert_eq!(log.tree.get("/a").unwrap().data(), Some(&b"new"[..]));
        assert_eq!(log.tree.digest(), whole, "without the first {half}");
    }
}

#[test]
fn zookeeper_3249_a_create_of_what_is_there_still_counts_for_its_parent_whatever_its_type() {
    let kinds = [
        CreateKind::Plain { ephemeral: false },
        CreateKind::WithStat { ephemeral: false },
        CreateKind::Container,
        CreateKind::Ttl { ttl: 5 },
    ];
    for kind in kinds {
        let mut log = Log::new();
        log.plain("/p");
        log.plain("/p/x");
        let there = Outcome::Failed(ErrorCode::NodeExists.code());
        assert_eq!(log.create("/p/x", kind, 9), there);
        assert_eq!(log.counters("/p"), (9, Zxid(3)), "{kind:?}");
        // And never backwards.
        log.create("/p/x", kind, 4);
        assert_eq!(log.counters("/p"), (9, Zxid(3)), "{kind:?}");
    }
}

/// Client protocol 8.3: a log that Java wrote before it stopped.
#[test]
fn transactions_that_stop_a_java_server_are_survived() {
    let mut log = Log::new();
    for ttl in [-1, 0, i64::MIN, i64::MAX] {
        log.create(&format!("/ttl{ttl}"), CreateKind::Ttl { ttl }, -1);
    }
    log.plain("/zookeeper/quota/zookeeper_limits");
    log.plain("/zookeeper/quota/zookeeper_stats");
    log.plain("/zookeeper/foo");
    log.plain("/zookeeper/foo/zookeeper_limits");
    log.plain("/zookeeperX");
    log.plain("/zookeeperX/zookeeper_limits");
    log.plain("/zookeeper/quotaX");
    log.plain("/zookeeper/quotaX/zookeeper_limits");
    for path in [
        "/zookeeper/foo",
        "/zookeeperX",
        "/zookeeper/quotaX",
        "/zookeeper/quota",
    ] {
        assert_eq!(
            log.delete(&format!("{path}/zookeeper_limits")),
            Outcome::Done
        );
    }
    // A usage that nobody can read is counted anew at the next change.
    log.plain("/q");
    for path in [
        "/zookeeper/quota/q",
        "/zookeeper/quota/q/zookeeper_limits",
        "/zookeeper/quota/q/zookeeper_stats",
    ] {
        log.plain(path);
    }
    let stats = "/zookeeper/quota/q/zookeeper_stats";
    log.set(stats, "abc");
    log.plain("/q/x");
    assert_eq!(
        log.tree.get(stats).unwrap().data(),
        Some(&b"count=2,bytes=0"[..])
    );
    // Those whose TTL reads like a session have none; the others are due like any.
    log.tree.remove_orphans();
    assert!(log.tree.get("/ttl-1").is_none());
    let reaping = Reaping {
        now: i64::MAX,
        max_never_used_ms: 1,
    };
    assert!(log.tree.reapable(reaping, 10).contains(&"/ttl0".into()));
}

#[test]
fn unknown_transactions_are_errors_and_no_panic() {
    for kind in [0, 3, 99, OpCode::Sync.code(), -12] {
        let header = TxnHeader {
            session: SessionId(1),
            cxid: 0,
            zxid: Zxid(1),
            time: 0,
            kind,
        };
        let mut bytes = Vec::new();
        header.encode(&mut bytes);
        assert!(Record::decode(&bytes.into()).is_err(), "{kind}");
    }
}
