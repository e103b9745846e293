//! Uploads that are protected on their way: the server gets envelopes, and no byte of what is in them.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::{fs, process::Child};

use support::{
    PASSWORD, Run, Site,
    canary::{SIZES, assert_no_canary, with_canary, write_tree},
    names, wait_for,
};

const PASSPHRASE: &str = "correct horse battery staple";

fn start(site: &Site, words: &[&str]) -> Child {
    let words = [&["upload", "--accept-new-host-key", "--protect"], words].concat();
    let mut client = site.client("lea", PASSWORD, &words);
    client
        .env("ASPERA_SCP_FILEPASS", PASSPHRASE)
        .spawn()
        .unwrap()
}

fn upload(site: &Site, words: &[&str]) -> Run {
    Run::of(start(site, words))
}

/// Decrypts what the server has, and compares it with the sources.
fn assert_arrived(site: &Site) {
    for path in ["root", "state", "home"] {
        assert_no_canary(&site.path(path));
    }
    let expected = ["chunks", "edge", "empty", "one-chunk", "small"];
    let expected: Vec<_> = expected.map(|name| format!("{name}.aspera-env")).into();
    assert_eq!(names(&site.path("root/tree"))[..], expected[..]);
    let mut decrypt = site.bed.program(["crypt", "decrypt", "root/tree"]);
    decrypt.env("ASPERA_SCP_FILEPASS", PASSPHRASE);
    Run::of(decrypt.spawn().unwrap()).assert_success();
    for (name, size) in SIZES {
        let arrived = fs::read(site.path(&format!("root/tree/{name}"))).unwrap();
        assert!(arrived == with_canary(size), "{name}");
        fs::remove_file(site.path(&format!("root/tree/{name}"))).unwrap();
    }
}

#[test]
fn a_protected_tree_arrives_as_envelopes_and_is_not_sent_twice() {
    let site = Site::new();
    write_tree(&site);
    upload(&site, &["tree", "HOST:"]).assert_success();
    assert_arrived(&site);
    let run = upload(&site, &["--json", "tree", "HOST:"]);
    run.assert_success();
    let last: serde_json::Value = serde_json::from_str(run.out.lines().last().unwrap()).unwrap();
    assert_eq!(last["files_skipped"], SIZES.len(), "{last}");
    assert_eq!(last["files_done"], 0, "{last}");
}

#[test]
fn split_files_of_several_sessions_are_protected() {
    let site = Site::new();
    write_tree(&site);
    let words = [
        "--sessions",
        "3",
        "--split-threshold",
        "1M",
        "tree",
        "HOST:",
    ];
    upload(&site, &words).assert_success();
    assert_arrived(&site);
}

/// A client that is killed in the middle of the large file.
fn interrupt(site: &Site, words: &[&str]) {
    let slow = [&["--json", "--target-rate", "80m"], words].concat();
    let mut client = start(site, &slow);
    wait_for(&mut client, |event| {
        let done = event["bytes_done"].as_u64();
        done.is_some_and(|bytes| bytes > 15_000_000)
    });
    client.kill().unwrap();
    Run::of_killed(client);
    assert_no_canary(&site.path("root"));
}

fn records(site: &Site) -> Vec<String> {
    names(&site.path("home/.local/state/connect/protected"))
}

const WAYS: [&[&str]; 3] = [
    &["--sessions", "1"],
    &["--sessions", "2", "--split-threshold", "1M"],
    &["--resume", "3"],
];

/// Another command has other keys, and those that the first one had where it left a record.
#[test]
fn e9_an_interrupted_file_is_gone_on_with_by_another_command() {
    for words in WAYS {
        let site = Site::new();
        write_tree(&site);
        let words = [words, &["tree", "HOST:"]].concat();
        interrupt(&site, &words);
        assert_eq!(records(&site).len(), 1);
        let run = upload(&site, &[&["--json"], &words[..]].concat());
        run.assert_success();
        let last: serde_json::Value =
            serde_json::from_str(run.out.lines().last().unwrap()).unwrap();
        assert!(
            last["resumed_bytes"].as_u64().unwrap() > 1_000_000,
            "{last}"
        );
        assert!(!run.err.contains("did not agree"), "{}", run.err);
        assert_arrived(&site);
        assert!(records(&site).is_empty());
    }
}

