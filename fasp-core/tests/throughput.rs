//! How much of a link the sender uses, and how soon.

use std::time::Duration;

use fasp_core::testing::{Pair, Scenario};
use fasp_core::{Rate, RateLimits, RatePolicy};
use netsim::{LinkConfig, Loss};

const OVERHEAD: u64 = 28;

fn link(mbps: u64, rtt: Duration, loss: f64) -> LinkConfig {
    let rate = mbps * 1_000_000;
    LinkConfig {
        rate: Some(rate),
        delay: rtt / 2,
        // One product of rate and round trip.
        queue: ((rate as f64 / 8.0 * rtt.as_secs_f64()) as usize * 3).max(30_000),
        loss: Loss::Bernoulli(loss),
        overhead: OVERHEAD as usize,
        mtu: 1500,
        ..LinkConfig::default()
    }
}

/// File bytes per second that a link can carry at most in full datagrams.
fn possible(mbps: u64, loss: f64) -> f64 {
    // A full datagram: 1,472 bytes, of which 34 are header, tag and frame.
    mbps as f64 * 125_000.0 * (1.0 - loss) * 1438.0 / (1472 + OVERHEAD) as f64
}

#[test]
fn fixed_uses_95_percent_of_a_fast_long_lossy_link_with_few_duplicates() {
    let (rtt, loss) = (Duration::from_millis(200), 0.05);
    let size = 1_000_000_000;
    let limits = RateLimits {
        target: Some(Rate::from_mbps(1000)),
        policy: RatePolicy::Fixed,
        ..RateLimits::default()
    };
    let scenario = Scenario {
        limits,
        ..Scenario::new(1, vec![size], link(1000, rtt, loss))
    };
    let run = Pair::new(scenario).run(Duration::from_secs(120));
    assert!(run.is_success(1), "{run:#?}");
    let share = size as f64 / run.data_time.as_secs_f64() / possible(1000, loss);
    let duplicates = run.received.payload_duplicate as f64 / size as f64;
    assert!(
        share > 0.95 && duplicates < 0.01,
        "{share:.4} {duplicates:.4} {run:#?}"
    );
}

/// Share of what is possible in the tenth round trip and later on, and the longest queueing delay.
fn fair(mbps: u64, rtt: Duration, loss: f64, queue: f64) -> (f64, f64, Duration) {
    let mut config = link(mbps, rtt, loss);
    config.queue = (config.queue as f64 * queue) as usize;
    let mut pair = Pair::new(Scenario::new(3, vec![1 << 40], config));
    let mut share = |skip: u32, over: u32| {
        pair.run_for(rtt * skip);
        let before = pair.received_bytes();
        pair.run_for(rtt * over);
        let bytes = (pair.received_bytes() - before) as f64;
        bytes / (rtt * over).as_secs_f64() / possible(mbps, loss)
    };
    let (tenth, steady) = (share(9, 1), share(15, 20));
    (tenth, steady, pair.max_queue_delay())
}

#[test]
fn fair_finds_the_link_and_keeps_it_full_at_any_loss() {
    for (mbps, rtt, loss) in [
        (100, 10, 0.0),
        (100, 10, 0.05),
        (100, 100, 0.0),
        (100, 100, 0.05),
        (1000, 10, 0.05),
        (1000, 50, 0.01),
    ] {
        let rtt = Duration::from_millis(rtt);
        let (tenth, steady, _) = fair(mbps, rtt, loss, 3.0);
        assert!(
            steady > 0.97,
            "{mbps} Mbit/s {rtt:?} loss {loss}: {steady:.3}"
        );
        // Ten datagrams, doubled each round trip after greeting and decision, reach about a megabyte here.
        assert!(
            tenth > 0.9 || mbps > 100,
            "{mbps} Mbit/s {rtt:?} loss {loss}: {tenth:.3}"
        );
    }
}

#[test]
fn a_start_overshoots_by_less_than_one_and_a_half_products_of_rate_and_round_trip() {
    for mbps in [100, 1000] {
        let rtt = Duration::from_millis(100);
        let (_, _, queue) = fair(mbps, rtt, 0.0, 4.0);
        assert!(queue <= rtt * 3 / 2, "{mbps} Mbit/s: {queue:?}");
    }
}
