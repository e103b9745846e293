//! Downloads whose envelopes are opened as they arrive.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::{
    fs,
    path::Path,
    process::{Child, Command},
};

use serde_json::Value;
use support::{
    PASSWORD, Run, Site,
    canary::{SIZES, assert_no_canary, with_canary, write_tree},
    names, wait_for,
};

const PASSPHRASE: &str = "correct horse battery staple";

fn client(site: &Site, words: &[&str], passphrase: Option<&str>) -> Command {
    let words = [words, &["--accept-new-host-key"]].concat();
    let mut client = site.client("lea", PASSWORD, &words);
    if let Some(passphrase) = passphrase {
        client.env("ASPERA_SCP_FILEPASS", passphrase);
    }
    client
}

fn run(site: &Site, words: &[&str], passphrase: Option<&str>) -> Run {
    Run::of(client(site, words, passphrase).spawn().unwrap())
}

/// A site whose server has the tree as envelopes.
fn protected_site() -> Site {
    let site = Site::new();
    write_tree(&site);
    run(
        &site,
        &["upload", "--protect", "tree", "HOST:"],
        Some(PASSPHRASE),
    )
    .assert_success();
    fs::create_dir(site.path("here")).unwrap();
    site
}

fn decrypt(site: &Site, words: &[&str], passphrase: &str) -> Run {
    let words = [&["download", "--json", "--decrypt"], words].concat();
    run(site, &words, Some(passphrase))
}

fn events(run: &Run) -> Vec<Value> {
    let parsed = run.out.lines().map(serde_json::from_str);
    parsed.collect::<Result<_, _>>().unwrap()
}

/// Only the plain files are there, and they are those that were sent.
fn assert_opened(directory: &Path) {
    let mut expected = SIZES.map(|(name, _)| name);
    expected.sort_unstable();
    assert_eq!(names(directory)[..], expected[..]);
    for (name, size) in SIZES {
        let arrived = fs::read(directory.join(name)).unwrap();
        assert!(arrived == with_canary(size), "{name}");
    }
}

#[test]
fn a_protected_tree_arrives_as_plain_files_and_is_not_sent_twice() {
    let site = protected_site();
    let words = ["--file-checksum", "sha-256", "HOST:tree", "here"];
    let first = decrypt(&site, &words, PASSPHRASE);
    first.assert_success();
    assert_opened(&site.path("here/tree"));
    let events_of_first = events(&first);
    let done: Vec<_> = events_of_first
        .iter()
        .filter(|event| event["event"] == "file_done")
        .collect();
    assert_eq!(done.len(), SIZES.len(), "{}", first.out);
    for (name, size) in SIZES {
        let path = format!("tree/{name}");
        let event = done.iter().find(|event| event["path"] == path.as_str());
        let event = event.unwrap_or_else(|| panic!("{path}: {}", first.out));
        assert_eq!(event["size"], size, "{event}");
        assert!(event["checksum"].is_string(), "{event}");
    }
    let second = decrypt(&site, &words, PASSPHRASE);
    second.assert_success();
    let last = events(&second).pop().unwrap();
    assert_eq!(last["files_skipped"], SIZES.len(), "{last}");
    assert_eq!(last["files_done"], 0, "{last}");
    assert_no_canary(&site.path("root"));
}

#[test]
fn split_files_of_several_sessions_are_opened() {
    let site = protected_site();
    let split = ["--sessions", "3", "--split-threshold", "1M"];
    let words = [&split[..], &["HOST:tree", "here"]].concat();
    decrypt(&site, &words, PASSPHRASE).assert_success();
    assert_opened(&site.path("here/tree"));
}

