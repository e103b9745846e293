//! The random parts of a link: their long-run shares, their accounting, and that a seed repeats them.

use std::time::{Duration, Instant};

use netsim::{
    ArrivalOrder, BlackHole, Jitter, Link, LinkConfig, Loss, Policer, Reorder, SizeOnly, presets,
};

const COUNT: u64 = 200_000;
const SEEDS: [u64; 4] = [1, 2, 3, 0xDEAD_BEEF];

/// Sends packets 0, 1, 2 ... a microsecond apart; returns what arrives, in order of arrival.
fn run(config: LinkConfig, seed: u64, count: u64) -> (Vec<(Instant, SizeOnly)>, Link<SizeOnly>) {
    let epoch = Instant::now();
    let mut link = Link::new(epoch, config, seed);
    let mut arrivals = Vec::new();
    for number in 0..count {
        let now = epoch + Duration::from_micros(number);
        link.send(now, SizeOnly::new(1_000, number));
        arrivals.extend(std::iter::from_fn(|| link.poll(now)));
    }
    while let Some(now) = link.next_event() {
        arrivals.extend(std::iter::from_fn(|| link.poll(now)));
    }
    (arrivals, link)
}

fn losing(loss: Loss) -> LinkConfig {
    LinkConfig {
        loss,
        ..LinkConfig::default()
    }
}

/// Asserts that a count of `trials` independent draws is within five standard deviations.
fn assert_share(what: &str, seed: u64, count: u64, trials: u64, probability: f64) {
    let expected = trials as f64 * probability;
    let deviation = (expected * (1.0 - probability)).sqrt();
    assert!(
        (count as f64 - expected).abs() < 5.0 * deviation,
        "seed {seed}: {what} {count}, expected {expected} +- {deviation}"
    );
}

#[test]
fn independent_loss_has_its_share() {
    for seed in SEEDS {
        let (arrivals, link) = run(losing(Loss::Bernoulli(0.01)), seed, COUNT);
        assert_share("lost", seed, link.counters().lost, COUNT, 0.01);
        assert_eq!(arrivals.len() as u64 + link.counters().lost, COUNT);
    }
}

#[test]
fn burst_loss_has_its_share_and_its_mean_run() {
    let (probability, mean_burst) = (0.02, 8.0);
    let loss = Loss::Burst {
        probability,
        mean_burst,
    };
    for seed in SEEDS {
        let count = 5 * COUNT;
        let (arrivals, link) = run(losing(loss), seed, count);
        let lost = link.counters().lost;
        let runs = arrivals
            .windows(2)
            .filter(|pair| pair[1].1.number - pair[0].1.number > 1)
            .count();
        let mean = lost as f64 / runs as f64;
        // About 2,500 runs of geometric length: the mean strays by 0.15, the share by 4 %.
        assert!((mean - mean_burst).abs() < 0.75, "seed {seed}: run {mean}");
        let share = lost as f64 / count as f64;
        assert!(
            (share - probability).abs() < 0.2 * probability,
            "seed {seed}: {share}"
        );
    }
}

#[test]
fn certain_and_impossible_loss_are_exact() {
    let burst = |probability| Loss::Burst {
        probability,
        mean_burst: 4.0,
    };
    for (loss, lost) in [
        (Loss::Bernoulli(1.0), 1_000),
        (Loss::Bernoulli(0.0), 0),
        (burst(1.0), 1_000),
        (burst(0.0), 0),
    ] {
        assert_eq!(run(losing(loss), 5, 1_000).1.counters().lost, lost);
    }
}

#[test]
fn loss_uses_capacity() {
    let config = LinkConfig {
        rate: Some(8_000_000_000),
        ..losing(Loss::Bernoulli(0.5))
    };
    let (arrivals, _) = run(config, 6, 10_000);
    let first = arrivals[0];
    // One packet per microsecond is exactly the rate: whoever survives leaves in its own slot.
    for (at, packet) in &arrivals {
        let slots = packet.number - first.1.number;
        assert_eq!(*at - first.0, Duration::from_micros(slots));
    }
}