/// Without a record, with one from before a crash of the system, and with another passphrase: what is there of the file is
/// of no use, and is not mixed with it.
#[test]
fn a_file_that_cannot_be_gone_on_with_is_protected_anew() {
    for (words, spoil) in WAYS.into_iter().zip(["record", "boot", "passphrase"]) {
        let site = Site::new();
        write_tree(&site);
        let words = [words, &["tree", "HOST:"]].concat();
        let protected = site.path("home/.local/state/connect/protected");
        if spoil == "passphrase" {
            let slow = [
                &[
                    "upload",
                    "--protect",
                    "--accept-new-host-key",
                    "--json",
                    "-l",
                    "80m",
                ],
                &words[..],
            ]
            .concat();
            let mut client = site.client("lea", PASSWORD, &slow);
            let mut client = client
                .env("ASPERA_SCP_FILEPASS", "another")
                .spawn()
                .unwrap();
            wait_for(&mut client, |event| {
                let done = event["bytes_done"].as_u64();
                done.is_some_and(|bytes| bytes > 15_000_000)
            });
            client.kill().unwrap();
            Run::of_killed(client);
            // What has arrived whole opens with that one only.
            let whole = names(&site.path("root/tree"));
            for name in whole.iter().filter(|name| !name.starts_with("chunks")) {
                fs::remove_file(site.path("root/tree").join(name)).unwrap();
            }
        } else {
            interrupt(&site, &words);
        }
        for name in records(&site) {
            let path = protected.join(name);
            match spoil {
                "record" => fs::remove_file(path).unwrap(),
                "boot" => {
                    let mut bytes = fs::read(&path).unwrap();
                    bytes[10] ^= 1;
                    fs::write(path, bytes).unwrap();
                }
                _ => {}
            }
        }
        let run = upload(&site, &words);
        run.assert_success();
        // Known before anything is sent, not found out when all of it has been.
        assert!(!run.err.contains("did not agree"), "{}", run.err);
        assert_arrived(&site);
        assert!(records(&site).is_empty());
    }
}

#[test]
fn a_source_that_changed_between_two_commands_has_another_envelope() {
    let site = Site::new();
    write_tree(&site);
    interrupt(&site, &["tree", "HOST:"]);
    let mut changed = with_canary(35_000_000);
    changed[20_000_000] ^= 1;
    fs::write(site.path("tree/chunks"), &changed).unwrap();
    upload(&site, &["tree", "HOST:"]).assert_success();
    for path in ["root", "state", "home"] {
        assert_no_canary(&site.path(path));
    }
    let mut decrypt = site.bed.program(["crypt", "decrypt", "root/tree"]);
    decrypt.env("ASPERA_SCP_FILEPASS", PASSPHRASE);
    Run::of(decrypt.spawn().unwrap()).assert_success();
    assert!(fs::read(site.path("root/tree/chunks")).unwrap() == changed);
}

/// Within one command the keys stay, so that what the server has is of use.
#[test]
fn d11_a_retry_goes_on_with_the_envelope_that_it_began() {
    let mut site = Site::new();
    fs::create_dir(site.path("tree")).unwrap();
    let large = with_canary(60_000_000);
    fs::write(site.path("tree/large"), &large).unwrap();
    let slow = [
        "--json",
        "-l",
        "150m",
        "--retry",
        "3",
        "--retry-interval",
        "1",
    ];
    let mut client = start(&site, &[&slow[..], &["tree", "HOST:"]].concat());
    wait_for(&mut client, |event| {
        let done = event["bytes_done"].as_u64();
        done.is_some_and(|bytes| bytes > 30_000_000)
    });
    let address = site.server.address;
    site.server.kill();
    assert_no_canary(&site.path("root"));
    site.server = site.bed.serve_at(address);
    let run = Run::of(client);
    run.assert_success();
    let last: serde_json::Value = serde_json::from_str(run.out.lines().last().unwrap()).unwrap();
    assert!(
        last["resumed_bytes"].as_u64().unwrap() > 1_000_000,
        "{last}"
    );
    assert!(!run.err.contains("did not agree"), "{}", run.err);
    let mut decrypt = site.bed.program(["crypt", "decrypt", "root/tree"]);
    decrypt.env("ASPERA_SCP_FILEPASS", PASSPHRASE);
    Run::of(decrypt.spawn().unwrap()).assert_success();
    assert!(fs::read(site.path("root/tree/large")).unwrap() == large);
}

#[test]
fn a_file_with_a_new_name_there_is_an_envelope_by_that_name() {
    let site = Site::new();
    site.bed.file("f", 1_000);
    site.bed.file("g", 2_000);
    let names_there = || names(&site.path("root"));
    upload(&site, &["f", "HOST:mine"]).assert_success();
    assert_eq!(names_there(), ["mine.aspera-env"]);
    // The second is another version of it, the third goes into a directory of that name.
    upload(&site, &["g", "HOST:mine.aspera-env"]).assert_success();
    assert_eq!(names_there(), ["mine.aspera-env"]);
    let size = |name| fs::metadata(site.path(name)).unwrap().len();
    assert_eq!(size("root/mine.aspera-env"), 2_120);
    upload(&site, &["g", "HOST:mine"]).assert_success();
    upload(&site, &["-d", "g", "HOST:mine"]).assert_success();
    assert_eq!(
        names_there(),
        ["mine.aspera-env", "mine/", "mine/g.aspera-env"]
    );
}

#[test]
fn synthetic_files_and_a_passphrase_that_is_not_there_are_refused() {
    let site = Site::new();
    site.bed.file("f", 10);
    upload(&site, &["faux:///zeros?1m", "HOST:"]).assert_usage();
    let words = ["upload", "--protect", "f", "HOST:"];
    let run = site.run("lea", PASSWORD, &words);
    run.assert_usage();
    assert!(run.err.contains("ASPERA_SCP_FILEPASS"), "{}", run.err);
    let readable = upload(&site, &["--preserve-xattrs=native", "f", "HOST:"]);
    readable.assert_usage();
    assert!(readable.err.contains("not protected"), "{}", readable.err);
    let words = ["upload", "--passphrase-fd", "0", "f", "HOST:"];
    site.run("lea", PASSWORD, &words).assert_usage();
    assert!(names(&site.path("root")).is_empty());
}
