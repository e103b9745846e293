//! Whatever the network does, every file arrives exactly once and intact, and both ends know it.
//!
//! `FASP_SEED=n` replays one seed, `FASP_SEEDS=n` runs that many instead of the usual number.

use std::{
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use fasp_core::testing::{Pair, Run, Scenario};
use fasp_core::{DatagramCipher, Rate, RateLimits, RatePolicy};
use fastrand::Rng;
use netsim::{ArrivalOrder, BlackHole, Jitter, LinkConfig, Loss, Policer, Reorder};

/// Seeds of a plain `cargo test`.
const SEEDS: u64 = 2_000;
/// Seeds run on this many threads.
const THREADS: usize = 2;
/// Virtual time; no scenario below needs nearly as long.
const LIMIT: Duration = Duration::from_secs(3600);

/// Something that happens to the network while it is used.
#[derive(Debug, Clone)]
enum Change {
    /// The client has another address.
    Address(SocketAddr),
    /// The path carries packets of another size, in bytes with headers.
    Mtu(usize),
}

#[derive(Debug, Clone)]
struct Case {
    scenario: Scenario,
    /// What changes, how long after what changed before.
    changes: Vec<(Duration, Change)>,
}

/// Evenly spread on a logarithmic scale.
fn log_uniform(random: &mut Rng, low: f64, high: f64) -> f64 {
    (low.ln() + (high / low).ln() * random.f64()).exp()
}

/// True once in `n` times.
fn one_in(random: &mut Rng, n: u32) -> bool {
    random.u32(..n) == 0
}

fn up_to(random: &mut Rng, max: Duration) -> Duration {
    max.mul_f64(random.f64())
}

fn file_size(random: &mut Rng) -> u64 {
    match random.u32(..4) {
        0 => 0,
        1 => random.u64(1..4_200),
        2 => random.u64(4_097..30_000),
        _ => random.u64(30_000..400_000),
    }
}

fn mtu(random: &mut Rng) -> usize {
    let common = [1228, 1280, 1400, 1500, 4000, 9000, 9244];
    match one_in(random, 2) {
        true => random.usize(1228..=9244),
        false => common[random.usize(..common.len())],
    }
}

fn jitter(random: &mut Rng) -> Jitter {
    let max = Duration::from_secs_f64(log_uniform(random, 0.000_1, 0.1));
    match random.u32(..6) {
        0 => Jitter::Uniform { max },
        1 => Jitter::Exponential { mean: max / 4, max },
        2 => Jitter::Wander {
            max,
            every: max * 3,
        },
        _ => Jitter::None,
    }
}

fn loss(random: &mut Rng, probability: f64) -> Loss {
    match random.u32(..3) {
        0 => Loss::None,
        1 => Loss::Bernoulli(probability),
        _ => Loss::Burst {
            probability,
            mean_burst: random.f64() * 4.0 + 1.0,
        },
    }
}

fn black_holes(random: &mut Rng) -> Vec<BlackHole> {
    let mut holes = Vec::new();
    // The first one must leave a client time to be heard within ten seconds.
    let mut at = up_to(random, Duration::from_secs(4));
    let mut longest = Duration::from_secs(3);
    while one_in(random, 2) && holes.len() < 5 {
        let end = at + up_to(random, longest);
        holes.push(BlackHole { start: at, end });
        longest = Duration::from_secs(20);
        at = end + Duration::from_secs(4) + up_to(random, Duration::from_secs(10));
    }
    holes
}

fn link(random: &mut Rng, rate: u64, delay: Duration, mtu: usize) -> LinkConfig {
    let product = (rate as f64 / 8.0 * delay.as_secs_f64() * 2.0).max(20_000.0);
    // Loss and damage together leave six datagrams of ten: a client has ten seconds to be heard.
    let probability = random.f64() * 0.30;
    let corrupt = match random.u32(..4) {
        0 => random.f64() * (0.40 - probability).min(0.30),
        _ => 0.0,
    };
    LinkConfig {
        rate: (!one_in(random, 20)).then_some(rate),
        delay,
        jitter: jitter(random),
        order: match one_in(random, 4) {
            true => ArrivalOrder::Free,
            false => ArrivalOrder::Kept,
        },
        queue: (product * log_uniform(random, 0.1, 3.0)) as usize + 4 * mtu,
        loss: loss(random, probability),
        duplicate: match one_in(random, 3) {
            true => random.f64() * 0.5,
            false => 0.0,
        },
        reorder: one_in(random, 3).then(|| Reorder {
            probability: random.f64() * 0.25,
            extra_delay: up_to(random, Duration::from_millis(50)),
        }),
        corrupt,
        policer: one_in(random, 8).then(|| Policer {
            rate: (rate as f64 * (0.3 + 0.7 * random.f64())) as u64,
            burst: random.usize(4..40) * mtu,
        }),
        mtu,
        black_holes: match one_in(random, 3) {
            true => black_holes(random),
            false => Vec::new(),
        },
        flapping: None,
        overhead: 28,
    }
}

fn limits(random: &mut Rng, rate: u64) -> RateLimits {
    let target = Rate::from_bits_per_second((rate as f64 * (0.2 + 1.3 * random.f64())) as u64);
    let policy = RatePolicy::ALL[random.usize(..RatePolicy::ALL.len())].0;
    RateLimits {
        target: (policy == RatePolicy::Fixed || one_in(random, 3)).then_some(target),
        policy,
        ..RateLimits::default()
    }
}

fn case(seed: u64) -> Case {
    let mut random = Rng::with_seed(seed);
    let random = &mut random;
    let rate = log_uniform(random, 1e6, 1e10) as u64;
    let delay = match one_in(random, 8) {
        true => Duration::ZERO,
        false => Duration::from_secs_f64(log_uniform(random, 0.000_05, 0.4)),
    };
    let path_mtu = mtu(random);
    let uplink = link(random, rate, delay, path_mtu);
    let downlink = match one_in(random, 2) {
        true => uplink.clone(),
        false => link(random, rate, delay, path_mtu),
    };
    let ciphers = [
        DatagramCipher::None,
        DatagramCipher::Aes128Gcm,
        DatagramCipher::Aes256Gcm,
    ];
    let scenario = Scenario {
        upload: random.bool(),
        asks_first: random.bool(),
        limits: limits(random, rate),
        cipher: ciphers[random.usize(..3)],
        max_datagram: if random.bool() { 9216 } else { 1472 },
        rtt: random.bool().then_some(delay * 2).filter(|r| !r.is_zero()),
        uplink,
        downlink,
        ..Scenario::new(
            seed,
            (0..random.usize(..=12))
                .map(|_| file_size(random))
                .collect(),
            LinkConfig::default(),
        )
    };
    let mut changes = Vec::new();
    while one_in(random, 3) && changes.len() < 6 {
        let wait = up_to(random, Duration::from_secs(3));
        let change = match one_in(random, 2) {
            true => Change::Mtu(mtu(random)),
            false => Change::Address(SocketAddr::from((
                [10, 0, 0, if random.bool() { 1 } else { random.u8(3..) }],
                40_001 + changes.len() as u16,
            ))),
        };
        changes.push((wait, change));
    }
    Case { scenario, changes }
}

fn run(case: &Case) -> Run {
    let mut pair = Pair::new(case.scenario.clone());
    for (wait, change) in &case.changes {
        pair.run_for(*wait);
        match change {
            Change::Address(address) => pair.rebind_client(*address),
            Change::Mtu(mtu) => {
                let mtu = *mtu;
                pair.change_links(|link| link.mtu = mtu);
            }
        }
    }
    pair.run(LIMIT)
}

/// Says what went wrong with a seed, if anything.
fn failure(seed: u64) -> Option<String> {
    let case = case(seed);
    match catch_unwind(AssertUnwindSafe(|| run(&case))) {
        Err(_) => Some("panicked".to_owned()),
        Ok(run) if run.is_success(case.scenario.files.len()) => None,
        Ok(run) => Some(format!("{run:#?}")),
    }
}

#[test]
fn every_file_arrives_exactly_once_and_intact() {
    let number = |name| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    if let Some(seed) = number("FASP_SEED") {
        let failed = failure(seed);
        assert!(
            failed.is_none(),
            "{:#?}\n{}",
            case(seed),
            failed.unwrap_or_default()
        );
        return;
    }
    let seeds = number("FASP_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(0);
    let failed: Vec<(u64, String)> = std::thread::scope(|scope| {
        let worker = || {
            let mut failed = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds || failed.len() >= 20 {
                    return failed;
                }
                failed.extend(failure(seed).map(|text| (seed, text)));
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(worker)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("panics are caught"))
            .collect()
    });
    let list: Vec<u64> = failed.iter().map(|(seed, _)| *seed).collect();
    if let Some((seed, text)) = failed.first() {
        panic!(
            "{} of {seeds} seeds failed: {list:?}; FASP_SEED={seed}: {text}",
            list.len()
        );
    }
}