#[test]
fn copies_are_counted_and_follow_their_original() {
    let config = LinkConfig {
        duplicate: 0.05,
        ..LinkConfig::default()
    };
    for seed in SEEDS {
        let (arrivals, link) = run(config.clone(), seed, COUNT);
        let duplicated = link.counters().duplicated;
        assert_share("duplicated", seed, duplicated, COUNT, 0.05);
        assert_eq!(arrivals.len() as u64, COUNT + duplicated);
        assert!(arrivals.is_sorted_by_key(|a| a.1.number));
    }
}

#[test]
fn damage_is_counted_and_done() {
    let config = LinkConfig {
        corrupt: 0.02,
        ..LinkConfig::default()
    };
    for seed in SEEDS {
        let (arrivals, link) = run(config.clone(), seed, COUNT);
        let corrupted = link.counters().corrupted;
        assert_share("corrupted", seed, corrupted, COUNT, 0.02);
        let damaged = arrivals.iter().filter(|a| a.1.is_corrupt).count();
        assert_eq!(damaged as u64, corrupted);
    }
}

/// Everything at once.
fn hostile() -> LinkConfig {
    LinkConfig {
        rate: Some(5_000_000_000),
        delay: Duration::from_millis(3),
        jitter: Jitter::Uniform {
            max: Duration::from_micros(40),
        },
        order: ArrivalOrder::Free,
        queue: 50_000,
        loss: Loss::Burst {
            probability: 0.05,
            mean_burst: 3.0,
        },
        duplicate: 0.01,
        reorder: Some(Reorder {
            probability: 0.01,
            extra_delay: Duration::from_millis(1),
        }),
        corrupt: 0.01,
        policer: Some(Policer {
            rate: 6_000_000_000,
            burst: 100_000,
        }),
        black_holes: vec![BlackHole {
            start: Duration::from_millis(4),
            end: Duration::from_millis(5),
        }],
        ..LinkConfig::default()
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    let trace = |seed| {
        let (arrivals, link) = run(hostile(), seed, 20_000);
        let start = arrivals[0].0;
        let offsets: Vec<_> = arrivals.iter().map(|(at, p)| (*at - start, *p)).collect();
        (offsets, link.counters())
    };
    assert_eq!(trace(9), trace(9));
    assert_ne!(trace(9), trace(10));
}

#[test]
fn how_often_a_link_is_polled_changes_nothing() {
    let epoch = Instant::now();
    let trace = |poll_every: u64| {
        let mut link = Link::new(epoch, hostile(), 11);
        let mut arrivals = Vec::new();
        for number in 0..20_000 {
            let now = epoch + Duration::from_micros(number);
            link.send(now, SizeOnly::new(1_000, number));
            if number % poll_every == 0 {
                arrivals.extend(std::iter::from_fn(|| link.poll(now)));
            }
        }
        let end = epoch + Duration::from_secs(1);
        arrivals.extend(std::iter::from_fn(|| link.poll(end)));
        arrivals
    };
    assert_eq!(trace(1), trace(7_919));
}

#[test]
fn every_packet_is_accounted_for() {
    let presets = [
        presets::loopback(),
        presets::lan(),
        presets::transcontinental(),
        presets::satellite(),
        presets::lossy_wifi(),
        presets::policed(),
        hostile(),
    ];
    for (config, seed) in presets.into_iter().zip(100..) {
        let (arrivals, link) = run(config.clone(), seed, 20_000);
        let c = link.counters();
        let gone = c.too_large + c.policed + c.overflowed + c.black_holed + c.lost;
        assert_eq!(c.sent, 20_000);
        assert_eq!(
            c.sent + c.duplicated,
            gone + c.delivered,
            "seed {seed}: {config:?}"
        );
        assert_eq!(arrivals.len() as u64, c.delivered);
        assert_eq!(c.delivered_bytes, c.delivered * 1_000);
        assert!(c.delivered > 100, "seed {seed}: {c:?} {config:?}");
    }
}

#[test]
fn real_bytes_survive_a_clean_link_and_not_a_corrupting_one() {
    let epoch = Instant::now();
    for (corrupt, intact) in [(0.0, true), (1.0, false)] {
        let config = LinkConfig {
            corrupt,
            ..LinkConfig::default()
        };
        let mut link = Link::new(epoch, config, 12);
        let sent: Vec<u8> = (0..=255).collect();
        link.send(epoch, sent.clone());
        let (_, received) = link.poll(epoch).unwrap();
        assert_eq!(received == sent, intact);
    }
}