// Rule E-4
#[test]
fn envelopes_that_the_passphrase_does_not_open_stay_and_are_opened_later_without_being_sent() {
    let site = protected_site();
    site.bed.file("tree-2", 70_000);
    let other = ["upload", "--protect", "tree-2", "HOST:tree/other"];
    run(&site, &other, Some("another one")).assert_success();
    let some = decrypt(&site, &["HOST:tree", "here"], PASSPHRASE);
    assert_eq!(some.status, 3, "{}", some.err);
    let failed: Vec<_> = events(&some)
        .into_iter()
        .filter(|event| event["event"] == "file_failed")
        .collect();
    assert_eq!(failed.len(), 1, "{}", some.out);
    assert_eq!(failed[0]["path"], "tree/other.aspera-env");
    assert_eq!(failed[0]["code"], 49, "{}", failed[0]);
    assert_eq!(events(&some).pop().unwrap()["code"], 27, "{}", some.out);
    let envelope = site.path("here/tree/other.aspera-env");
    let sent = fs::read(site.path("root/tree/other.aspera-env")).unwrap();
    assert!(fs::read(&envelope).unwrap() == sent);
    // With the other passphrase everything else is there already, and the envelope is too.
    let rest = decrypt(&site, &["HOST:tree", "here"], "another one");
    rest.assert_success();
    let last = events(&rest).pop().unwrap();
    assert_eq!(last["files_skipped"], SIZES.len(), "{last}");
    let plain = fs::read(site.path("here/tree/other")).unwrap();
    assert!(plain == fs::read(site.path("tree-2")).unwrap());
}

#[test]
fn a_single_file_that_does_not_open_is_a_wrong_passphrase() {
    let site = protected_site();
    for (name, words) in [
        ("chunks", &["--sessions", "1"][..]),
        ("chunks", &["--sessions", "2", "--split-threshold", "1M"]),
        ("small", &[]),
    ] {
        let source = format!("HOST:tree/{name}.aspera-env");
        let words = [&["download"], words, &[source.as_str(), "here"]].concat();
        let wrong = run(&site, &words, Some("wrong"));
        wrong.assert_refused(1, 49);
        let envelope = site.path(&format!("here/{name}.aspera-env"));
        assert!(envelope.exists(), "{}", wrong.err);
        fs::remove_file(envelope).unwrap();
        assert!(names(&site.path("here")).is_empty());
    }
}

#[test]
fn a_named_envelope_is_opened_under_its_own_or_a_new_name_and_to_standard_output() {
    let site = protected_site();
    let source = "HOST:tree/edge.aspera-env";
    let content = with_canary(65_536);
    for (destination, name) in [
        ("here", "edge"),
        ("here/mine", "mine"),
        ("here/yours.aspera-env", "yours"),
    ] {
        run(&site, &["download", source, destination], Some(PASSPHRASE)).assert_success();
        assert!(
            fs::read(site.path("here").join(name)).unwrap() == content,
            "{name}"
        );
    }
    assert_eq!(names(&site.path("here")), ["edge", "mine", "yours"]);
    let mut out = client(&site, &["download", source, "-"], Some(PASSPHRASE));
    let output = out.output().unwrap();
    assert!(output.status.success() && output.stdout == content);
}

#[test]
fn envelopes_stay_where_that_is_wanted_and_where_nobody_has_a_passphrase() {
    let site = protected_site();
    let source = "HOST:tree/small.aspera-env";
    let keep = ["download", "--keep-encrypted", source, "here"];
    let kept = run(&site, &keep, Some(PASSPHRASE));
    kept.assert_success();
    assert_eq!(names(&site.path("here")), ["small.aspera-env"]);
    assert!(!kept.err.contains("passphrase"), "{}", kept.err);
    let nobody = run(&site, &["download", source, "here"], None);
    nobody.assert_success();
    assert!(nobody.err.contains("--decrypt"), "{}", nobody.err);
    assert_eq!(names(&site.path("here")), ["small.aspera-env"]);
    // A directory is not looked into beforehand.
    let tree = run(&site, &["download", "HOST:tree", "here"], Some(PASSPHRASE));
    tree.assert_success();
    let mention =
        "5 files are protected by a passphrase; to open what is here: connect-cli crypt decrypt";
    assert!(tree.err.contains(mention), "{}", tree.err);
    let asked = run(&site, &["download", "--decrypt", source, "here"], None);
    asked.assert_usage();
    assert!(asked.err.contains("ASPERA_SCP_FILEPASS"), "{}", asked.err);
}

