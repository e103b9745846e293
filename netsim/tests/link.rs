//! The parts of a link that are exact: rate, queue, delay, MTU, policer, outages, order, changes in flight.

use std::time::{Duration, Instant};

use netsim::{
    ArrivalOrder, BlackHole, Flapping, Jitter, Link, LinkConfig, Policer, Reorder, SizeOnly,
};

const SEED: u64 = 42;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn link(config: LinkConfig) -> (Instant, Link<SizeOnly>) {
    let epoch = Instant::now();
    (epoch, Link::new(epoch, config, SEED))
}

/// Jumps from event to event; returns arrivals as offsets from the epoch, with the packets' numbers.
fn drain(link: &mut Link<SizeOnly>, epoch: Instant) -> Vec<(Duration, u64)> {
    let mut arrivals = Vec::new();
    while let Some(now) = link.next_event() {
        while let Some((at, packet)) = link.poll(now) {
            arrivals.push((at - epoch, packet.number));
        }
    }
    assert_eq!(link.in_transit(), 0);
    assert!(arrivals.is_sorted_by_key(|arrival| arrival.0));
    arrivals
}

fn send_burst(link: &mut Link<SizeOnly>, now: Instant, count: u64, size: usize) {
    for number in 0..count {
        link.send(now, SizeOnly::new(size, number));
    }
}

#[test]
fn an_ideal_link_delivers_everything_at_once() {
    let (epoch, mut link) = link(LinkConfig::default());
    send_burst(&mut link, epoch + ms(3), 2, 9_000);
    assert_eq!(drain(&mut link, epoch), [(ms(3), 0), (ms(3), 1)]);
}

#[test]
fn packets_take_exactly_their_bits_over_the_rate() {
    // 7 Mbit/s divides nothing evenly: a rounding error per packet would show after 100,000 of them.
    let (epoch, mut link) = link(LinkConfig {
        rate: Some(7_000_000),
        overhead: 28,
        ..LinkConfig::default()
    });
    let count = 100_000;
    send_burst(&mut link, epoch, count, 1_472);
    let arrivals = drain(&mut link, epoch);
    let exact = u128::from(count) * 1_500 * 8 * 1_000_000_000 / 7_000_000;
    assert_eq!(arrivals.last().unwrap().0.as_nanos(), exact);
    assert_eq!(arrivals[0].0.as_nanos(), 1_714_285);
}

#[test]
fn an_idle_link_saves_up_no_capacity() {
    let (epoch, mut link) = link(LinkConfig {
        rate: Some(8_000_000),
        ..LinkConfig::default()
    });
    link.send(epoch, SizeOnly::new(1_000, 0));
    send_burst(&mut link, epoch + ms(10), 2, 1_000);
    assert_eq!(
        drain(&mut link, epoch),
        [(ms(1), 0), (ms(11), 0), (ms(12), 1)]
    );
}

#[test]
fn delay_is_exact_and_comes_after_the_serialiser() {
    let (epoch, mut link) = link(LinkConfig {
        rate: Some(8_000_000),
        delay: ms(50),
        ..LinkConfig::default()
    });
    send_burst(&mut link, epoch, 2, 1_000);
    assert_eq!(link.next_event(), Some(epoch + ms(51)));
    assert!(
        link.poll(epoch + ms(51) - Duration::from_nanos(1))
            .is_none()
    );
    assert_eq!(drain(&mut link, epoch), [(ms(51), 0), (ms(52), 1)]);
}

#[test]
fn a_late_poll_reports_the_true_moment_of_arrival() {
    let (epoch, mut link) = link(LinkConfig {
        delay: ms(5),
        ..LinkConfig::default()
    });
    link.send(epoch, SizeOnly::new(1, 0));
    let (at, _) = link.poll(epoch + ms(500)).unwrap();
    assert_eq!(at, epoch + ms(5));
}

#[test]
fn the_queue_holds_exactly_its_bytes_beside_the_packet_on_the_wire() {
    let (epoch, mut link) = link(LinkConfig {
        rate: Some(8_000_000),
        queue: 3_000,
        overhead: 28,
        ..LinkConfig::default()
    });
    // One on the wire, three waiting; the fifth exceeds the queue by one packet.
    send_burst(&mut link, epoch, 5, 972);
    assert_eq!(link.counters().overflowed, 1);
    assert_eq!(link.queue_delay(epoch), ms(4));
    // A dropped packet costs no capacity, and a gap of one byte is not enough for two.
    assert_eq!(link.queue_delay(epoch + ms(1)), ms(3));
    link.send(epoch + ms(1), SizeOnly::new(973, 5));
    assert_eq!(link.counters().overflowed, 2);
    link.send(epoch + ms(1), SizeOnly::new(972, 6));
    assert_eq!(link.counters().overflowed, 2);
    let numbers: Vec<u64> = drain(&mut link, epoch).iter().map(|a| a.1).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 6]);
    assert_eq!(link.counters().max_queue_delay, ms(3));
}

