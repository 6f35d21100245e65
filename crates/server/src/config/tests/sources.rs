//! Where settings come from: files, words of the call, variables; and which of them wins.

use std::{fs, path::Path, time::Duration};

use super::{warnings, warns};
use crate::config::{
    JvmVariables, ListenAddress, Loaded, MAX_FILE_BYTES, Refusal, Settings, SettingsError, load,
};

fn words(text: &[&str]) -> Vec<String> {
    text.iter().map(|&word| word.to_owned()).collect()
}

#[test]
fn the_file_wins_over_a_property_and_the_last_property_over_the_first() {
    let both = warns(
        "snapCount=7",
        &["-Dzookeeper.snapCount=8"],
        "snapCount is written twice",
    );
    assert_eq!(both.storage.snap_count, 7);
    let twice = warns(
        "",
        &["-Dzookeeper.snapCount=7", "-Dzookeeper.snapCount=8"],
        "twice",
    );
    assert_eq!(twice.storage.snap_count, 8);
    let bare = warns(
        "jute.maxbuffer=7000",
        &["-Djute.maxbuffer=8000"],
        "other servers",
    );
    assert_eq!(
        bare.limits.max_buffer, 8000,
        "a Java server would ignore the file here"
    );
    let repeated = warns("tickTime=1000\ntickTime=2000", &[], "line 3 is dropped");
    assert_eq!(repeated.tick_time, Duration::from_secs(2));
}

#[test]
fn without_arguments() {
    let zero = Settings::zero_config(&[]).expect("a start");
    assert_eq!(warnings(&zero), Vec::<String>::new());
    assert_eq!(zero.settings.data_dir, Path::new("./rookeeper-data"));
    assert_eq!(zero.settings.tick_time, Duration::from_secs(2));
    assert_eq!(
        zero.settings.client.listen,
        Some(ListenAddress {
            host: None,
            port: 2181
        })
    );
    let changed = Settings::zero_config(&["-Dzookeeper.clientPort=2182", "-Dzookeeper.dataDir=/d"]);
    let changed = changed.expect("a start");
    assert_eq!(warnings(&changed), Vec::<String>::new());
    assert_eq!(changed.settings.data_dir, Path::new("/d"));
    assert_eq!(
        changed.settings.client.listen,
        Some(ListenAddress {
            host: None,
            port: 2182
        })
    );
}

#[test]
fn port_and_directory_as_arguments() {
    let none = JvmVariables::default();
    let two = load(&words(&["0", "/d"]), none).expect("a start").settings;
    assert_eq!(
        two.client.listen,
        Some(ListenAddress {
            host: None,
            port: 0
        })
    );
    assert_eq!(
        (two.tick_time, two.client.max_connections_per_ip),
        (Duration::from_secs(3), None)
    );
    let four = load(&words(&["2182", "/d", "1000", "9"]), none)
        .expect("a start")
        .settings;
    assert_eq!(four.tick_time, Duration::from_secs(1));
    assert_eq!(four.client.max_connections_per_ip, Some(9));
    for bad in [
        &["x", "/d"][..],
        &["1", "/d", "3", "4", "5"],
        &["1", "/d", "0"],
    ] {
        let error = load(&words(bad), none).expect_err("a refusal");
        assert_eq!(error.exit_code(), 2, "{bad:?}");
    }
    let error = load(&words(&["x", "/d"]), none)
        .expect_err("a refusal")
        .to_string();
    assert!(error.starts_with("argument 1: clientPort=x: "), "{error}");
}

#[test]
fn variables_lose_against_the_call() {
    let variables = JvmVariables {
        server_jvmflags: Some("-Xmx1g -Dzookeeper.snapCount=5 -Dzookeeper.maxCnxns=5"),
        jvmflags: Some("-Dzookeeper.snapCount=6 -Dzookeeper.fsync.warningthresholdms=6"),
    };
    let call = words(&["-Dzookeeper.fsync.warningthresholdms=7", "2181", "/d"]);
    let loaded = load(&call, variables).expect("a start");
    assert_eq!(loaded.settings.client.max_connections, Some(5));
    assert_eq!(loaded.settings.storage.snap_count, 6);
    assert_eq!(
        loaded.settings.storage.fsync_warning_threshold,
        Duration::from_millis(7)
    );
    assert!(warnings(&loaded).iter().any(|text| text.contains("-Xmx1g")));
}

fn load_file(path: &Path) -> Result<Loaded, SettingsError> {
    load(
        &words(&[path.to_str().expect("a plain path")]),
        JvmVariables::default(),
    )
}

#[test]
fn a_file_is_read() {
    let room = tempfile::tempdir().expect("a directory");
    let path = room.path().join("zoo.cfg");
    fs::write(&path, "dataDir=relative\nclientPort=2181\r\n").expect("a file");
    let loaded = load_file(&path).expect("a start");
    assert_eq!(loaded.settings.config_file.as_deref(), Some(path.as_path()));
    let warnings = warnings(&loaded);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].ends_with("relative is relative. Prepend ./ to indicate that you're sure!")
    );
}

#[test]
fn a_membership_file_that_nobody_reads_is_refused() {
    for outcome in [
        Settings::from_text("dataDir=/d\ndynamicConfigFile=/x\n", &[]),
        Settings::zero_config(&["-Dzookeeper.dynamicConfigFile=/x"]),
    ] {
        let error = outcome.expect_err("a refusal");
        assert_eq!(*error.refusal(), Refusal::MembershipFileNotRead);
    }
}

