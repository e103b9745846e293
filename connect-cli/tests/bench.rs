//! What `bench` says of a path.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use support::{
    Bed, PASSWORD, Run, Site, names,
    network::{Forwarder, Udp},
};

/// The one object on standard output.
#[track_caller]
fn object(run: &Run) -> Value {
    run.assert_success();
    let value: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(value["event"], "bench");
    value
}

#[test]
fn both_directions_are_measured_and_nothing_is_left_behind() {
    let site = Site::new();
    let run = site.lea(&["bench", "--json", "--seconds", "1", "HOST"]);
    let found = object(&run);
    for way in ["up", "down"] {
        let way = &found[way];
        assert_eq!(way["result"], "measured", "{found}");
        assert!(way["rate_kbps"].as_u64().unwrap() > 1000, "{found}");
        assert!(way["limited_by"].is_string(), "{found}");
    }
    assert!(found["rtt_min_us"].as_u64() <= found["rtt_typical_us"].as_u64());
    assert!(found["datagram_bytes"].as_u64().unwrap() >= 1200, "{found}");
    assert_eq!(names(&site.path("root")), [""; 0]);
}

#[test]
fn a_rate_cap_of_the_account_is_named_and_a_lower_target_rate_as_well() {
    let bed = Bed::new();
    bed.add_user("lea", &["--rate-cap", "8m"]);
    let site = Site {
        server: bed.serve(),
        bed,
    };
    // Both take their time, which they do at once.
    thread::scope(|scope| {
        scope.spawn(|| {
            let run = site.lea(&["bench", "--json", "--seconds", "2", "HOST"]);
            let found = object(&run);
            for way in ["up", "down"] {
                assert_eq!(found[way]["limited_by"], "rate_cap", "{found}");
                assert_eq!(found[way]["rate_cap_kbps"], 8000, "{found}");
                assert!(found[way]["rate_kbps"].as_u64().unwrap() <= 8800, "{found}");
            }
        });
        scope.spawn(|| {
            let words = ["bench", "-l", "4m", "--down", "--seconds", "2", "HOST"];
            let run = site.lea(&words);
            run.assert_success();
            assert!(run.out.contains("\nround trip   "), "{}", run.out);
            assert!(run.out.contains("; the target rate limits"), "{}", run.out);
            assert!(run.err.contains("measuring down for 2 s\n"), "{}", run.err);
            assert!(!run.out.contains("\nup "), "{}", run.out);
        });
    });
}

/// Code 37.
#[test]
fn an_account_that_may_not_write_is_measured_downwards_and_that_is_said() {
    let site = Site::new();
    let bench = |words: &[&str]| {
        let words = [&["bench", "--accept-new-host-key", "--seconds", "1"], words].concat();
        site.run("reader", PASSWORD, &words)
    };
    let found = object(&bench(&["--json", "HOST"]));
    assert_eq!(found["up"]["result"], "not_measured", "{found}");
    assert_eq!(found["up"]["code"], 37, "{found}");
    assert_eq!(found["down"]["result"], "measured", "{found}");
    // Who asks for it gets the refusal.
    bench(&["--up", "HOST"]).assert_refused(4, 37);
}

/// Codes 8, 14, 15.
#[test]
fn what_makes_a_measurement_impossible_is_said_as_other_commands_say_it() {
    // Each waits out its ten seconds, so both wait at the same time.
    thread::scope(|scope| {
        for (udp, code) in [(Udp::Refused, 14), (Udp::Swallowed, 15)] {
            scope.spawn(move || {
                let site = Site::new();
                let way = Forwarder::new(site.server.address, udp);
                site.lea_at(way.address, &["bench", "HOST"])
                    .assert_refused(5, code);
            });
        }
    });
    let site = Site::new();
    site.lea(&["bench", "HOST:dir"]).assert_refused(2, 8);
    let run = site.lea(&["bench", "--seconds", "0", "HOST"]);
    assert_eq!(run.status, 2, "{}", run.err);
}

#[test]
fn a_signal_ends_a_measurement_in_order() {
    let site = Site::new();
    let words = [
        "bench",
        "--accept-new-host-key",
        "-l",
        "20m",
        "--seconds",
        "60",
        "HOST",
    ];
    let client = site.client("lea", PASSWORD, &words).spawn().unwrap();
    // It may come at any moment: while it logs in, or while data moves.
    thread::sleep(Duration::from_millis(1500));
    let began = Instant::now();
    support::terminate(&client);
    let run = Run::of(client);
    assert!(began.elapsed() < Duration::from_secs(5));
    run.assert_refused(130, 28);
    assert_eq!(run.out, "");
}