#[test]
fn without_a_queue_one_packet_at_a_time_gets_through() {
    let (epoch, mut link) = link(LinkConfig {
        rate: Some(8_000_000),
        queue: 0,
        ..LinkConfig::default()
    });
    send_burst(&mut link, epoch, 2, 1_000);
    send_burst(&mut link, epoch + ms(1), 1, 1_000);
    assert_eq!(drain(&mut link, epoch), [(ms(1), 0), (ms(2), 0)]);
    assert_eq!(link.counters().overflowed, 1);
}

#[test]
fn packets_above_the_mtu_vanish_and_cost_nothing() {
    let (epoch, mut link) = link(LinkConfig {
        rate: Some(8_000_000),
        mtu: 1_500,
        overhead: 28,
        ..LinkConfig::default()
    });
    link.send(epoch, SizeOnly::new(1_473, 0));
    link.send(epoch, SizeOnly::new(1_472, 1));
    assert_eq!(drain(&mut link, epoch), [(Duration::from_micros(1_500), 1)]);
    assert_eq!(link.counters().too_large, 1);
}

#[test]
fn the_policer_passes_its_burst_and_then_its_rate_without_delay() {
    let (epoch, mut link) = link(LinkConfig {
        policer: Some(Policer {
            rate: 8_000_000,
            burst: 10_000,
        }),
        ..LinkConfig::default()
    });
    send_burst(&mut link, epoch, 12, 1_000);
    assert_eq!(link.counters().policed, 2);
    // Ten times the permitted rate for a second: a tenth passes.
    for step in 1..=10_000_u32 {
        let now = epoch + Duration::from_micros(100) * step;
        link.send(now, SizeOnly::new(1_000, 0));
    }
    let arrivals = drain(&mut link, epoch);
    assert_eq!(arrivals.len(), 10 + 1_000);
    assert_eq!(link.counters().max_queue_delay, Duration::ZERO);
    // After a pause the bucket is full and not fuller.
    let later = epoch + Duration::from_secs(60);
    send_burst(&mut link, later, 12, 1_000);
    assert_eq!(drain(&mut link, epoch).len(), 10);
}

#[test]
fn packets_that_leave_during_a_black_hole_vanish() {
    let (epoch, mut link) = link(LinkConfig {
        delay: ms(5),
        black_holes: vec![
            BlackHole {
                start: ms(10),
                end: ms(20),
            },
            BlackHole {
                start: ms(15),
                end: ms(22),
            },
        ],
        ..LinkConfig::default()
    });
    for number in 0..30 {
        link.send(epoch + ms(number), SizeOnly::new(100, number));
    }
    let numbers: Vec<u64> = drain(&mut link, epoch).iter().map(|a| a.1).collect();
    let expected: Vec<u64> = (0..10).chain(22..30).collect();
    assert_eq!(numbers, expected);
    assert_eq!(link.counters().black_holed, 12);
}

#[test]
fn a_flapping_link_is_up_and_down_in_turn() {
    let (epoch, mut link) = link(LinkConfig {
        flapping: Some(Flapping {
            up: ms(3),
            down: ms(2),
        }),
        ..LinkConfig::default()
    });
    for number in 0..10 {
        link.send(epoch + ms(number), SizeOnly::new(100, number));
    }
    let numbers: Vec<u64> = drain(&mut link, epoch).iter().map(|a| a.1).collect();
    assert_eq!(numbers, [0, 1, 2, 5, 6, 7]);
}

fn with_jitter(jitter: Jitter, order: ArrivalOrder) -> Vec<(Duration, u64)> {
    let (epoch, mut link) = link(LinkConfig {
        delay: ms(10),
        jitter,
        order,
        ..LinkConfig::default()
    });
    for number in 0..5_000 {
        link.send(epoch + ms(number), SizeOnly::new(100, number));
    }
    drain(&mut link, epoch)
}

const JITTERS: [Jitter; 3] = [
    Jitter::Uniform { max: ms(20) },
    Jitter::Exponential {
        mean: ms(5),
        max: ms(20),
    },
    Jitter::Wander {
        max: ms(20),
        every: ms(8),
    },
];

#[test]
fn jitter_keeps_the_order_unless_asked_otherwise() {
    for jitter in JITTERS {
        let arrivals = with_jitter(jitter, ArrivalOrder::Kept);
        assert_eq!(arrivals.len(), 5_000);
        assert!(arrivals.is_sorted_by_key(|a| a.0), "{jitter:?}");
        assert!(arrivals.is_sorted_by_key(|a| a.1), "{jitter:?}");
    }
}

#[test]
fn jitter_overtakes_when_the_order_is_free() {
    for jitter in JITTERS {
        let arrivals = with_jitter(jitter, ArrivalOrder::Free);
        assert_eq!(arrivals.len(), 5_000);
        assert!(arrivals.is_sorted_by_key(|a| a.0), "{jitter:?}");
        assert!(!arrivals.is_sorted_by_key(|a| a.1), "{jitter:?}");
    }
}