#[test]
fn missing_and_monstrous_files_are_refused() {
    let room = tempfile::tempdir().expect("a directory");
    let path = room.path().join("zoo.cfg");
    let error = load_file(&path).expect_err("no file");
    assert!(error.to_string().ends_with("file is missing"), "{error}");
    assert_eq!(error.exit_code(), 2);
    let size = usize::try_from(MAX_FILE_BYTES).expect("a size") + 1;
    fs::write(&path, vec![b'\n'; size]).expect("a file");
    let error = load_file(&path).expect_err("a large file");
    assert!(
        matches!(error.refusal(), Refusal::TooLarge { .. }),
        "{error}"
    );
    assert_eq!(
        load_file(room.path()).expect_err("a directory").exit_code(),
        2
    );
}

#[test]
fn a_membership_file_is_read() {
    let room = tempfile::tempdir().expect("a directory");
    let (path, dynamic) = (
        room.path().join("zoo.cfg"),
        room.path().join("zoo.cfg.dynamic"),
    );
    fs::write(
        &path,
        format!("dataDir=/d\ndynamicConfigFile={}\n", dynamic.display()),
    )
    .expect("a file");
    let with = |text: &str| {
        fs::write(&dynamic, text).expect("a file");
        load_file(&path)
    };
    let loaded = with("server.1=a:2888:3888;2189\n").expect("a start");
    assert_eq!(loaded.settings.client.listen.expect("a port").port, 2189);
    for (text, message) in [
        (
            "server.1=a:2888:3888\nserver.2=b:2888:2888\n",
            "does not have the form",
        ),
        ("tickTime=2000\n", "Unrecognised parameter: tickTime"),
        (
            "version=100000000\n",
            "dynamic file shouldn't have version inside",
        ),
    ] {
        let error = with(text).expect_err(message).to_string();
        assert!(
            error.contains(message) && error.contains("zoo.cfg.dynamic, line "),
            "{error}"
        );
    }
    fs::remove_file(&dynamic).expect("removed");
    assert!(
        load_file(&path)
            .expect_err("no file")
            .to_string()
            .ends_with("file is missing")
    );
}

#[test]
fn a_member_finds_its_number_in_the_data_directory() {
    let room = tempfile::tempdir().expect("a directory");
    let (path, data) = (room.path().join("zoo.cfg"), room.path().join("data"));
    let (dynamic, my_id) = (room.path().join("members.1a"), data.join("myid"));
    fs::create_dir(&data).expect("a directory");
    let text = format!(
        "dataDir={}\ndynamicConfigFile={}\ninitLimit=5\nsyncLimit=2\n",
        data.display(),
        dynamic.display()
    );
    fs::write(&path, text).expect("a file");
    let members = "server.1=a:2888:3888\nserver.2=b:2888:3888;2189\nserver.3=c:2888:3888\n";
    fs::write(&dynamic, members).expect("a file");
    let with = |text: &[u8]| {
        fs::write(&my_id, text).expect("a file");
        load_file(&path)
    };

    let error = load_file(&path).expect_err("no number");
    let missing = format!(
        "myid file is missing: {} must hold the number of this server, which is one of 1, 2, 3",
        my_id.display()
    );
    assert_eq!((error.to_string(), error.exit_code()), (missing, 2));

    for text in [&b"2"[..], b"2\n", b"2\r\nrest", b" 2 \n"] {
        let settings = with(text).expect("a start").settings;
        assert_eq!(settings.client.listen.expect("a port").port, 2189);
        let found = settings.ensemble.expect("a member");
        assert_eq!((found.me.0, found.membership.version()), (2, 0x1a));
    }
    let error = with(b"9\n").expect_err("a stranger");
    let stranger = format!(
        "My id 9 not in the peer list: {} says so, and the members are 1, 2, 3",
        my_id.display()
    );
    assert_eq!((error.to_string(), error.exit_code()), (stranger, 1));
    for text in [&b""[..], b"\n2\n", b"two", b"\xff\xfe", &[b'7'; 1000]] {
        let error = with(text).expect_err("no number");
        assert!(error.to_string().contains("is not a number"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }

    fs::remove_file(&my_id).expect("removed");
    fs::create_dir(&my_id).expect("a directory");
    let error = load_file(&path).expect_err("a directory").to_string();
    let unreadable = format!("{} cannot be read: ", my_id.display());
    assert!(error.starts_with(&unreadable), "{error}");
    fs::write(&dynamic, "server.1=a:2888:3888\n").expect("a file");
    assert_eq!(load_file(&path).expect("a start").settings.ensemble, None);
}

/// What a Java server wrote for itself and its peers.
#[test]
fn a_recorded_membership_file_is_understood() {
    const NAME: &str = "zoo.cfg.dynamic.100000000";
    const TEXT: &str = include_str!("../../../../../testdata/config/zoo.cfg.dynamic.100000000");
    let room = tempfile::tempdir().expect("a directory");
    let (path, dynamic) = (room.path().join("zoo.cfg"), room.path().join(NAME));
    let text = format!(
        "dataDir={}\ndynamicConfigFile={}\ninitLimit=10\nsyncLimit=5\n",
        room.path().display(),
        dynamic.display()
    );
    fs::write(&path, text).expect("a file");
    fs::write(&dynamic, TEXT).expect("a file");
    fs::write(room.path().join("myid"), "4\n").expect("a file");
    let settings = load_file(&path).expect("a start").settings;
    let listen = settings.client.listen.expect("a port").to_string();
    assert_eq!(listen, "127.0.0.1:26104");
    let found = settings.ensemble.expect("a member").membership;
    assert_eq!(found.to_string(), format!("{TEXT}\nversion=100000000"));
}
