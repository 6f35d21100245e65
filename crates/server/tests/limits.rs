//! Whatever a socket brings ends with the specified error or a clean close and a line in the log, and disturbs nobody else.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test with real sockets and files: a failure is its result"
)]

mod raw;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use raw::*;

/// Somebody else's client, who must not notice anything.
struct Witness {
    client: Client,
    rounds: u32,
}

impl Witness {
    fn new(address: SocketAddr) -> Self {
        let mut client = Client::connect(address);
        client.must(op::CREATE, &create("/witness", b"0", 0));
        Self { client, rounds: 0 }
    }

    /// Writes and reads its own write over the connection it has had all the time.
    fn look(&mut self) {
        self.rounds += 1;
        let text = self.rounds.to_string();
        self.client
            .must(op::SET_DATA, &set_data("/witness", text.as_bytes()));
        let reply = self.client.must(op::GET_DATA, &path_watch("/witness"));
        assert_eq!(reply.data(), text.as_bytes());
    }
}

fn shut(address: SocketAddr, bytes: &[u8]) -> (u16, Vec<u8>) {
    let mut stream = dial(address);
    let port = stream.local_addr().unwrap().port();
    stream.write_all(bytes).unwrap();
    (port, drain(&mut stream).unwrap())
}

#[test]
fn garbage_instead_of_a_session_is_closed_with_a_line_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, address) = server(dir.path(), 2000, &[]);
    let mut witness = Witness::new(address);
    let cases: [(&[u8], &str); 7] = [
        (&[0xff; 4], "Len error -1"),
        (&[0x80, 0, 0, 0], "Len error -2147483648"),
        (&[0x7f, 0xff, 0xff, 0xff], "Len error 2147483647"),
        (&[0, 0, 0, 0], "Len error 0"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "Len error"),
        (&[0, 0, 0, 3, 1, 2, 3], "malformed connect request"),
        (&[0, 0, 0, 44, 0, 0, 0, 0], ""),
    ];
    for (bytes, line) in cases {
        let (port, answer) = if line.is_empty() {
            let mut stream = dial(address);
            stream.write_all(bytes).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            (
                stream.local_addr().unwrap().port(),
                drain(&mut stream).unwrap(),
            )
        } else {
            shut(address, bytes)
        };
        assert!(answer.is_empty(), "{bytes:?} is answered {answer:?}");
        logged(&[&format!("/127.0.0.1:{port}"), line]);
        witness.look();
    }
}

#[test]
fn random_bytes_at_any_stage_end_only_their_own_connection() {
    let dir = tempfile::tempdir().unwrap();
    let (server, address) = server(dir.path(), 2000, &[]);
    let mut witness = Witness::new(address);
    let mut dice = Dice(0x5eed);
    for round in 0..300 {
        let mut bytes = match round % 3 {
            0 => Vec::new(),
            _ => Hello::default().frame(),
        };
        let mut body: Vec<u8> = (0..dice.below(200))
            .map(|_| dice.below(256) as u8)
            .collect();
        if round % 3 == 2 && body.len() > 8 {
            // A header that names a known operation.
            let known = [
                1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 22, 100, 101,
                102, 103, 104, 105, 106, 107, -11,
            ];
            body[4..8].copy_from_slice(&i32::to_be_bytes(known[dice.below(known.len())]));
            bytes.extend(framed(&body));
        } else {
            bytes.extend(&body);
        }
        let mut stream = dial(address);
        // The server may close while this is still being sent.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(Shutdown::Write);
        drain(&mut stream).unwrap();
        if round % 50 == 0 {
            witness.look();
        }
    }
    witness.look();
    await_true("all connections but one are gone", || {
        server.service().connections.len() == 1
    });
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[test]
fn a_frame_of_the_limit_is_served_and_one_byte_more_closes() {
    let dir = tempfile::tempdir().unwrap();
    let words = ["-Djute.maxbuffer=5000"];
    let (running, address) = server(dir.path(), 2000, &words);
    let mut witness = Witness::new(address);
    let mut client = Client::connect(address);
    let rest = 8 + create("/big", b"", 0).0.len();
    client.must(op::CREATE, &create("/big", &vec![7; 5000 - rest], 0));
    client
        .send(op::SET_DATA, &set_data("/big", &vec![8; 5001 - 24]))
        .unwrap();
    client.drain().unwrap();
    logged(&[&format!("/127.0.0.1:{}", client.port()), "Len error 5001"]);
    // A length that is announced and never sent takes no room and hurts nobody.
    let mut patient = Client::connect(address);
    patient.stream.write_all(&[0, 0, 19, 136, 1, 2]).unwrap();
    witness.look();
    drop(running);
    let (_again, address) = server(dir.path(), 2000, &words);
    let reply = Client::connect(address).must(op::GET_DATA, &path_watch("/big"));
    assert_eq!(reply.data(), vec![7; 5000 - rest]);
}

#[test]
fn bad_requests_get_their_error_and_unknown_ones_a_close() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, address) = server(dir.path(), 2000, &[]);
    let mut witness = Witness::new(address);
    let mut client = Client::connect(address);
    client.must(op::CREATE, &create("/a", b"", 0));
    let no_acl = Out::new().string("/a/b").buffer(b"").int(0).int(0);
    let bad_acl = Out::new()
        .string("/a/b")
        .buffer(b"")
        .int(1)
        .int(31)
        .string("ip")
        .string("not-an-address")
        .int(0);
    for (code, op, body, what) in [
        (-8, op::CREATE, create("relative", b"", 0), "relative path"),
        (-8, op::CREATE, create("/a/", b"", 0), "trailing slash"),
        (-8, op::CREATE, create("/a/..", b"", 0), "dots"),
        (-8, op::CREATE, create("/a/b\0c", b"", 0), "null character"),
        (-101, op::CREATE, create("/a//b", b"", 0), "empty name"),
        (-101, op::CREATE, create("/no/such", b"", 0), "no parent"),
        (-114, op::CREATE, no_acl, "empty ACL"),
        (-114, op::CREATE, bad_acl, "bad ACL"),
        (-5, op::CREATE, Out::new().string("/a"), "truncated record"),
        (
            -5,
            op::GET_DATA,
            Out::new().int(1 << 30),
            "string beyond the frame",
        ),
        (-5, op::GET_DATA, Out::new().int(-7), "negative length"),
    ] {
        assert_eq!(client.call(op, &body).unwrap().err, code, "{what}");
    }
    client.must(op::CREATE, &create("/a/b", b"", 0));
    let reply = client.call(4711, &Out::new()).unwrap();
    assert_eq!(reply.err, -6);
    assert!(client.drain().unwrap().is_empty());
    logged(&[
        &format!("/127.0.0.1:{}", client.port()),
        "unknown operation 4711",
    ]);
    witness.look();
}

