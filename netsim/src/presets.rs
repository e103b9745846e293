//! Links people know, one direction each. Round-trip times hold when both directions use the same preset.
//!
//! Apart from [`loopback`], every link carries IPv4 packets of 1,500 bytes, that is 1,472 bytes of UDP payload.

use std::time::Duration;

use crate::{Jitter, LinkConfig, Loss, Policer, Reorder};

/// IPv4 and UDP headers in bytes.
const UDP_OVERHEAD: usize = 28;
/// The MTU of Ethernet in bytes.
const ETHERNET_MTU: usize = 1_500;

const fn mbit(rate: u64) -> Option<u64> {
    Some(rate * 1_000_000)
}

fn ethernet() -> LinkConfig {
    LinkConfig {
        mtu: ETHERNET_MTU,
        overhead: UDP_OVERHEAD,
        ..LinkConfig::default()
    }
}

/// One machine talking to itself: no rate limit, 15 µs each way, packets up to 65,535 bytes.
pub fn loopback() -> LinkConfig {
    LinkConfig {
        delay: Duration::from_micros(15),
        mtu: 65_535,
        overhead: UDP_OVERHEAD,
        ..LinkConfig::default()
    }
}

/// A switched local network: 1 Gbit/s, round trip 0.4 ms, a queue of 512 kB (4 ms), no loss.
pub fn lan() -> LinkConfig {
    LinkConfig {
        rate: mbit(1_000),
        delay: Duration::from_micros(200),
        queue: 512_000,
        ..ethernet()
    }
}

/// Across a continent: 100 Mbit/s, round trip 100 ms, 1 % independent loss, a queue of 1.25 MB (100 ms).
pub fn transcontinental() -> LinkConfig {
    LinkConfig {
        rate: mbit(100),
        delay: Duration::from_millis(50),
        queue: 1_250_000,
        loss: Loss::Bernoulli(0.01),
        ..ethernet()
    }
}

/// A geostationary satellite: 50 Mbit/s, round trip 600 ms, 0.5 % loss in runs of 3, a queue of 1.875 MB
/// (300 ms).
pub fn satellite() -> LinkConfig {
    LinkConfig {
        rate: mbit(50),
        delay: Duration::from_millis(300),
        queue: 1_875_000,
        loss: Loss::Burst {
            probability: 0.005,
            mean_burst: 3.0,
        },
        ..ethernet()
    }
}

/// A crowded radio network: 40 Mbit/s, round trip 10 ms plus up to 20 ms of jitter each way that drifts every 50 ms,
/// 3 % loss in runs of 6, one packet in 500 held back by up to 5 ms, a queue of 500 kB (100 ms).
pub fn lossy_wifi() -> LinkConfig {
    LinkConfig {
        rate: mbit(40),
        delay: Duration::from_millis(5),
        jitter: Jitter::Wander {
            max: Duration::from_millis(20),
            every: Duration::from_millis(50),
        },
        queue: 500_000,
        loss: Loss::Burst {
            probability: 0.03,
            mean_burst: 6.0,
        },
        reorder: Some(Reorder {
            probability: 0.002,
            extra_delay: Duration::from_millis(5),
        }),
        ..ethernet()
    }
}

/// A fast line sold as a slow one: 1 Gbit/s of which a policer passes 50 Mbit/s with bursts of 128 kB, round
/// trip 40 ms. What exceeds it is dropped while the delay stays flat.
pub fn policed() -> LinkConfig {
    LinkConfig {
        rate: mbit(1_000),
        delay: Duration::from_millis(20),
        queue: 512_000,
        policer: Some(Policer {
            rate: 50_000_000,
            burst: 128_000,
        }),
        ..ethernet()
    }
}
