//! What commands write down, and how it is shown again.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
};

use serde_json::Value;
use support::{Bed, Run, Site};

const DIRECTORY: &str = "home/.local/state/connect/log";
const TRANSFERS: &str = "aspera-scp-transfer.log";
const CONNECT: &str = "aspera-connect.log";

fn log(site: &Site, name: &str) -> PathBuf {
    site.path(DIRECTORY).join(name)
}

fn read(site: &Site, name: &str) -> String {
    fs::read_to_string(log(site, name)).unwrap()
}

fn objects(run: &Run) -> Vec<Value> {
    run.assert_success();
    run.out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_transfer_is_logged_with_the_keys_that_readers_know_and_found_again() {
    let site = Site::new();
    site.bed.file("f", 100_000);
    site.lea(&["upload", "--log-level", "debug", "-l", "50m", "f", "HOST:"])
        .assert_success();
    site.lea(&["download", "HOST:gone", "new"])
        .assert_refused(1, 4);
    let transfers = read(&site, TRANSFERS);
    for part in [
        " LOG FASP Session Start uuid=",
        " op=send status=started user=lea peer=127.0.0.1:",
        " LOG FASP Session Params uuid=",
        " targetrate=50000000 minrate=0 rate_policy=fair cipher=aes-128",
        " DBG FASP Transfer Stop uuid=",
        " status=success file=f size=100000",
        " status=success errcode=0 user=lea ",
        " files=1 skipped=0 failed=0 bytes=100000 ",
    ] {
        assert!(transfers.contains(part), "{part}: {transfers}");
    }
    let connect = read(&site, CONNECT);
    assert!(connect.contains(" LOG command started command=upload ver="));
    assert!(connect.contains(" ERR command ended command=download status=failed errcode=4 "));
    for name in [TRANSFERS, CONNECT] {
        let mode = log(&site, name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    // Both logs in the order of time.
    let all = objects(&site.bed_run(&["logs", "--json"]));
    assert_eq!(
        all.len(),
        transfers.lines().count() + connect.lines().count()
    );
    assert!(all.is_sorted_by_key(|record| record["time"].as_str().unwrap().to_owned()));
    let errors = objects(&site.bed_run(&["logs", "--json", "--level", "error"]));
    assert!(!errors.is_empty() && errors.iter().all(|record| record["severity"] == "ERR"));
    let uuid = all.iter().find_map(|record| record["uuid"].as_str());
    let uuid = uuid.unwrap();
    let session = objects(&site.bed_run(&["logs", "--json", "--session", &uuid[..8]]));
    assert!(session.len() >= 4 && session.iter().all(|record| record["uuid"] == uuid));
    let recent = site.bed_run(&["logs", "--since", "1h"]);
    assert_eq!(recent.out.lines().count(), all.len());
    assert_eq!(site.bed_run(&["logs", "--since", "9999-01-01"]).out, "");
    assert_eq!(site.bed_run(&["logs", "--since", "soon"]).status, 2);
}

impl Site {
    fn bed_run(&self, words: &[&str]) -> Run {
        Run::of(self.bed.program(words).spawn().unwrap())
    }
}

/// Rule C-4, fault F112: whatever is logged, no secret is.
#[test]
fn f112_a_password_is_in_no_log_even_when_everything_is_logged() {
    const CANARY: &str = "canary-7f3a91";
    let bed = Bed::new();
    let words = "server user add lea --password-stdin --state state --docroot root";
    bed.run_with_input(words.split(' '), &format!("{CANARY}\n"))
        .assert_success();
    let server = bed.serve();
    let site = Site { bed, server };
    site.bed.file("f", 100_000);
    // Few wrong ones, or the server turns this address away.
    for (password, words, status) in [
        (CANARY, &["upload", "f", "HOST:"][..], 0),
        (CANARY, &["doctor", "HOST", "--log-json"], 0),
        (CANARY, &["download", "HOST:f", "back", "--log-json"], 0),
        ("canary-7f3a91-wrong", &["upload", "f", "HOST:"], 4),
    ] {
        let options = ["--log-level", "trace", "--accept-new-host-key"];
        let run = site.run("lea", password, &[words, &options].concat());
        assert_eq!(run.status, status, "{}", run.err);
    }
    let texts = [
        read(&site, TRANSFERS),
        read(&site, CONNECT),
        fs::read_to_string(site.path("server.log")).unwrap(),
    ];
    for text in texts {
        assert!(text.lines().count() >= 4, "{text}");
        assert!(!text.contains("canary"), "{text}");
    }
    // A log may have lines of both forms.
    let all = objects(&site.bed_run(&["logs", "--json"]));
    assert!(all.iter().all(|record| record["time"].is_string()));
}

#[test]
fn follow_shows_what_is_written_later() {
    let site = Site::new();
    site.lea(&["ls", "HOST:"]).assert_success();
    let mut follower = site.bed.program(["logs", "-f"]).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let mut wait_for = |text: &str| while !lines.next().unwrap().unwrap().contains(text) {};
    wait_for("command ended command=ls status=success");
    // The log moves aside meanwhile.
    fs::rename(log(&site, CONNECT), log(&site, "aspera-connect.log.1")).unwrap();
    site.lea(&["doctor", "HOST"]).assert_success();
    wait_for("command ended command=doctor status=success");
    follower.kill().unwrap();
    follower.wait().unwrap();
}

#[test]
fn a_full_log_moves_aside_and_both_are_shown() {
    let site = Site::new();
    site.lea(&["ls", "HOST:"]).assert_success();
    let line = format!("2026-01-01T00:00:00.000000Z LOG old {}\n", "x".repeat(900));
    let old = line.repeat((10 << 20) / line.len() + 1);
    fs::write(log(&site, CONNECT), &old).unwrap();
    site.lea(&["ls", "HOST:"]).assert_success();
    assert!(read(&site, "aspera-connect.log.1").starts_with("2026-01-01"));
    assert!(read(&site, CONNECT).contains("command=ls"));
    let shown = site.bed_run(&["logs"]).out;
    assert!(shown.starts_with("2026-01-01") && shown.contains("command=ls"));
}

/// Fault F21, the log's part of it.
#[test]
fn f21_a_log_that_cannot_be_written_stops_nothing_unless_it_was_asked_for() {
    let site = Site::new();
    site.bed.file("f", 100_000);
    fs::create_dir_all(site.path(DIRECTORY)).unwrap();
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(site.path(DIRECTORY), open).unwrap();
    let run = site.lea(&["upload", "f", "HOST:"]);
    run.assert_success();
    assert!(run.err.contains("note: nothing is logged: "), "{}", run.err);
    let asked = site.lea(&["upload", "-L", DIRECTORY, "f", "HOST:"]);
    asked.assert_refused(1, 50);
    // A disk that is full while it runs.
    fs::remove_dir_all(site.path(DIRECTORY)).unwrap();
    site.lea(&["ls", "HOST:"]).assert_success();
    for name in [TRANSFERS, CONNECT] {
        fs::remove_file(log(&site, name)).unwrap();
    }
    let script = "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\"";
    let host = format!("lea@{}:", site.server.address);
    let mut client = site.bed.wrapped(
        &["sh", "-c", script],
        ["upload", "--log-level", "trace", "f", &host],
    );
    client.env("ASPERA_SCP_PASS", support::PASSWORD);
    Run::of(client.spawn().unwrap()).assert_success();
    assert_eq!(read(&site, TRANSFERS), "");
}