#[test]
fn connections_of_one_address_and_in_all_are_limited() {
    for (words, line) in [
        (
            ["4", "-Dzookeeper.snapCount=1000"],
            "Too many connections from /127.0.0.1 - max is 4",
        ),
        (
            ["0", "-Dzookeeper.maxCnxns=4"],
            "Too many connections: /127.0.0.1 is refused - max is 4",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (server, address) = server(dir.path(), 2000, &words);
        let mut held: Vec<Client> = (0..4).map(|_| Client::connect(address)).collect();
        for _ in 0..3 {
            assert!(Client::open(address, &Hello::default()).is_err());
        }
        logged(&[line]);
        for client in &mut held {
            client.must(op::EXISTS, &path_watch("/"));
        }
        held.pop();
        await_true("the place is free again", || {
            server.service().connections.len() == 3
        });
        Client::connect(address).must(op::EXISTS, &path_watch("/"));
    }
}

#[test]
fn who_asks_for_no_session_is_sent_away() {
    let dir = tempfile::tempdir().unwrap();
    let words = ["-Dzookeeper.nio.sessionlessCnxnTimeout=200"];
    let (_server, address) = server(dir.path(), 2000, &words);
    for bytes in [&b""[..], &[0, 0], &[0, 0, 0, 44, 0, 0]] {
        let (port, answer) = shut(address, bytes);
        assert!(answer.is_empty());
        logged(&[&format!("/127.0.0.1:{port}"), "no session within the time"]);
    }
    let mut client = Client::connect(address);
    std::thread::sleep(Duration::from_millis(500));
    client.ping().unwrap();
}

#[test]
fn a_reader_that_does_not_read_is_served_piece_by_piece_and_holds_nobody_up() {
    const ANSWERS: usize = 150;
    let dir = tempfile::tempdir().unwrap();
    let (running, address) = server(dir.path(), 2000, &[]);
    let mut witness = Witness::new(address);
    let mut slow = Client::connect(address);
    let data: Vec<u8> = (0..900_000_u32).map(|n| n as u8).collect();
    slow.must(op::CREATE, &create("/large", &data, 0));
    for _ in 0..ANSWERS {
        slow.send(op::GET_DATA, &path_watch("/large")).unwrap();
    }
    (0..50).for_each(|_| witness.look());
    for _ in 0..ANSWERS {
        assert_eq!(slow.reply().unwrap().data(), data);
    }
    await_true("nothing is outstanding", || {
        running.service().gauges.outstanding.load(Ordering::Relaxed) == 0
    });
}

#[test]
fn events_that_nobody_reads_end_the_connection_at_a_bound_and_not_the_session() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, address) = server(dir.path(), 2000, &[]);
    let path = format!("/{}", "x".repeat(400_000));
    let mut deaf = Client::connect(address);
    deaf.must(op::CREATE, &create(&path, b"", 0));
    deaf.must(op::ADD_WATCH, &Out::new().string(&path).int(0));
    let mut writer = Client::connect(address);
    // 400 kB an event: the bound and all buffers of the sockets are full long before the end.
    for round in 0..400_u32 {
        writer.must(op::SET_DATA, &set_data(&path, &round.to_be_bytes()));
    }
    logged(&[
        &format!("/127.0.0.1:{}", deaf.port()),
        "the client does not read",
    ]);
    let mut again = Client::open(address, &deaf.hello()).unwrap();
    assert_eq!(again.session, deaf.session);
    let reply = again.must(op::GET_DATA, &path_watch(&path));
    assert_eq!(reply.data(), 399_u32.to_be_bytes());
}

