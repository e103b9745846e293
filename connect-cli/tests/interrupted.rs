//! Transfers whose network goes away or changes in the middle, and what follows by itself.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::fs;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use support::{Bed, PASSWORD, Run, Site, network::Way, wait_for};

const SIZE: usize = 4_000_000;

/// An upload over the way that takes two seconds, with its first bytes on their way.
fn begin(site: &Site, way: &Way) -> Child {
    site.bed.file("big", SIZE);
    let words =
        "upload --json -l 16m --retry 3 --retry-interval 1 --accept-new-host-key big HOST:/";
    let words: Vec<_> = words.split(' ').collect();
    let mut client = site
        .client_of(way.address, "lea", PASSWORD, &words)
        .spawn()
        .unwrap();
    wait_for(&mut client, |event| {
        event["bytes_done"].as_u64() > Some(400_000)
    });
    client
}

#[track_caller]
fn assert_arrived(site: &Site, run: &Run) {
    run.assert_success();
    assert!(fs::read(site.path("root/big")).unwrap() == fs::read(site.path("big")).unwrap());
    assert_eq!(support::names(&site.path("root")), ["big"]);
}

/// Whether the last event has bytes that an earlier session brought.
fn was_continued(run: &Run) -> bool {
    let done: serde_json::Value = serde_json::from_str(run.out.lines().last().unwrap()).unwrap();
    done["resumed_bytes"].as_u64() > Some(0)
}

#[test]
fn f42_a_line_that_is_dead_for_longer_than_the_time_out_ends_the_session_and_the_rest_follows() {
    let bed = Bed::new();
    bed.add_user("lea", &[]);
    let conf = "<CONF><default><session_timeout_sec>2</session_timeout_sec></default></CONF>";
    fs::write(bed.path("state/aspera.conf"), conf).unwrap();
    let server = bed.serve();
    let site = Site { bed, server };
    let way = Way::new(site.server.address);
    let mut client = begin(&site, &way);
    way.set_open(false);
    let retrying = wait_for(&mut client, |event| event["event"] == "retrying");
    way.set_open(true);
    assert_eq!(retrying["code"], 40, "{retrying}");
    let run = Run::of(client);
    assert_arrived(&site, &run);
    assert!(was_continued(&run), "{}", run.out);
}

#[test]
fn f48_a_control_connection_that_is_cut_ends_the_session_though_datagrams_pass_and_the_rest_follows()
 {
    let site = Site::new();
    let way = Way::new(site.server.address);
    let mut client = begin(&site, &way);
    let began = Instant::now();
    way.cut();
    let retrying = wait_for(&mut client, |event| event["event"] == "retrying");
    assert_eq!(retrying["code"], 16, "{retrying}");
    assert!(began.elapsed() < Duration::from_secs(10));
    let run = Run::of(client);
    assert_arrived(&site, &run);
    assert!(was_continued(&run), "{}", run.out);
}

#[test]
fn w21_f47_a_client_whose_address_changes_in_the_middle_goes_on_in_the_same_session() {
    let site = Site::new();
    let way = Way::new(site.server.address);
    let client = begin(&site, &way);
    way.move_client();
    let run = Run::of(client);
    assert_arrived(&site, &run);
    assert!(!run.out.contains("\"retrying\""), "{}", run.out);
}

#[test]
fn f51_a_client_that_sleeps_for_some_seconds_goes_on_in_the_same_session() {
    let site = Site::new();
    let way = Way::new(site.server.address);
    let client = begin(&site, &way);
    let id = Pid::from_child(&client);
    kill_process(id, Signal::STOP).unwrap();
    // The time that passes is the point.
    thread::sleep(Duration::from_secs(3));
    kill_process(id, Signal::CONT).unwrap();
    let run = Run::of(client);
    assert_arrived(&site, &run);
    assert!(!run.out.contains("\"retrying\""), "{}", run.out);
}
