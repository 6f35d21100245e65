//! The words over a socket, by the part that a driver has published.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test with real sockets and files: a failure is its result"
)]

mod raw;

use raw::*;
use rookeeper_proto::ids::ServerId;
use rookeeper_server::words::{Leadership, Role, RoleReport};

#[test]
fn the_published_role_is_what_the_words_say() {
    const SILENT: &str = "This ZooKeeper instance is not currently serving requests\n";
    let dir = tempfile::tempdir().unwrap();
    let (server, address) = server(dir.path(), 2000, &[]);
    let play = |role, since_ms| {
        *server.service().gauges.role.lock() = RoleReport { role, since_ms };
    };
    let client = Client::connect(address);

    play(Role::Looking, 0);
    for silent in ["srvr", "stat", "mntr", "conf", "cons", "dump", "wchs"] {
        assert_eq!(word(address, silent), SILENT, "{silent}");
    }
    assert_eq!(word(address, "isro"), "null");
    assert_eq!(word(address, "ruok"), "imok");
    assert!(word(address, "envi").starts_with("Environment:\n"));

    let now = server.service().clock.mono();
    play(Role::Leading(Leadership::default()), now);
    server.service().metrics.proposals().record(48);
    let said = word(address, "srvr");
    assert!(said.contains("\nMode: leader\n"), "{said}");
    assert!(
        said.ends_with("\nProposal sizes last/min/max: 48/48/48\n"),
        "{said}"
    );
    assert!(word(address, "dump").contains("\nSession Sets (1)/(1):\n"));
    word(address, "srst");
    let said = word(address, "stat");
    assert!(
        said.ends_with("\nProposal sizes last/min/max: -1/-1/-1\n"),
        "{said}"
    );

    let (quorum_size, master) = (3, ServerId(2));
    // A part that begins later than now has not lasted at all.
    play(
        Role::Observing {
            quorum_size,
            master,
        },
        i64::MAX,
    );
    let said = word(address, "mntr");
    for line in [
        "zk_server_state\tobserver",
        "zk_observer_master_id\t2",
        "zk_quorum_size\t3",
        "zk_uptime\t0",
    ] {
        assert!(said.contains(&format!("{line}\n")), "{line} in {said}");
    }
    let session = client.session;
    let said = word(address, "dump");
    let expected = format!("SessionTracker dump:\nGlobal Sessions(1):\n0x{session:x}\t");
    assert!(said.starts_with(&expected), "{said}");
}
