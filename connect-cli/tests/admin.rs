//! A server as its administrator meets it: configuration in its place, reloads, status, sessions, the service manager.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::{
    fs,
    os::unix::net::UnixDatagram,
    process::Child,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{PASSWORD, Run, Site, wait_for_event};

fn admin(site: &Site, words: &[&str]) -> Run {
    let words = ["server"].iter().chain(words).chain(&["--state", "state"]);
    Run::of(site.bed.program(words).spawn().unwrap())
}

fn status(site: &Site) -> Value {
    let run = admin(site, &["status", "--json"]);
    run.assert_success();
    serde_json::from_str(&run.out).unwrap()
}

/// An upload that would take a minute, with its first bytes on their way.
fn slow(site: &Site) -> Child {
    site.bed.file("big", 60_000_000);
    let words = [
        "upload",
        "--json",
        "-l",
        "8m",
        "--accept-new-host-key",
        "big",
        "HOST:",
    ];
    let mut client = site.client("lea", PASSWORD, &words).spawn().unwrap();
    wait_for_event(&mut client, "progress");
    client
}

#[test]
fn administrators_see_steer_and_end_sessions() {
    let site = Site::new();
    let client = slow(&site);
    let text = admin(&site, &["status"]);
    text.assert_success();
    assert!(text.out.contains("sessions   1, together "), "{}", text.out);
    assert!(text.out.contains("fair"), "{}", text.out);
    let id = status(&site)["sessions"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let run = admin(&site, &["sessions", "rate", &id, "--target-rate", "2m"]);
    run.assert_success();
    assert_eq!(run.err, "changed 1 session\n");
    assert_eq!(status(&site)["sessions"][0]["limit_kbps"], 2000);
    admin(&site, &["sessions", "rate", &id]).assert_usage();
    admin(&site, &["sessions", "rate", &id, "--policy", "low"]).assert_refused(2, 8);
    admin(&site, &["sessions", "stop", "0000000000000000"]).assert_refused(2, 8);
    let run = admin(&site, &["sessions", "stop", &id]);
    assert_eq!((run.status, run.err.as_str()), (0, "ended 1 session\n"));
    let ended = Run::of(client);
    // It does not try again.
    ended.assert_refused(130, 28);
    assert!(
        ended
            .out
            .contains("an administrator of the server ended the session"),
        "{}",
        ended.out
    );
}

#[test]
fn a_server_obeys_the_file_in_its_state_directory_and_reads_it_again_when_asked() {
    let site = Site::new();
    site.bed.file("f", 10);
    let conf = |text: &str| fs::write(site.path("state/aspera.conf"), text).unwrap();
    let upload = |code: Option<u8>| {
        let run = site.lea(&["upload", "--overwrite", "always", "f", "HOST:"]);
        match code {
            None => run.assert_success(),
            Some(code) => run.assert_refused(4, code),
        }
    };
    upload(None);
    let denied = "<CONF><default><authorization><transfer><in><value>deny</value></in></transfer></authorization></default></CONF>";
    conf(denied);
    upload(None);
    admin(&site, &["reload"]).assert_success();
    upload(Some(37));
    conf("<CONF><default>");
    let run = admin(&site, &["reload"]);
    run.assert_refused(2, 8);
    assert!(run.err.contains("line 1, column 7"), "{}", run.err);
    upload(Some(37));
    conf("<CONF/>");
    let server = Pid::from_raw(i32::try_from(site.server.id()).unwrap()).unwrap();
    kill_process(server, Signal::HUP).unwrap();
    let began = Instant::now();
    let again = || {
        site.lea(&["upload", "--overwrite", "always", "f", "HOST:"])
            .status
    };
    while again() != 0 {
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn the_log_is_switched_on_and_off_while_the_server_runs() {
    let bed = support::Bed::new();
    bed.add_user("lea", &[]);
    let conf = |bed: &support::Bed, level: &str| {
        let text =
            format!("<CONF><default><logging><level>{level}</level></logging></default></CONF>");
        fs::write(bed.path("state/aspera.conf"), text).unwrap();
    };
    conf(&bed, "disable");
    let server = bed.serve_in(&["sh", "-c", "exec \"$0\" \"$@\" --log-file"]);
    let site = Site { bed, server };
    site.bed.file("f", 10);
    let starts = || {
        site.lea(&["upload", "--overwrite", "always", "f", "HOST:"])
            .assert_success();
        let log = fs::read_to_string(site.path("state/server.log")).unwrap();
        log.matches("FASP Session Start").count()
    };
    assert_eq!(starts(), 0);
    conf(&site.bed, "log");
    let server = Pid::from_raw(i32::try_from(site.server.id()).unwrap()).unwrap();
    kill_process(server, Signal::HUP).unwrap();
    let began = Instant::now();
    while starts() == 0 {
        assert!(began.elapsed() < Duration::from_secs(10));
    }
    conf(&site.bed, "disable");
    admin(&site, &["reload"]).assert_success();
    let before = starts();
    assert_eq!(starts(), before);
}

#[test]
fn a_refused_policy_is_told() {
    let site = Site::new();
    site.bed.file("f", 10);
    let run = site.lea(&["upload", "--policy", "fixed", "-l", "50m", "f", "HOST:"]);
    run.assert_success();
    let note = "note: the server does not allow the policy 'fixed' and shares as 'fair'\n";
    assert!(run.err.contains(note), "{}", run.err);
}

/// The client's own file, where Connect has it.
#[test]
fn a_client_takes_from_its_file_what_nobody_typed() {
    let site = Site::new();
    site.bed.file("f", 10);
    let directory = site.path("home/.aspera/connect/etc");
    fs::create_dir_all(&directory).unwrap();
    let file = directory.join("aspera.conf");
    let flow = |text: &str| {
        format!(
            "<CONF><default><transfer><out><bandwidth><flow>{text}</flow></bandwidth></out></transfer></default></CONF>"
        )
    };
    let started = |words: &[&str]| {
        let run = site.lea(&[&["upload", "--json", "f", "HOST:"], words].concat());
        run.assert_success();
        let line = run.out.lines().next().unwrap();
        serde_json::from_str::<Value>(line).unwrap()
    };
    fs::write(&file, flow("<target_rate><default>7000</default></target_rate><policy><default>low</default></policy>")).unwrap();
    let event = started(&[]);
    assert_eq!(
        (&event["target_rate_kbps"], &event["policy"]),
        (&7000.into(), &"low".into())
    );
    let event = started(&["-l", "9m", "--policy", "high"]);
    assert_eq!(
        (&event["target_rate_kbps"], &event["policy"]),
        (&9000.into(), &"high".into())
    );
    // The guide's recipe: files called .partial are sent once unfinished ones are called otherwise, at both ends.
    site.bed.file("x.partial", 10);
    let suffix = "<CONF><default><file_system><partial_file_suffix>.unfinished</partial_file_suffix></file_system></default></CONF>";
    let left_out = site.lea(&["upload", "x.partial", "HOST:"]);
    assert!(
        left_out.err.contains("x.partial was left out"),
        "{}",
        left_out.err
    );
    fs::write(&file, suffix).unwrap();
    fs::write(site.path("state/aspera.conf"), suffix).unwrap();
    admin(&site, &["reload"]).assert_success();
    site.lea(&["upload", "x.partial", "HOST:"]).assert_success();
    site.lea(&["download", "HOST:x.partial", "back.partial"])
        .assert_success();
    assert!(site.path("root/x.partial").exists() && site.path("back.partial").exists());
    // One that cannot be read is no reason to do as if it were not there.
    fs::write(&file, "<CONF>").unwrap();
    site.lea(&["upload", "f", "HOST:"]).assert_refused(1, 50);
}

#[test]
fn a_server_that_drains_ends_by_itself() {
    let mut site = Site::new();
    let run = admin(&site, &["drain"]);
    run.assert_success();
    assert_eq!(site.server.wait(), 0);
    admin(&site, &["status"]).assert_refused(5, 12);
}

/// systemd's protocol: datagrams to the socket in `NOTIFY_SOCKET`.
#[test]
fn the_service_manager_hears_of_start_reload_life_and_end() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let bed = support::Bed::new();
    bed.add_user("lea", &[]);
    // As systemd does: the process is named.
    let script = format!(
        "export NOTIFY_SOCKET={} WATCHDOG_USEC=200000 WATCHDOG_PID=$$; exec \"$0\" \"$@\"",
        path.display()
    );
    let mut server = bed.serve_in(&["sh", "-c", &script]);
    let wait = |wanted: &str| {
        let mut buffer = [0; 1024];
        loop {
            let length = socket.recv(&mut buffer).unwrap();
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.contains(wanted) {
                return text;
            }
        }
    };
    wait("READY=1");
    wait("WATCHDOG=1");
    let id = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    kill_process(id, Signal::HUP).unwrap();
    let reloading = wait("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    wait("READY=1");
    server.terminate();
    wait("STOPPING=1");
    assert_eq!(server.wait(), 0);
}
