//! Trying again after an error that may pass (D-11), and going on where it ended.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::{
    fs,
    io::Read as _,
    process::{Child, Stdio},
};

use support::{PASSWORD, Site, terminate, wait_for};

/// Four seconds; a checkpoint is made each second.
const SIZE: usize = 80_000_000;

fn client(site: &Site, upload: bool, options: &[&str]) -> Child {
    let paths = match upload {
        true => ["upload", "large", "HOST:copy"],
        false => ["download", "HOST:large", "copy"],
    };
    let common = ["--json", "-l", "150m", "--accept-new-host-key"];
    let words = [&paths[..], &common, options].concat();
    site.client("lea", PASSWORD, &words)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn is_half_done(event: &serde_json::Value) -> bool {
    event["bytes_done"]
        .as_u64()
        .is_some_and(|bytes| bytes > SIZE as u64 / 2)
}

/// F2, D-11: another server process on the same address, and a client that nobody touches.
#[test]
fn d11_a_client_goes_on_by_itself_when_its_server_comes_back() {
    for upload in [true, false] {
        let mut site = Site::new();
        let (from, to) = if upload {
            ("large", "root/copy")
        } else {
            ("root/large", "copy")
        };
        let content = site.bed.file(from, SIZE);
        let mut running = client(&site, upload, &["--retry", "20", "--retry-interval", "1"]);
        wait_for(&mut running, is_half_done);
        let address = site.server.address;
        site.server.kill();
        let retrying = wait_for(&mut running, |event| event["event"] == "retrying");
        assert_eq!(retrying["retry"], 1, "{retrying}");
        assert_eq!(retrying["code"], 16, "{retrying}");
        site.server = site.bed.serve_at(address);
        let done = wait_for(&mut running, |event| event["event"] == "done");
        assert_eq!(done["files_done"], 1);
        let resumed = done["resumed_bytes"].as_u64().unwrap();
        assert!(resumed > SIZE as u64 / 6, "{done}");
        assert!(running.wait().unwrap().success());
        assert!(fs::read(site.path(to)).unwrap() == content);
    }
}

#[test]
fn d11_what_cannot_pass_is_not_tried_again() {
    let site = Site::new();
    site.bed.file("large", 100);
    let many = ["--retry", "5", "--retry-interval", "60"];
    let words = [
        &["upload", "large", "HOST:x", "--accept-new-host-key"],
        &many[..],
    ]
    .concat();
    // A wrong password, a directory that is not there.
    site.run("lea", "wrong", &words).assert_refused(4, 19);
    let words = [&["upload", "large", "HOST:none/x"], &many[..]].concat();
    site.lea(&words).assert_refused(1, 4);
}

/// Who misspelt a host wants to hear of it at once.
#[test]
fn d11_what_never_began_is_tried_again_only_on_request() {
    let mut site = Site::new();
    site.bed.file("large", 100);
    site.server.kill();
    let words = ["upload", "large", "HOST:x"];
    site.lea(&words).assert_refused(5, 12);
    let run = site.lea(&[&words[..], &["--retry", "2", "--retry-interval", "0"]].concat());
    run.assert_refused(5, 12);
    assert_eq!(run.err.matches("retrying: ").count(), 2, "{}", run.err);
}

#[test]
fn d13_a_client_that_waits_to_try_again_can_be_stopped_and_says_how_to_go_on() {
    let mut site = Site::new();
    site.bed.file("large", SIZE);
    let mut running = client(&site, true, &["--retry-interval", "60"]);
    wait_for(&mut running, is_half_done);
    site.server.kill();
    wait_for(&mut running, |event| event["event"] == "retrying");
    terminate(&running);
    let mut text = String::new();
    running
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(130));
    assert!(
        text.contains("hint: run the same command again to go on"),
        "{text}"
    );
}
