//! The controller's bounds, whatever the reports say.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{RateController, RateLimits, Report};
use crate::{Rate, RatePolicy};

const RTT: Duration = Duration::from_millis(100);

fn report(now: Instant, mbps: u64, queue_ms: u64) -> Report {
    Report {
        rtt: RTT,
        base_rtt: RTT,
        rtt_samples: 10,
        queueing: Some(Duration::from_millis(queue_ms)),
        base_seen: now,
        bandwidth: Some(Rate::from_mbps(mbps)),
        lost: 0,
        delivered: 100_000,
        loss_runs: 0,
        datagram: 1200,
        in_flight: 0,
        starved: false,
        storage: None,
    }
}

#[test]
fn w33_ten_datagrams_a_round_trip_leave_until_two_samples_exist() {
    let limits = RateLimits {
        target: Some(Rate::from_mbps(900)),
        ..RateLimits::default()
    };
    let epoch = Instant::now();
    let mut controller = RateController::new(epoch, Duration::ZERO, limits, RTT, 1200);
    assert_eq!(controller.window(RTT, RTT, 1200, 1 << 20), 12_000);
    let early = Report {
        rtt_samples: 1,
        ..report(epoch, 50, 0)
    };
    controller.on_report(epoch, &early);
    assert_eq!(controller.window(RTT, RTT, 1200, 1 << 20), 12_000);
    controller.on_report(epoch, &report(epoch, 50, 0));
    assert!(controller.window(RTT, RTT, 1200, 1 << 20) > 1_000_000);
}

#[test]
fn w33_thirty_datagrams_leave_at_first_where_the_control_connection_measured_the_path() {
    let limits = RateLimits {
        target: Some(Rate::from_mbps(900)),
        ..RateLimits::default()
    };
    let epoch = Instant::now();
    let mut controller = RateController::new(epoch, Duration::ZERO, limits, RTT, 1200);
    controller.on_measured();
    assert_eq!(controller.window(RTT, RTT, 1200, 1 << 20), 45_000);
    assert_eq!(
        controller.rate(),
        Rate::from_bytes_in(80 * 1200, RTT),
        "not at once, and not at the target"
    );
}

#[test]
fn w31_silence_halves_and_then_only_probes() {
    let epoch = Instant::now();
    let limits = RateLimits {
        policy: RatePolicy::Fixed,
        target: Some(Rate::from_mbps(80)),
        ..RateLimits::default()
    };
    let mut controller = RateController::new(epoch, Duration::ZERO, limits, RTT, 1200);
    controller.on_report(epoch, &report(epoch, 10, 0));
    assert_eq!(controller.rate(), Rate::from_mbps(80));
    controller.on_silence(Duration::from_secs(2), RTT, 1200);
    assert_eq!(controller.rate(), Rate::from_mbps(40));
    controller.on_silence(Duration::from_secs(10), RTT, 1200);
    assert_eq!(controller.rate(), Rate::from_bits_per_second(96_000));
    controller.on_report(epoch, &report(epoch, 10, 0));
    assert_eq!(controller.rate(), Rate::from_mbps(80));
}

proptest! {
    #[test]
    fn the_rate_stays_within_minimum_target_and_cap(
        samples in prop::collection::vec((0u64..2000, 0u64..400, 0u64..1000, 0u64..1000, any::<bool>()), 1..100),
        policy in 0usize..4, target in 1u64..1000, min in 0u64..1200, cap in 1u64..1000,
    ) {
        let limits = RateLimits {
            target: Some(Rate::from_mbps(target)),
            min: Rate::from_mbps(min),
            cap: Rate::from_mbps(cap),
            policy: RatePolicy::ALL[policy].0,
        };
        let mut now = Instant::now();
        let mut controller = RateController::new(now, Duration::ZERO, limits, Duration::from_millis(50), 1200);
        for (mbps, queue, lost, delivered, starved) in samples {
            now += Duration::from_millis(20);
            controller.on_report(now, &Report { lost, delivered, starved, ..report(now, mbps, queue) });
            let rate = controller.rate();
            prop_assert!(rate <= limits.ceiling());
            prop_assert!(rate >= limits.min.min(limits.ceiling()));
        }
    }
}