#[test]
fn a_queue_of_expensive_reads_lets_others_through() {
    const CHILDREN: usize = 8000;
    const QUESTIONS: i32 = 3000;
    let dir = tempfile::tempdir().unwrap();
    let (_server, address) = server(dir.path(), 2000, &[]);
    let mut witness = Witness::new(address);
    witness.client.must(op::CREATE, &create("/big", b"", 0));
    let nodes: Vec<_> = (0..CHILDREN)
        .map(|n| (op::CREATE, create(&format!("/big/{n}"), b"", 0)))
        .collect();
    for part in nodes.chunks(4000) {
        witness.client.must(op::MULTI, &multi(part));
    }
    let mut hog = Client::connect(address);
    let question = Out::new().string("/big");
    let all: Vec<u8> = (1..=QUESTIONS)
        .flat_map(|xid| request(xid, op::GET_ALL_CHILDREN_NUMBER, &question))
        .collect();
    hog.stream.write_all(&all).unwrap();
    assert_eq!(hog.reply().unwrap().body, i32::to_be_bytes(CHILDREN as i32));
    // Writes need the tree, which the reads hold.
    (0..3).for_each(|_| witness.look());
    hog.stream.set_nonblocking(true).unwrap();
    let mut answered = 1;
    loop {
        let mut head = [0; 24];
        match hog.stream.peek(&mut head) {
            Ok(n) if n == head.len() => {
                hog.reply().unwrap();
                answered += 1;
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(answered < QUESTIONS, "the witness was served last of all");
    hog.stream.set_nonblocking(false).unwrap();
    for xid in answered + 1..=QUESTIONS {
        assert_eq!(hog.reply().unwrap().xid, xid);
    }
}

#[test]
fn a_silent_session_expires_in_its_time_with_all_its_ephemerals_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let tick = Duration::from_millis(500);
    let (_server, address) = server(dir.path(), 500, &[]);
    let mut other = Client::connect(address);
    let hello = Hello {
        timeout: 1500,
        ..Hello::default()
    };
    let mut silent = Client::open(address, &hello).unwrap();
    assert_eq!(silent.timeout, 1500);
    for n in 0..20 {
        silent.must(op::CREATE, &create(&format!("/e{n}"), b"", 1));
    }
    let (before, heard) = (other.ping().unwrap(), Instant::now());
    assert_eq!(silent.drain().unwrap(), [0_u8; 0]);
    let took = heard.elapsed();
    assert_eq!(other.ping().unwrap(), before + 1, "one transaction");
    let names = other.must(op::GET_CHILDREN, &path_watch("/")).names();
    assert_eq!(names, ["zookeeper"]);
    // The last thing was heard up to a little before `heard`; the upper bound leaves a slow machine its time.
    let timeout = Duration::from_millis(1500);
    assert!(took > timeout - tick, "{took:?}");
    assert!(took < timeout + tick + Duration::from_secs(5), "{took:?}");
    let refused = Client::open(address, &silent.hello()).unwrap();
    assert_eq!((refused.timeout, refused.session), (0, 0));
}

#[test]
fn a_session_moves_to_the_connection_that_proves_its_password() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, address) = server(dir.path(), 2000, &[]);
    let mut first = Client::connect(address);
    first.must(op::CREATE, &create("/mine", b"", 1));
    let wrong = Hello {
        password: vec![9; 16],
        ..first.hello()
    };
    let mut refused = Client::open(address, &wrong).unwrap();
    assert_eq!(refused.timeout, 0);
    refused.drain().unwrap();
    first.ping().unwrap();
    let mut second = Client::open(address, &first.hello()).unwrap();
    assert_eq!(second.session, first.session);
    assert!(first.drain().unwrap().is_empty(), "the old connection ends");
    second.must(op::EXISTS, &path_watch("/mine"));
    // Without a word of farewell.
    second.stream.shutdown(Shutdown::Both).unwrap();
    let mut third = Client::open(address, &second.hello()).unwrap();
    third.must(op::EXISTS, &path_watch("/mine"));
    third.must(op::CLOSE, &Out::new());
    third.drain().unwrap();
    let mut other = Client::connect(address);
    assert_eq!(
        other.call(op::EXISTS, &path_watch("/mine")).unwrap().err,
        -101
    );
}

