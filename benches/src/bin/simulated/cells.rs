//! Lines faster and longer than an emulator on this machine can carry, in virtual time.

use std::time::{Duration, Instant};

use fasp_core::RateLimits;
use fasp_core::testing::Arena;
use netsim::{LinkConfig, Loss};

const RATES_MBPS: [u64; 4] = [100, 300, 1_000, 10_000];
const RTTS_MS: [u64; 6] = [1, 50, 100, 200, 300, 1_000];
const LOSSES_PERCENT: [f64; 5] = [0.0, 0.1, 1.0, 5.0, 10.0];
/// The queue holds one product of rate and round trip, in time between these.
const QUEUE_MS: (u64, u64) = (5, 100);
/// What a full datagram carries of 1,500 bytes: 28 are headers, 34 header, tag and frame.
const PAYLOAD_SHARE: f64 = 1438.0 / 1500.0;
/// Faster lines carry files of so many bytes instead of one: a receiver remembers 65,536 intervals of a file, and 10 % of 10 Gbit/s over
/// a second are more.
const ONE_FILE_MBPS: u64 = 1_000;
const FILE: u64 = 512 << 20;
/// A copy is timed in steps of this.
const STEP: Duration = Duration::from_millis(10);
/// Slower than this share of the limit is given up.
const SLOWEST: f64 = 0.2;

/// Copies over every line, without a target rate; each copy takes `seconds` at the limit. Prints a line of JSON each.
pub(crate) fn run(seconds: f64, only_mbps: Option<u64>, only_rtt_ms: Option<u64>) {
    let is_wanted = |only: Option<u64>, value| only.is_none_or(|only| only == value);
    for mbps in RATES_MBPS {
        for rtt_ms in RTTS_MS {
            if is_wanted(only_mbps, mbps) && is_wanted(only_rtt_ms, rtt_ms) {
                for loss in LOSSES_PERCENT {
                    copy(mbps, rtt_ms, loss, seconds);
                }
            }
        }
    }
}

fn copy(mbps: u64, rtt_ms: u64, loss_percent: f64, seconds: f64) {
    let rate = mbps as f64 * 1e6;
    let queue_ms = rtt_ms.clamp(QUEUE_MS.0, QUEUE_MS.1);
    let config = LinkConfig {
        rate: Some(mbps * 1_000_000),
        queue: (rate / 8.0 * queue_ms as f64 / 1000.0) as usize,
        loss: Loss::Bernoulli(loss_percent / 100.0),
        overhead: 28,
        mtu: 1500,
        ..LinkConfig::default()
    };
    let begun = Instant::now();
    let limit = rate / 8.0 * (1.0 - loss_percent / 100.0) * PAYLOAD_SHARE;
    let size = limit * seconds;
    let rtt = Duration::from_millis(rtt_ms);
    let mut arena = Arena::new(1, config);
    // More than the copy, so that the session does not come to its end.
    let sizes = match mbps > ONE_FILE_MBPS {
        true => vec![FILE; 2 + (size / FILE as f64) as usize],
        false => vec![2 * size as u64],
    };
    let flow = arena.add_files(Duration::ZERO, rtt, RateLimits::default(), sizes);
    // First data arrives after half a round trip; ten round trips later it counts as steady.
    let steady_from = rtt / 2 + rtt * 10;
    arena.run_until(steady_from);
    let (mut now, first) = (steady_from, arena.received(flow) as f64);
    while (arena.received(flow) as f64) < size && now.as_secs_f64() < seconds / SLOWEST {
        now += STEP;
        arena.run_until(now);
    }
    let all = arena.received(flow) as f64;
    let steady = (all - first) / (now - steady_from).as_secs_f64() / limit;
    let whole = all / now.as_secs_f64() / limit;
    println!(
        "{{\"rate_mbps\":{mbps},\"rtt_ms\":{rtt_ms},\"loss_percent\":{loss_percent},\"seconds\":{:.2},\
         \"steady\":{steady:.4},\"whole_without_log_in\":{whole:.4},\"longest_queue_ms\":{:.1},\"real_seconds\":{:.1}}}",
        now.as_secs_f64(),
        arena.counters().max_queue_delay.as_secs_f64() * 1e3,
        begun.elapsed().as_secs_f64(),
    );
}