#[test]
fn what_was_received_before_a_kill_is_gone_on_with_and_no_plain_byte_has_a_name() {
    for words in [
        &["--sessions", "1"][..],
        &["--sessions", "2", "--split-threshold", "1M"],
        &["--resume", "3"],
    ] {
        let site = protected_site();
        let words = [words, &["HOST:tree", "here"]].concat();
        let slow = [
            &["download", "--json", "--decrypt", "-l", "80m"],
            &words[..],
        ]
        .concat();
        let mut running: Child = client(&site, &slow, Some(PASSPHRASE)).spawn().unwrap();
        wait_for(&mut running, |event| {
            let done = event["bytes_done"].as_u64();
            done.is_some_and(|bytes| bytes > 15_000_000)
        });
        running.kill().unwrap();
        Run::of_killed(running);
        let unfinished = site.path("here/tree/chunks.aspera-env.partial");
        assert!(unfinished.exists(), "{:?}", names(&site.path("here")));
        assert!(!site.path("here/tree/chunks").exists());
        let again = decrypt(&site, &words, PASSPHRASE);
        again.assert_success();
        let last = events(&again).pop().unwrap();
        assert!(
            last["resumed_bytes"].as_u64().unwrap() > 1_000_000,
            "{last}"
        );
        assert_opened(&site.path("here/tree"));
    }
}