#[test]
fn jitter_stays_within_its_bound_and_uses_all_of_it() {
    for jitter in JITTERS {
        let arrivals = with_jitter(jitter, ArrivalOrder::Free);
        let delays = arrivals.iter().map(|(at, number)| *at - ms(*number));
        let (least, most) = (delays.clone().min().unwrap(), delays.max().unwrap());
        assert!(least >= ms(10) && least < ms(11), "{jitter:?} {least:?}");
        assert!(most <= ms(30) && most > ms(29), "{jitter:?} {most:?}");
    }
}

#[test]
fn held_back_packets_are_overtaken_and_hold_up_nobody() {
    let (epoch, mut link) = link(LinkConfig {
        delay: ms(10),
        reorder: Some(Reorder {
            probability: 0.1,
            extra_delay: ms(7),
        }),
        ..LinkConfig::default()
    });
    for number in 0..1_000 {
        link.send(epoch + ms(number), SizeOnly::new(100, number));
    }
    let arrivals = drain(&mut link, epoch);
    let late = arrivals.iter().filter(|(at, n)| *at > ms(*n + 10)).count();
    assert_eq!(late as u64, link.counters().held_back);
    assert!((60..140).contains(&late), "seed {SEED}: {late}");
    assert!(arrivals.iter().all(|(at, n)| *at <= ms(*n + 17)));
    assert!(!arrivals.is_sorted_by_key(|a| a.1));
}

#[test]
fn a_shorter_delay_does_not_reorder_unless_asked_to() {
    for (order, expected) in [
        (ArrivalOrder::Kept, [(ms(100), 0), (ms(100), 1)]),
        (ArrivalOrder::Free, [(ms(20), 1), (ms(100), 0)]),
    ] {
        let config = LinkConfig {
            delay: ms(100),
            order,
            ..LinkConfig::default()
        };
        let (epoch, mut link) = link(config.clone());
        link.send(epoch, SizeOnly::new(1, 0));
        let shorter = LinkConfig {
            delay: ms(10),
            ..config
        };
        link.set_config(epoch + ms(10), shorter);
        link.send(epoch + ms(10), SizeOnly::new(1, 1));
        assert_eq!(drain(&mut link, epoch), expected);
    }
}

#[test]
fn a_new_rate_applies_to_the_rest_of_the_packet_on_the_wire_and_to_the_queue() {
    let slow = LinkConfig {
        rate: Some(8_000_000),
        ..LinkConfig::default()
    };
    let (epoch, mut link) = link(slow.clone());
    send_burst(&mut link, epoch, 4, 1_000);
    // At 1.5 ms the second packet is half sent; ten times faster, the rest of it takes 50 µs.
    let faster = LinkConfig {
        rate: Some(80_000_000),
        ..slow.clone()
    };
    link.set_config(epoch + Duration::from_micros(1_500), faster);
    let arrivals = drain(&mut link, epoch);
    let micros: Vec<u128> = arrivals.iter().map(|a| a.0.as_micros()).collect();
    assert_eq!(micros, [1_000, 1_550, 1_650, 1_750]);
}

#[test]
fn removing_the_rate_limit_empties_the_queue_at_once() {
    let limited = LinkConfig {
        rate: Some(8_000),
        ..LinkConfig::default()
    };
    let (epoch, mut link) = link(limited);
    send_burst(&mut link, epoch, 3, 1_000);
    link.set_config(epoch + ms(10), LinkConfig::default());
    assert_eq!(link.queue_delay(epoch + ms(10)), Duration::ZERO);
    assert_eq!(
        drain(&mut link, epoch),
        [(ms(10), 0), (ms(10), 1), (ms(10), 2)]
    );
}

#[test]
fn a_moment_in_the_past_counts_as_the_latest_one_seen() {
    let (epoch, mut link) = link(LinkConfig::default());
    link.send(epoch + ms(10), SizeOnly::new(1, 0));
    link.send(epoch, SizeOnly::new(1, 1));
    assert_eq!(drain(&mut link, epoch), [(ms(10), 0), (ms(10), 1)]);
}

#[test]
fn extreme_settings_neither_panic_nor_loop() {
    let (epoch, mut link) = link(LinkConfig {
        rate: Some(0),
        delay: Duration::MAX,
        jitter: Jitter::Wander {
            max: Duration::MAX,
            every: Duration::ZERO,
        },
        duplicate: f64::NAN,
        corrupt: -1.0,
        overhead: usize::MAX,
        flapping: Some(Flapping {
            up: Duration::ZERO,
            down: Duration::ZERO,
        }),
        ..LinkConfig::default()
    });
    send_burst(&mut link, epoch, 3, usize::MAX);
    assert_eq!(link.next_event(), None);
    assert!(link.poll(epoch + ms(1_000)).is_none());
    link.set_config(epoch, LinkConfig::default());
    // Two waited for more than the queue holds, endless as it is; the first is through at last.
    assert_eq!(drain(&mut link, epoch).len(), 2);
    assert_eq!(link.counters().overflowed, 1);
}
