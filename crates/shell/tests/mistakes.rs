//! What is told to who types what has no meaning, or does what may hurt.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test with real sockets: a failure is its result"
)]

mod session;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rookeeper_shell::document::Format;
use session::{Session, World, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn with(lines: &[&str]) -> (World, Session) {
    let world = World::new();
    let mut session = Session::on_two_papers(&world.hosts).await;
    for line in lines {
        assert_eq!(session.run(line).await, 0, "{line}");
    }
    (world, session)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn words_too_many_are_refused_before_anything_is_done() {
    let (_world, mut session) = with(&["create /a x", "create /b x"]).await;
    for (line, word) in [
        ("mv /a /c /d", "/d"),
        ("cp /a /c /d", "/d"),
        ("find /a /b", "/b"),
        ("tree /a /b", "/b"),
        ("export /a none /b", "/b"),
        ("import none /b /c", "/c"),
        ("du /a /b", "/b"),
        ("watch /a /b", "/b"),
        ("edit /a /b", "/b"),
        ("top /a", "/a"),
    ] {
        let told = session.say(line).await;
        let begin = format!(
            "{}: nothing is known of '{word}': ",
            line.split(' ').next().unwrap()
        );
        assert!(
            told.starts_with(&begin) && told.lines().count() == 1,
            "{told}"
        );
        assert_eq!(session.run(line).await, 1, "{line}");
    }
    assert_eq!(session.say("ls /").await, "[a, b, zookeeper]\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_copies_a_counter_is_told_that_it_begins_anew() {
    let (_world, mut session) = with(&["create /q", "create /q/s"]).await;
    for _ in 0..3 {
        session.run("create -s /q/s/n-").await;
    }
    session.run("delete /q/s/n-0000000000").await;
    session.run("delete /q/s/n-0000000002").await;
    let warning = |path: &str| {
        format!(
            "warning: {path} begins to count its children anew, and 3 were made before: \
             numbers of sequential nodes may come again\n"
        )
    };
    let told = session.say("cp -r /q /copy").await;
    assert_eq!(told, warning("/copy/s") + "3 nodes created\n");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("q.json");
    let file = file.display();
    session.run(&format!("export /q {file}")).await;
    let told = session.say(&format!("import {file} /new")).await;
    assert_eq!(told, warning("/new/s") + "3 nodes created\n");
    let told = session.say("mv /q /moved").await;
    assert_eq!(told, warning("/moved/s") + "3 nodes moved\n");
    // The copies have lost nothing.
    assert_eq!(session.say("mv /new /newer").await, "3 nodes moved\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_cannot_be_exported_leaves_no_text_and_no_file() {
    let (_world, mut session) = with(&[]).await;
    let missing = "Node does not exist: /nope\n";
    assert_eq!(session.say("export /nope").await, missing);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("nope.json");
    let told = session
        .say(&format!("export /nope {}", file.display()))
        .await;
    assert_eq!(told, missing);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_import_that_meets_the_root_says_what_helps() {
    let (_world, mut session) = with(&["create /a 1"]).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("all.json");
    session.run(&format!("export / {}", file.display())).await;
    assert_eq!(
        session.say(&format!("import {}", file.display())).await,
        "0 nodes created, 2 not done\n\
         import -k keeps nodes that are there already, import -f overwrites them\n\
         Node already exists: /\n"
    );
    let told = session.say("import -").await;
    assert!(told.starts_with("- is the standard input"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_node_without_what_is_below_it_may_be_copied_below_itself() {
    let (_world, mut session) = with(&["create /a 1"]).await;
    assert_eq!(session.say("cp /a /a/b").await, "1 nodes created\n");
    let told = session.say("cp -r /a /a/c").await;
    assert_eq!(told, "/a/c is inside of /a\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_wants_documents_is_told_where_there_are_none() {
    let (_world, mut session) = with(&["create /a 1"]).await;
    session.shell.set_format(Some(Format::Json));
    let told = session.say("tree /a").await;
    assert!(
        told.ends_with("tree: not as json|yaml|table, but as text\n"),
        "{told}"
    );
    for (line, part) in [
        ("set -s /a 2", "\"dataVersion\": 1"),
        ("version", "\"version\": \"3."),
        ("sync /a", "\"synced\": true"),
        ("config", "\"servers\": []"),
    ] {
        let told = session.say(line).await;
        assert!(told.starts_with("{\n") && told.contains(part), "{told}");
    }
}

/// A way to the server on which answers stop on demand.
async fn halting_way(hosts: &str) -> (String, Arc<AtomicBool>) {
    let way = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = way.local_addr().unwrap().to_string();
    let halts = Arc::new(AtomicBool::new(false));
    let (hosts, halted) = (hosts.to_owned(), Arc::clone(&halts));
    tokio::spawn(async move {
        let (client, _) = way.accept().await.unwrap();
        let server = TcpStream::connect(hosts).await.unwrap();
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await.ok() });
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = from_server.read(&mut bytes).await {
            if !halted.load(Ordering::Relaxed) {
                to_client.write_all(&bytes[..count]).await.unwrap();
            }
        }
    });
    (address, halts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_interrupts_a_change_hears_that_it_may_have_happened() {
    let (world, mut other) = with(&[]).await;
    let (way, halts) = halting_way(&world.hosts).await;
    let mut session = Session::on_two_papers(&way).await;
    halts.store(true, Ordering::Relaxed);
    let interrupt = session.shell.interrupt();
    let raised = async {
        while other.say("ls /").await != "[a, zookeeper]\n" {}
        interrupt.raise();
    };
    let (told, ()) = tokio::join!(session.say("create /a x"), raised);
    assert_eq!(
        told,
        "Interrupted: no answer yet, so the change may have happened or may still happen\n"
    );
    let interrupt = session.shell.interrupt();
    let raised = async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        interrupt.raise();
    };
    let (told, ()) = soon(async { tokio::join!(session.say("get /a"), raised) }).await;
    assert_eq!(told, "Interrupted\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_change_is_one_line_whatever_else_watches() {
    let world = World::new();
    let mut other = Session::on_two_papers(&world.hosts).await;
    other.run("create /q x").await;
    let mut session = Session::on_two_papers(&world.hosts).await;
    let (err, interrupt) = (session.err.clone(), session.shell.interrupt());
    let first = async {
        while !err.take().contains("watching /q") {
            tokio::task::yield_now().await;
        }
        interrupt.raise();
    };
    tokio::join!(session.run("watch -r -v /q"), first);
    session.run("ls /").await;
    session.run("get -w /q").await;
    session.out.take();
    let err = session.err.clone();
    let changes = async {
        while !err.take().contains("watching /q") {
            tokio::task::yield_now().await;
        }
        other.run("set /q y").await;
        other.run("create /q/end x").await;
        other.run("delete /q/end").await;
        other.run("delete /q").await;
    };
    tokio::join!(session.run("watch -n 2 /q"), changes);
    let told = session.out.take();
    let lines: Vec<_> = told
        .lines()
        .filter(|line| line.contains(" /q zxid "))
        .collect();
    assert_eq!(lines.len(), 2, "{told}");
    assert!(lines[0].contains("NodeDataChanged"), "{told}");
    assert!(!lines[1].contains("NodeDataChanged"), "{told}");
}