/// One bit of an envelope is another on the server: it is reported, stays what it is, and leaves nothing plain.
#[test]
fn a_damaged_envelope_gives_no_plain_file() {
    let site = protected_site();
    for (name, at) in [
        ("small", 500),
        ("one-chunk", 2_000_000),
        ("chunks", 34_000_000),
    ] {
        let path = site.path(&format!("root/tree/{name}.aspera-env"));
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    let run = decrypt(&site, &["HOST:tree", "here"], PASSPHRASE);
    assert_eq!(run.status, 3, "{}", run.err);
    let codes: Vec<_> = events(&run)
        .iter()
        .filter(|event| event["event"] == "file_failed")
        .map(|event| event["code"].as_u64().unwrap())
        .collect();
    assert_eq!(codes, [48; 3], "{}", run.out);
    let expected = [
        "chunks.aspera-env",
        "edge",
        "empty",
        "one-chunk.aspera-env",
        "small.aspera-env",
    ];
    assert_eq!(names(&site.path("here/tree")), expected);
}

#[test]
fn files_that_the_list_does_not_name_are_deleted_and_opened_ones_are_not() {
    let site = protected_site();
    let words = ["--delete-before-transfer", "HOST:tree/", "here"];
    decrypt(&site, &["HOST:tree/", "here"], PASSPHRASE).assert_success();
    let base = match site.path("here/tree").exists() {
        true => "here/tree",
        false => "here",
    };
    fs::write(site.path(base).join("stranger"), "x").unwrap();
    let second = decrypt(&site, &words, PASSPHRASE);
    second.assert_success();
    assert_opened(&site.path(base));
}

/// As a unit of the service manager has it.
#[test]
fn a_passphrase_comes_from_the_credential_store() {
    let site = Site::new();
    site.bed.file("f", 1_000);
    fs::create_dir(site.path("credentials")).unwrap();
    let up = ["upload", "--protect", "f", "HOST:"];
    let with_store = |words: &[&str]| {
        let mut client = client(&site, words, None);
        client.env("CREDENTIALS_DIRECTORY", site.path("credentials"));
        Run::of(client.spawn().unwrap())
    };
    with_store(&up).assert_usage();
    let credential = site.path("credentials/file-passphrase");
    fs::write(&credential, format!("{PASSPHRASE}\n")).unwrap();
    with_store(&up).assert_success();
    with_store(&["download", "HOST:f.aspera-env", "g"]).assert_success();
    assert!(fs::read(site.path("g")).unwrap() == fs::read(site.path("f")).unwrap());
    // The environment wins.
    let other = ["download", "HOST:f.aspera-env", "h"];
    let mut other = client(&site, &other, Some("wrong"));
    other.env("CREDENTIALS_DIRECTORY", site.path("credentials"));
    Run::of(other.spawn().unwrap()).assert_refused(1, 49);
    fs::remove_file(&credential).unwrap();
    fs::create_dir(&credential).unwrap();
    let unreadable = with_store(&up);
    assert_ne!(unreadable.status, 0);
    assert!(
        unreadable.err.contains("file-passphrase"),
        "{}",
        unreadable.err
    );
}

#[test]
fn the_servers_of_the_users_list_get_protected_files_only() {
    let site = Site::new();
    site.bed.file("f", 1_000);
    let hosts = |words: &[&str]| {
        let words = [&["hosts"], words].concat();
        let run = Run::of(site.bed.program(words).spawn().unwrap());
        run.assert_success();
        run
    };
    assert!(hosts(&["list"]).out.is_empty());
    hosts(&["protect", "127.0.0.1"]);
    assert_eq!(hosts(&["list"]).out, "127.0.0.1\n");
    assert!(hosts(&["list", "--json"]).out.contains("protected_host"));
    let nobody = run(&site, &["upload", "f", "HOST:"], None);
    nobody.assert_usage();
    assert!(names(&site.path("root")).is_empty(), "{}", nobody.err);
    run(&site, &["upload", "f", "HOST:"], Some(PASSPHRASE)).assert_success();
    assert_eq!(names(&site.path("root")), ["f.aspera-env"]);
    run(&site, &["upload", "--keep-unencrypted", "f", "HOST:"], None).assert_success();
    assert_eq!(names(&site.path("root")), ["f", "f.aspera-env"]);
    hosts(&["unprotect", "127.0.0.1"]);
    fs::remove_file(site.path("root/f.aspera-env")).unwrap();
    run(&site, &["upload", "f", "HOST:"], Some(PASSPHRASE)).assert_success();
    assert_eq!(names(&site.path("root")), ["f"]);
    // Settings that cannot be understood protect nothing by accident.
    let settings = site.path("home/.config/connect/settings.toml");
    fs::write(settings, "[content-protection]\nhosts = 3\n").unwrap();
    let refused = run(&site, &["upload", "f", "HOST:"], Some(PASSPHRASE));
    refused.assert_refused(1, 50);
}

#[test]
fn a_server_that_takes_protected_files_only_gets_them_when_there_is_a_passphrase() {
    let mut site = Site::new();
    site.bed.file("f", 1_000);
    site.server.kill();
    let conf = "<CONF version=\"2\"><default><transfer><encryption>\
        <content_protection_required>true</content_protection_required>\
        </encryption></transfer></default></CONF>";
    fs::write(site.path("state/aspera.conf"), conf).unwrap();
    site.server = site.bed.serve();
    let nobody = run(&site, &["upload", "f", "HOST:"], None);
    nobody.assert_refused(4, 37);
    assert!(nobody.err.contains("--protect"), "{}", nobody.err);
    let plain = ["upload", "--keep-unencrypted", "f", "HOST:"];
    run(&site, &plain, Some(PASSPHRASE)).assert_refused(4, 37);
    assert!(names(&site.path("root")).is_empty());
    let demanded = run(&site, &["upload", "f", "HOST:"], Some(PASSPHRASE));
    demanded.assert_success();
    assert!(
        demanded.err.contains("protected files only"),
        "{}",
        demanded.err
    );
    assert_eq!(names(&site.path("root")), ["f.aspera-env"]);
}
