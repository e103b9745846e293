//! What `doctor` finds when something is in the way.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::{net::TcpListener, thread};

use serde_json::Value;
use support::{
    PASSWORD, Run, Site, names,
    network::{Forwarder, Udp},
};

/// Runs `doctor --json` and returns its checks as `name=result`, with the code of what failed.
fn checks(run: &Run) -> Vec<String> {
    run.out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["event"] == "check")
        .map(|line| {
            let text = |key: &str| line[key].as_str().unwrap().to_owned();
            let code = line["code"].as_u64();
            assert_eq!(text("result") == "bad", code.is_some(), "{line}");
            if let Some(code) = code {
                assert!(line["hint"].is_string(), "{line}");
                format!("{}={code}", text("check"))
            } else {
                format!("{}={}", text("check"), text("result"))
            }
        })
        .collect()
}

/// The checks after the first so many as one text.
fn rest(run: &Run, skipped: usize) -> String {
    let checks = checks(run);
    assert_eq!(checks.len(), 12, "{}", run.out);
    checks[skipped..11].join(" ")
}

#[test]
fn all_is_well_on_loopback_and_nothing_is_left_behind() {
    let site = Site::new();
    let run = site.lea(&["doctor", "--json", "HOST"]);
    run.assert_success();
    let found = checks(&run);
    // A machine that builds may have little space: that is odd, and no failure.
    assert!(
        found[..10].iter().all(|check| check.ends_with("=good")),
        "{found:?}"
    );
    assert_eq!(names(&site.path("root")), [""; 0]);
    let text = site.lea(&["doctor", "HOST"]);
    text.assert_success();
    assert!(text.out.starts_with("ok           name  "), "{}", text.out);
    assert!(text.out.contains("up to 9216 bytes"), "{}", text.out);
}

#[test]
fn an_account_that_may_not_write_has_both_directions_looked_at() {
    let site = Site::new();
    let words = ["doctor", "--json", "--accept-new-host-key", "HOST"];
    let run = site.run("reader", PASSWORD, &words);
    run.assert_success();
    let expected = "udp_out=good udp_back=good path_mtu=not_checked clock=good";
    assert!(rest(&run, 6).starts_with(expected), "{}", run.out);
}

/// Codes 13, 14, 15, 18.
#[test]
fn a_blocked_path_is_found_and_what_depends_on_it_is_not_looked_at() {
    // Each waits out its ten seconds, so all wait at the same time.
    thread::scope(|scope| {
        for (udp, code, expected) in [
            (Udp::Refused, 14, "udp_out=14 udp_back=not_checked"),
            (Udp::Swallowed, 15, "udp_out=15 udp_back=not_checked"),
            (Udp::OneWay, 18, "udp_out=good udp_back=18"),
        ] {
            scope.spawn(move || {
                let site = Site::new();
                let way = Forwarder::new(site.server.address, udp);
                let run = site.lea_at(way.address, &["doctor", "--json", "HOST"]);
                run.assert_refused(5, code);
                let rest = rest(&run, 6);
                assert!(rest.starts_with(expected), "{rest}");
                // What does not depend on UDP is looked at all the same.
                assert!(rest.contains("path_mtu=not_checked clock=good"), "{rest}");
            });
        }
        scope.spawn(|| {
            let site = Site::new();
            let silent = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = silent.local_addr().unwrap();
            let run = site.lea_at(address, &["doctor", "--json", "HOST"]);
            run.assert_refused(5, 13);
            assert!(
                rest(&run, 0).starts_with("dns=good tcp=good ssh=13 host_key=not_checked"),
                "{}",
                run.out
            );
        });
    });
}

#[test]
fn what_is_wrong_before_the_login_is_told_apart() {
    let site = Site::new();
    let run = site.lea(&["doctor", "--json", "lea@host.invalid"]);
    run.assert_refused(5, 12);
    assert!(rest(&run, 0).starts_with("dns=12 tcp=not_checked ssh=not_checked"));
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let run = site.lea_at(address, &["doctor", "--json", "HOST"]);
    run.assert_refused(5, 12);
    assert!(rest(&run, 0).starts_with("dns=good tcp=12 ssh=not_checked"));
    // Nobody confirmed the key.
    let run = site.run("lea", PASSWORD, &["doctor", "--json", "HOST"]);
    run.assert_refused(4, 51);
    assert!(rest(&run, 2).starts_with("ssh=good host_key=51 login=not_checked"));
    let words = ["doctor", "--json", "--accept-new-host-key", "HOST"];
    let run = site.run("lea", "wrong", &words);
    run.assert_refused(4, 19);
    assert!(rest(&run, 3).starts_with("host_key=good login=19 version=not_checked"));
    assert!(checks(&run)[11].starts_with("local_disk="));
}
