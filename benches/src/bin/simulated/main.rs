//! A large file over a simulated 1 Gbit/s line with a round trip of 200 ms and 5 % loss, at a fixed rate.
//!
//! Usage: `simulated [gigabytes]`, 10 by default. Prints one line of JSON.
//!
//! `simulated cells [seconds [rate_mbps [rtt_ms]]]` copies over lines of 100 Mbit/s to 10 Gbit/s, 1 ms to 1 s and 0 to 10 % loss without a
//! target rate instead, a line of JSON each; `seconds` is what a copy takes at the limit, 20 by default. Up to 1 Gbit/s it is one file.
#![allow(clippy::print_stdout, reason = "the result is what the program prints")]

mod cells;

use std::time::{Duration, Instant};

use fasp_core::testing::{Pair, Scenario};
use fasp_core::{Rate, RateLimits, RatePolicy};
use netsim::{LinkConfig, Loss};

/// What a copy over a cell takes at the limit, seconds.
const CELL_SECONDS: f64 = 20.0;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| args.get(index).and_then(|text| text.parse().ok());
    if args.first().is_some_and(|arg| arg == "cells") {
        let seconds = args.get(1).and_then(|text| text.parse().ok());
        return cells::run(seconds.unwrap_or(CELL_SECONDS), number(2), number(3));
    }
    fixed(number(0));
}

fn fixed(gigabytes: Option<u64>) {
    let size = gigabytes.unwrap_or(10u64) * 1_000_000_000;
    let (rate, loss) = (1e9, 0.05);
    let link = LinkConfig {
        rate: Some(rate as u64),
        delay: Duration::from_millis(100),
        queue: 25_000_000,
        loss: Loss::Bernoulli(loss),
        overhead: 28,
        mtu: 1500,
        ..LinkConfig::default()
    };
    let limits = RateLimits {
        target: Some(Rate::from_mbps(1000)),
        policy: RatePolicy::Fixed,
        ..RateLimits::default()
    };
    let scenario = Scenario {
        limits,
        ..Scenario::new(1, vec![size], link)
    };
    let begun = Instant::now();
    let run = Pair::new(scenario).run(Duration::from_secs(3600));
    // A full datagram: 1,472 bytes and 28 of headers, of which 34 are header, tag and frame.
    let possible = rate / 8.0 * (1.0 - loss) * 1438.0 / 1500.0;
    let seconds = run.elapsed.as_secs_f64();
    println!(
        "{{\"bytes\":{size},\"complete\":{},\"seconds\":{seconds:.3},\"share_of_possible\":{:.4},\
         \"duplicate_share\":{:.5},\"resent_share\":{:.4},\"datagrams\":{},\"real_seconds\":{:.1}}}",
        run.is_success(1),
        size as f64 / seconds / possible,
        run.received.payload_duplicate as f64 / size as f64,
        run.sent.payload_resent as f64 / size as f64,
        run.sent.datagrams_sent,
        begun.elapsed().as_secs_f64(),
    );
}
