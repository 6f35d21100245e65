//! What this shell has beyond ZooKeeper's, and where it deviates.
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

use session::{Session, World, soon};

async fn with(lines: &[&str]) -> (World, Session) {
    let world = World::new();
    let mut session = Session::on_two_papers(&world.hosts).await;
    for line in lines {
        assert_eq!(session.run(line).await, 0, "{line}");
    }
    (world, session)
}

const SMALL_TREE: &[&str] = &[
    "create /a 1",
    "create /a/b 22 world:anyone:cdrwa,ip:127.0.0.1:r",
    "create /a/b/c",
    "create -e /a/e 333",
    "create /a/z \"\"",
];

#[track_caller]
fn check(output: &str, expected: &str) {
    assert_eq!(output, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn old_forms_work_and_say_what_is_new() {
    let (_world, mut session) = with(&["create /t v1"]).await;
    let block = session.say("stat /t").await;
    check(
        &session.say("ls2 /t").await,
        &format!("[]\n{block}'ls2' has been deprecated. Please use 'ls [-s] path' instead.\n"),
    );
    check(
        &session.say("get /t watch").await,
        "v1\n'get path [watch]' has been deprecated. Please use 'get [-s] [-w] path' instead.\n",
    );
    // The old third word guards again: a version that is not read loses data.
    let told = "'set path data [version]' has been deprecated. Please use 'set [-s] [-v version] path data' instead.\n";
    check(
        &session.say("set /t v2 5").await,
        &format!("{told}version No is not valid : /t\n"),
    );
    let fired =
        "\nWATCHER::\n\nWatchedEvent state:SyncConnected type:NodeDataChanged path:/t zxid: 4\n";
    check(&session.say("set /t v2 0").await, &format!("{fired}{told}"));
    check(
        &session.say("delete /t 7").await,
        "'delete path [version]' has been deprecated. Please use 'delete [-v version] path' instead.\n\
         version No is not valid : /t\n",
    );
    check(
        &session.say("rmr /t").await,
        "The command 'rmr' has been deprecated. Please use 'deleteall' instead.\n",
    );
    check(&session.say("get /t").await, "Node does not exist: /t\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_event_of_an_own_write_comes_before_its_result() {
    let world = World::new();
    let mut session = Session::on_one_paper(&world.hosts).await;
    session.run("ls -w /").await;
    let event =
        "\nWATCHER::\n\nWatchedEvent state:SyncConnected type:NodeChildrenChanged path:/ zxid: 2\n";
    check(
        &session.say("create /a x").await,
        &format!("{event}Created /a\n"),
    );
    check(&session.say("create /b x").await, "Created /b\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn wrong_numbers_do_not_end_the_shell() {
    let (_world, mut session) = with(&["create /x 1"]).await;
    for (line, told) in [
        ("redo abc", "abc is not a number\n"),
        ("delete -v abc /x", "abc is not a number\n"),
        ("set /x %%% -b", "not base64\n"),
        (
            "get -o xml /x",
            "xml is not an output format: json|yaml|table are\n",
        ),
        ("addWatch noslash", "Path must start with / character\n"),
        (
            "create /a//b x",
            "Invalid path string \"/a//b\" caused by empty node name specified @3\n",
        ),
    ] {
        assert_eq!(session.say(line).await, told, "{line}");
        assert_eq!(session.run(line).await, 1, "{line}");
    }
    check(&session.say("get /x").await, "1\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn quotas_and_configuration_are_seen_from_a_chroot() {
    let world = World::new();
    let mut whole = Session::on_two_papers(&world.hosts).await;
    whole.run("create /app").await;
    let mut session = Session::on_two_papers(&format!("{}/app", world.hosts)).await;
    session.run("create /q x").await;
    check(&session.say("setquota -n 5 /q").await, "");
    let told = session.say("listquota /q").await;
    assert!(told.contains("Output quota for /q count=5,"), "{told}");
    check(&whole.say("ls /zookeeper/quota/app").await, "[q]\n");
    check(&session.say("delquota /q").await, "");
    check(&whole.say("ls /zookeeper/quota").await, "[]\n");
    check(&session.say("config").await, "\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_sequential_name_may_be_empty() {
    let (_world, mut session) = with(&["create /s"]).await;
    check(
        &session.say("create -s /s/ x").await,
        "Created /s/0000000000\n",
    );
    check(
        &session.say("create /s/ x").await,
        "Path must not end with / character\n",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn results_are_documents_on_request() {
    let (_world, mut session) = with(&["create /a \"x: y\"", "create /a/b"]).await;
    check(
        &session.say("ls / -o json").await,
        "[\n  \"a\",\n  \"zookeeper\"\n]\n",
    );
    check(
        &session.say("ls -R /a -o yaml").await,
        "- \"/a\"\n- \"/a/b\"\n",
    );
    let got = session.say("get /a -o json").await;
    assert!(
        got.starts_with("{\n  \"path\": \"/a\",\n  \"data\": \"x: y\",\n  \"stat\": {"),
        "{got}"
    );
    check(
        &session.say("getAcl -o table /a").await,
        "scheme  id      perms\nworld   anyone  cdrwa\n",
    );
    check(&session.say("getAllChildrenNumber -o json /a").await, "1\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_subtree_is_drawn_and_added_up() {
    let (_world, mut session) = with(SMALL_TREE).await;
    check(
        &session.say("tree -v /a").await,
        "/a = 1\n├── b = 22\n│   └── c\n├── e (ephemeral) = 333\n└── z\n\n5 nodes\n",
    );
    check(
        &session.say("tree -d 1 -s /a").await,
        "/a [1]\n├── b [2]\n├── e (ephemeral) [3]\n└── z [0]\n\n4 nodes\n",
    );
    check(
        &session.say("du /a -o json -d 0").await,
        "[\n  {\n    \"path\": \"/a\",\n    \"bytes\": 6,\n    \"nodes\": 5\n  }\n]\n",
    );
    check(
        &session.say("du /a/b").await,
        "           0         1 /a/b/c\n           2         2 /a/b\n",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn nodes_are_found_by_what_they_are() {
    let (_world, mut session) = with(SMALL_TREE).await;
    for (line, found) in [
        ("find /a -name ?", "/a\n/a/b\n/a/b/c\n/a/e\n/a/z\n"),
        ("find / -owner any", "/a/e\n"),
        ("find /a -size +1", "/a/b\n/a/e\n"),
        ("find /a -size 0 -limit 1", "/a/b/c\n"),
        ("find /a -value 2", "/a/b\n"),
        ("find /a -value nothing", ""),
        ("find /missing", "Node does not exist: /missing\n"),
        (
            "find /a -size x",
            "x is not a size: +N, -N or N, with k or m behind it\n",
        ),
    ] {
        assert_eq!(session.say(line).await, found, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn subtrees_are_copied_with_their_access_lists() {
    let (_world, mut session) = with(SMALL_TREE).await;
    check(
        &session.say("cp -r /a /copy").await,
        "4 nodes created, 1 ephemerals left out\n",
    );
    check(
        &session.say("ls -R /copy").await,
        "/copy\n/copy/b\n/copy/z\n/copy/b/c\n",
    );
    check(
        &session.say("getAcl /copy/b").await,
        "'world,'anyone\n: cdrwa\n'ip,'127.0.0.1\n: r\n",
    );
    check(&session.say("get /copy/b/c").await, "null\n");
    check(&session.say("get /copy/z").await, "\n");
    check(&session.say("cp /a/b /one").await, "1 nodes created\n");
    check(&session.say("ls /one").await, "[]\n");
    check(
        &session.say("cp /a /copy").await,
        "0 nodes created, 1 not done\nNode already exists: /copy\n",
    );
    check(
        &session.say("cp -r /a /a/x").await,
        "/a/x is inside of /a\n",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_move_is_one_transaction() {
    let (_world, mut session) = with(SMALL_TREE).await;
    check(
        &session.say("mv /a /elsewhere").await,
        "/a/e is ephemeral and stays with its session\n",
    );
    session.run("delete /a/e").await;
    let before = session.say("stat /zookeeper").await;
    check(
        &session.say("mv /a /elsewhere").await,
        "warning: /elsewhere begins to count its children anew, and 3 were made before: \
         numbers of sequential nodes may come again\n4 nodes moved\n",
    );
    check(&session.say("stat /zookeeper").await, &before);
    check(&session.say("get /a").await, "Node does not exist: /a\n");
    check(
        &session.say("find /elsewhere -value 22").await,
        "/elsewhere/b\n",
    );
    check(
        &session.say("mv /elsewhere/b /missing/b").await,
        "Node does not exist: /missing/b\n",
    );
    check(&session.say("get /elsewhere/b").await, "22\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_exported_subtree_is_imported_elsewhere() {
    let (_world, mut session) = with(SMALL_TREE).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.json");
    let file = file.to_str().unwrap();
    check(
        &session.say(&format!("export /a {file}")).await,
        "5 nodes exported\n",
    );
    check(
        &session.say("export /a").await,
        &fs::read_to_string(file).unwrap(),
    );
    check(
        &session.say(&format!("import {file} /new")).await,
        "4 nodes created, 1 ephemerals left out\n",
    );
    check(
        &session.say("ls -R /new").await,
        "/new\n/new/b\n/new/z\n/new/b/c\n",
    );
    check(
        &session.say("getAcl /new/b").await,
        &session.say("getAcl /a/b").await,
    );
    check(
        &session.say(&format!("import -n {file} /new")).await,
        "5 nodes for /new\n",
    );
    check(&session.say("get /new/b/c").await, "null\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_import_that_meets_nodes_says_what_was_done() {
    let (_world, mut session) = with(SMALL_TREE).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.json");
    let file = file.to_str().unwrap();
    session.run(&format!("export /a {file}")).await;
    session.run("deleteall /a/b").await;
    session.run("set /a changed").await;
    check(
        &session.say(&format!("import {file}")).await,
        "0 nodes created, 1 ephemerals left out, 4 not done\n\
         import -k keeps nodes that are there already, import -f overwrites them\n\
         Node already exists: /a\n",
    );
    check(&session.say("ls /a").await, "[e, z]\n");
    check(
        &session.say(&format!("import -k {file}")).await,
        "2 nodes created, 2 there already and kept, 1 ephemerals left out\n",
    );
    check(&session.say("get /a").await, "changed\n");
    check(
        &session.say(&format!("import -f {file}")).await,
        "0 nodes created, 4 overwritten, 1 ephemerals left out\n",
    );
    check(&session.say("get /a").await, "1\n");
    check(
        &session.say(&format!("import {file}x")).await,
        &format!("{file}x: No such file or directory (os error 2)\n"),
    );
    fs::write(file, "{}").unwrap();
    check(
        &session.say(&format!("import {file}")).await,
        &format!("{file}: not an exported subtree (no known format)\n"),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_large_import_takes_several_transactions() {
    const NODES: usize = 1200;
    let (_world, mut session) = with(&["create /big"]).await;
    for node in 0..NODES {
        session.run(&format!("create /big/n{node} {node}")).await;
    }
    check(
        &session.say("cp -r /big /copy").await,
        &format!("{} nodes created\n", NODES + 1),
    );
    check(
        &session.say("getAllChildrenNumber /copy").await,
        &format!("{NODES}\n"),
    );
    check(&session.say("deleteall /copy -b 100").await, "");
    check(
        &session.say("get /copy").await,
        "Node does not exist: /copy\n",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_was_copied_before_a_failure_is_told() {
    // Fits into a create, and not into one that also checks its source.
    const NEARLY_ALL: usize = 1_048_490;
    let (_world, mut session) = with(&["create /big", "create /big/a"]).await;
    let line = format!("create /big/z {}", "x".repeat(NEARLY_ALL));
    assert_eq!(session.run(&line).await, 0);
    let told = session.say("cp -r /big /copy").await;
    let first = "2 nodes created, 1 not done\nthe request has ";
    assert!(told.starts_with(first), "{}", told.len());
    check(&session.say("ls /copy").await, "[a]\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn servers_are_looked_at() {
    let (world, mut session) = with(&["create /a x"]).await;
    let told = session.say("top -n 1").await;
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines.len(), 2, "{told}");
    assert!(lines[0].starts_with("server "), "{told}");
    let words: Vec<_> = lines[1].split_whitespace().collect();
    assert_eq!(
        words[..4],
        [&*world.hosts, "standalone", "0x2", "0"],
        "{told}"
    );
    assert_eq!(words.last(), Some(&"5"), "{told}");
    let told = session.say("top -n 1 -o json").await;
    assert!(
        told.starts_with("[{\"server\":") && told.lines().count() == 1,
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_refused_identity_ends_the_session() {
    let (_world, mut session) = with(&[]).await;
    check(
        &session.say("addauth nothing like-this").await,
        "\nWATCHER::\n\nWatchedEvent state:AuthFailed type:None path:null zxid: -1\n",
    );
    check(&session.say("ls /").await, "Not connected\n");
    assert!(session.shell.prompt().text().contains("(AUTH_FAILED)"));
    check(&session.say("quit").await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn changes_are_followed_until_there_were_enough() {
    let world = World::new();
    let mut other = Session::on_two_papers(&world.hosts).await;
    other.run("create /w").await;
    let mut session = Session::on_two_papers(&world.hosts).await;
    let (out, err) = (session.out.clone(), session.err.clone());
    let changes = async {
        while !err.take().contains("watching /w") {
            tokio::task::yield_now().await;
        }
        for line in ["create /w/a first", "set /w/a second", "delete /w/a"] {
            other.run(line).await;
        }
    };
    let (status, ()) = tokio::join!(session.run("watch -r -v -n 3 /w -o json"), changes);
    assert_eq!(status, 0);
    let seen = out.take();
    let lines: Vec<_> = seen.lines().filter(|line| line.starts_with('{')).collect();
    assert_eq!(lines.len(), 3, "{seen}");
    for (line, part) in lines.iter().zip([
        r#""type":"NodeCreated","path":"/w/a","zxid":"0x4","data":""#,
        r#""type":"NodeDataChanged","path":"/w/a""#,
        r#""type":"NodeDeleted","path":"/w/a""#,
    ]) {
        assert!(line.contains(part), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_interrupted_command_ends_and_the_shell_goes_on() {
    let (_world, mut session) = with(&["create /w x"]).await;
    let interrupt = session.shell.interrupt();
    let err = session.err.clone();
    let raised = tokio::spawn(async move {
        while !err.take().contains("watching /w") {
            tokio::task::yield_now().await;
        }
        interrupt.raise();
    });
    assert_eq!(session.run("watch /w").await, 130);
    soon(raised).await.unwrap();
    check(&session.say("get /w").await, "x\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn nobody_is_there_is_told_at_once() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = free.local_addr().unwrap();
    drop(free);
    let (_world, mut session) = with(&[]).await;
    session.run(&format!("connect {nowhere}")).await;
    check(
        &session.say("get /a").await,
        &format!("KeeperErrorCode = ConnectionLoss for /a ({nowhere}: connection refused)\n"),
    );
    let prompt = session.shell.prompt().text();
    assert_eq!(prompt, format!("[zk: {nowhere}(CONNECTING) 2] "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_export_is_whole_though_a_node_may_not_be_read() {
    let (world, mut owner) = with(SMALL_TREE).await;
    owner.run("addauth digest u:p").await;
    owner.run("setAcl /a/b auth::cdrwa").await;
    let mut session = Session::on_two_papers(&world.hosts).await;
    session.out.take();
    assert_eq!(session.run("export /a").await, 1);
    check(&session.err.take(), "Insufficient permission : /a/b\n");
    let printed = session.out.take();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.json");
    assert_eq!(
        session.run(&format!("export /a {}", file.display())).await,
        1
    );
    check(&fs::read_to_string(&file).unwrap(), &printed);
    check(
        &session
            .say(&format!("import -n {} /b", file.display()))
            .await,
        "3 nodes for /b\n",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_export_that_was_ended_leaves_no_file() {
    let world = World::new();
    let mut session = Session::without_reader(&world.hosts).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("all.json");
    // Nobody reads what is printed: commands end, and this one in its middle.
    session
        .run(&format!("export /zookeeper {}", file.display()))
        .await;
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn long_names_are_deleted_in_transactions_that_fit() {
    const NODES: usize = 60;
    const LETTERS: usize = 20_000;
    let (_world, mut session) = with(&["create /long"]).await;
    for node in 0..NODES {
        let name = format!("{node:0LETTERS$}");
        assert_eq!(session.run(&format!("create /long/{name}")).await, 0);
    }
    check(&session.say("deleteall /long").await, "");
    check(&session.say("ls /").await, "[zookeeper]\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_whole_tree_is_exported_and_overwritten() {
    let (_world, mut session) = with(&["create /a 1", "create /b 2", "setquota -n 5 /a"]).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("all.json");
    let file = file.display();
    let told = session.say(&format!("export / {file}")).await;
    check(
        &told,
        "/zookeeper belongs to the server and is left out\n3 nodes exported\n",
    );
    session.run("set /a changed").await;
    session.run("delete /b").await;
    check(
        &session.say(&format!("import -f {file}")).await,
        "1 nodes created, 2 overwritten\n",
    );
    check(&session.say("get /a").await, "1\n");
    check(
        &session.say(&format!("import {file} /copy")).await,
        "3 nodes created\n",
    );
    check(&session.say("ls /copy").await, "[a, b]\n");
    // Null stays null, which is not the same as empty.
    session.run("create /copy/null").await;
    session.run(&format!("export /copy {file}")).await;
    session.run("set /copy/null x").await;
    session.run(&format!("import -f {file}")).await;
    check(&session.say("get /copy/null").await, "null\n");
    // Below it is asked for, and so it is passed on.
    let told = session
        .say(&format!("export /zookeeper/quota {file}"))
        .await;
    check(&told, "4 nodes exported\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_node_that_refuses_an_import_is_named() {
    let (world, mut owner) = with(SMALL_TREE).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.json");
    let file = file.display();
    owner.run(&format!("export /a {file}")).await;
    owner.run("addauth digest u:p").await;
    owner.run("setAcl /a/z world:anyone:r").await;
    let mut session = Session::on_two_papers(&world.hosts).await;
    check(
        &session.say(&format!("import -f {file}")).await,
        "0 nodes created, 1 ephemerals left out, 4 not done\nInsufficient permission : /a/z\n",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_vanishes_while_it_is_walked_is_passed_over() {
    const CHILDREN: usize = 40;
    const ROUNDS: usize = 15;
    let (world, mut session) = with(&["create /v"]).await;
    let mut other = Session::on_two_papers(&world.hosts).await;
    let dir = tempfile::tempdir().unwrap();
    let export = format!("export /v {}", dir.path().join("v.json").display());
    let lines = [
        "ls -R /v",
        "du /v",
        "tree -v /v",
        "find /v -value x",
        "getAllChildrenNumber /v",
        &export,
    ];
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let order = std::sync::atomic::Ordering::Relaxed;
    let changes = async {
        let mut changed = 0;
        while !is_over.load(order) {
            for child in 0..CHILDREN {
                other.run(&format!("create /v/{child} x")).await;
                other.run(&format!("create /v/{child}/below x")).await;
            }
            for child in 0..CHILDREN {
                other.run(&format!("deleteall /v/{child}")).await;
            }
            changed += 1;
        }
        changed
    };
    let walks = async {
        for line in lines.repeat(ROUNDS) {
            session.err.take();
            let status = session.run(line).await;
            assert_eq!(status, 0, "{line}: {}", session.err.take());
        }
        is_over.store(true, order);
    };
    let (changed, ()) = tokio::join!(changes, walks);
    assert!(changed > 0);
    check(&other.err.take().replace("Created ", ""), &{
        let made = |child| format!("/v/{child}\n/v/{child}/below\n");
        (0..CHILDREN).map(made).collect::<String>().repeat(changed)
    });
}
