//! Whole sessions over the simulated network: everything arrives exactly once and intact.

use std::time::Duration;

use fasp_core::testing::{Pair, Scenario};
use fasp_core::{DatagramCipher, Rate, RateLimits, RatePolicy};
use netsim::{LinkConfig, Loss, presets};

const MINUTE: Duration = Duration::from_secs(60);

fn fixed(mbps: u64) -> RateLimits {
    RateLimits {
        target: Some(Rate::from_mbps(mbps)),
        policy: RatePolicy::Fixed,
        ..RateLimits::default()
    }
}

#[test]
fn files_of_every_kind_cross_an_ideal_link_both_ways_with_every_cipher() {
    for cipher in [
        DatagramCipher::None,
        DatagramCipher::Aes128Gcm,
        DatagramCipher::Aes256Gcm,
    ] {
        for (upload, asks_first) in [(true, false), (false, false), (true, true), (false, true)] {
            let files = vec![0, 1, 100_000, 4096, 4097, 0, 1_000_000];
            let count = files.len();
            let scenario = Scenario {
                upload,
                asks_first,
                cipher,
                ..Scenario::new(1, files, presets::lan())
            };
            let run = Pair::new(scenario).run(MINUTE);
            assert_eq!(run.received.failed_openings + run.sent.failed_openings, 0);
            assert!(
                run.is_success(count),
                "{cipher} upload {upload} asks {asks_first}: {run:#?}"
            );
        }
    }
}

#[test]
fn an_empty_list_completes() {
    let run = Pair::new(Scenario::new(1, Vec::new(), presets::lan())).run(MINUTE);
    assert!(run.is_success(0), "{run:#?}");
}

#[test]
fn random_loss_costs_only_itself() {
    let link = LinkConfig {
        rate: Some(100_000_000),
        delay: Duration::from_millis(50),
        queue: 1_250_000,
        loss: Loss::Bernoulli(0.05),
        overhead: 28,
        mtu: 1500,
        ..LinkConfig::default()
    };
    let scenario = Scenario {
        limits: fixed(100),
        ..Scenario::new(7, vec![100_000_000], link)
    };
    let run = Pair::new(scenario).run(MINUTE);
    assert!(run.is_success(1), "{run:#?}");
    let limit = 100e6 * 0.95 * 1438.0 / 1500.0;
    let share = 100_000_000.0 * 8.0 / run.elapsed.as_secs_f64() / limit;
    assert!(share > 0.93, "{share:.3} of the limit: {run:#?}");
}

#[test]
fn fair_finds_the_rate_without_being_told() {
    let link = LinkConfig {
        rate: Some(100_000_000),
        delay: Duration::from_millis(50),
        queue: 1_250_000,
        loss: Loss::Bernoulli(0.01),
        overhead: 28,
        mtu: 1500,
        ..LinkConfig::default()
    };
    let mut pair = Pair::new(Scenario::new(9, vec![100_000_000], link));
    let run = pair.run(MINUTE);
    assert!(run.is_success(1), "{run:#?}");
    let limit = 100e6 * 0.99 * 1438.0 / 1500.0;
    let share = 100_000_000.0 * 8.0 / run.elapsed.as_secs_f64() / limit;
    assert!(share > 0.80, "{share:.3} of the limit: {run:#?}");
}