#[test]
fn a_client_from_the_future_is_sent_to_another_server() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, address) = server(dir.path(), 2000, &[]);
    let zxid = Client::connect(address).ping().unwrap();
    let ahead = Hello {
        last_zxid: zxid + 1000,
        ..Hello::default()
    };
    let mut stream = dial(address);
    stream.write_all(&ahead.frame()).unwrap();
    assert!(drain(&mut stream).unwrap().is_empty());
    let port = stream.local_addr().unwrap().port();
    logged(&[
        &format!("Refusing session request for client /127.0.0.1:{port}"),
        &format!(
            "as it has seen zxid 0x{:x} our last zxid is 0x{zxid:x} client must try another server",
            zxid + 1000
        ),
    ]);
    let same = Hello {
        last_zxid: zxid,
        ..Hello::default()
    };
    assert!(Client::open(address, &same).unwrap().timeout > 0);
}

#[test]
fn a_long_answer_to_a_word_reaches_who_reads_it_slowly() {
    const PATHS: usize = 40;
    let dir = tempfile::tempdir().unwrap();
    let (_server, address) = server(dir.path(), 2000, &[]);
    let mut client = Client::connect(address);
    let long = "y".repeat(400_000);
    for n in 0..PATHS {
        let watch = Out::new().string(&format!("/{n}{long}")).bool(true);
        assert_eq!(client.call(op::EXISTS, &watch).unwrap().err, -101);
    }
    let mut stream = dial(address);
    stream.write_all(b"wchp").unwrap();
    let (mut length, mut piece) = (0, vec![0; 4 * long.len()]);
    loop {
        std::thread::sleep(Duration::from_millis(150));
        // As much as there is at once, up to the size of the piece.
        match stream.read(&mut piece).unwrap() {
            0 => break,
            n => length += n,
        }
    }
    assert!(length > PATHS * long.len(), "{length} bytes");
}

/// Acceptance scenario S71: who comes, and what session it gets, for who asks for details.
#[test]
fn the_log_tells_of_a_new_session() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, address) = server(dir.path(), 2000, &[]);
    let client = Client::connect(address);
    let from = format!("/127.0.0.1:{}", client.port());
    logged(&["Accepted socket connection from", &from]);
    logged(&["attempting to establish new session", &from]);
    let session = format!("Established session 0x{:x}", client.hello().session);
    logged(&[&session, "with negotiated timeout 30000 for client", &from]);
}

#[test]
fn a_thousand_connections_come_at_once_and_go_without_a_trace() {
    let dir = tempfile::tempdir().unwrap();
    let (server, address) = server(dir.path(), 2000, &[]);
    let mut witness = Witness::new(address);
    let mut streams: Vec<_> = (0..1000).map(|_| dial(address)).collect();
    for stream in &mut streams {
        stream.write_all(&Hello::default().frame()).unwrap();
    }
    witness.look();
    for stream in &mut streams {
        assert_eq!(read_frame(stream).unwrap().len(), 37);
    }
    assert!(word(address, "srvr").contains("Connections: 1002"));
    drop(streams);
    witness.look();
    await_true("all sockets but one are closed", || {
        server.service().connections.sockets() == 1
    });
}

/// Learners take images of the tree too; what they leave no room for comes later.
#[test]
fn a_snapshot_that_finds_no_room_is_told_of_and_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let (server, address) = server(dir.path(), 2000, &["-Dzookeeper.snapCount=10"]);
    let replica = &server.service().replica;
    let images: Vec<_> = std::iter::from_fn(|| replica.tree.write().open_image().ok()).collect();
    let mut client = Client::connect(address);
    client.must(op::CREATE, &create("/a", b"", 0));
    for _ in 0..10 {
        client.must(op::SET_DATA, &set_data("/a", b"x"));
    }
    logged(&["no snapshot can be begun", "too many images"]);
    drop(images);
    // The pause before the next try. Only the next write is a reason for it, not as many as for another snapshot.
    std::thread::sleep(Duration::from_millis(1100));
    client.must(op::SET_DATA, &set_data("/a", b"y"));
    await_true("a snapshot is written", || {
        server.service().gauges.snapshots.load(Ordering::Relaxed) > 0
    });
}
