//! What the documentation of the presets says about them.

use std::time::{Duration, Instant};

use netsim::{Link, LinkConfig, SizeOnly, presets};

/// Offers more than the link takes, evenly for `seconds`; returns the link with everything through.
fn overload(config: LinkConfig, bits_per_second: u64, seconds: u64) -> Link<SizeOnly> {
    let epoch = Instant::now();
    let count = bits_per_second * seconds / 12_000;
    let mut link = Link::new(epoch, config, 3);
    for number in 0..count {
        let offset = Duration::from_nanos(number * 12_000 * 1_000_000_000 / bits_per_second);
        link.send(epoch + offset, SizeOnly::new(1_472, number));
        while link.poll(epoch + offset).is_some() {}
    }
    while let Some(now) = link.next_event() {
        while link.poll(now).is_some() {}
    }
    link
}

#[test]
fn round_trips_and_full_queues_last_as_long_as_documented() {
    for (name, config, round_trip_us, full_queue_ms) in [
        ("lan", presets::lan(), 400, 4),
        (
            "transcontinental",
            presets::transcontinental(),
            100_000,
            100,
        ),
        ("satellite", presets::satellite(), 600_000, 300),
        ("lossy_wifi", presets::lossy_wifi(), 10_000, 100),
    ] {
        assert_eq!(config.delay.as_micros() * 2, round_trip_us, "{name}");
        let rate = config.rate.unwrap();
        let packet_ms = 12_000_000 / rate + 1;
        let longest = overload(config, rate * 2, 1).counters().max_queue_delay;
        let full = Duration::from_millis(full_queue_ms);
        assert!(longest <= full + Duration::from_millis(packet_ms), "{name}");
        assert!(longest >= full - Duration::from_millis(packet_ms), "{name}");
    }
}

#[test]
fn loss_shares_are_as_documented() {
    for (name, config, percent) in [
        ("transcontinental", presets::transcontinental(), 1.0),
        ("satellite", presets::satellite(), 0.5),
        ("lossy_wifi", presets::lossy_wifi(), 3.0),
    ] {
        let rate = config.rate.unwrap();
        let counters = overload(config, rate, 60).counters();
        assert_eq!(counters.overflowed, 0, "{name}");
        let share = counters.lost as f64 * 100.0 / counters.sent as f64;
        assert!((share - percent).abs() < 0.1 * percent, "{name}: {share} %");
    }
}

#[test]
fn the_policed_link_passes_50_mbit_with_a_flat_delay() {
    let counters = overload(presets::policed(), 200_000_000, 10).counters();
    let passed = counters.delivered * 12_000;
    let bucket = 128_000 * 8;
    assert!(passed <= 500_000_000 + bucket);
    assert!(passed >= 500_000_000 + bucket - 2 * 12_000);
    assert_eq!(counters.max_queue_delay, Duration::ZERO);
}

#[test]
fn all_but_loopback_carry_1472_bytes_and_no_more() {
    let epoch = Instant::now();
    for config in [
        presets::lan(),
        presets::transcontinental(),
        presets::satellite(),
        presets::lossy_wifi(),
        presets::policed(),
    ] {
        let mut link = Link::new(epoch, config, 4);
        link.send(epoch, SizeOnly::new(1_472, 0));
        assert_eq!(link.counters().too_large, 0);
        link.send(epoch, SizeOnly::new(1_473, 1));
        assert_eq!(link.counters().too_large, 1);
    }
    let mut link = Link::new(epoch, presets::loopback(), 4);
    link.send(epoch, SizeOnly::new(65_507, 0));
    assert_eq!(link.counters().too_large, 0);
}
