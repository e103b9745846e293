//! Rate control: one estimator or rule per file (docs/rate-control.md).

mod baseline;
mod breaker;
mod bursts;
mod chance;
mod compete;
mod controller;
#[cfg(test)]
mod controller_tests;
mod delay;
mod delivery;
mod drain;
mod fall;
mod lasting;
mod limits;
mod loss;
mod memory;
mod pacer;
mod policer;
mod pressure;
mod queueing;
mod shallow;
mod slot;
mod start;
mod trial;
mod usage;
mod wander;
mod windowed_min;

use std::time::{Duration, Instant};

pub(crate) use controller::RateController;
pub(crate) use delivery::DeliveryRate;
pub use limits::RateLimits;
pub use memory::PathMemory;
pub(crate) use pacer::Pacer;
pub(crate) use queueing::Queueing;
pub(crate) use usage::Usage;

use crate::Rate;

/// No rule makes a sender slower than this.
const SLOWEST: Rate = Rate::from_bits_per_second(8_000);

/// Shortest time between two reports, and what the ends take to act on one.
const REPORT_TIME: Duration = Duration::from_millis(5);

/// Time between two reports on a path with this round-trip time (protocol §6.2).
fn report_spacing(rtt: Duration) -> Duration {
    (rtt / 8).max(REPORT_TIME)
}

/// The facts of one report.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Report {
    pub(crate) rtt: Duration,
    /// The round-trip time without queues.
    pub(crate) base_rtt: Duration,
    pub(crate) rtt_samples: u64,
    pub(crate) queueing: Option<Duration>,
    /// When the base of the queueing delay was last seen.
    pub(crate) base_seen: Instant,
    /// What the path carried of ours lately.
    pub(crate) bandwidth: Option<Rate>,
    /// Bytes that the report settled as lost, and as delivered.
    pub(crate) lost: u64,
    pub(crate) delivered: u64,
    /// Runs of neighbours that the lost datagrams make.
    pub(crate) loss_runs: u64,
    /// Size of a full datagram on the wire, bytes.
    pub(crate) datagram: u64,
    /// Bytes on their way.
    pub(crate) in_flight: u64,
    /// The sender had nothing to send or was held back by the receiver.
    pub(crate) starved: bool,
    /// What the receiver's storage takes, if it says so.
    pub(crate) storage: Option<Rate>,
}

/// How a start has found the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// A queue has built up: this is what the path carries.
    Queue(Rate),
    /// Delivery grows no more.
    Flat(Rate),
    /// More is lost without a queue: this came through.
    Loss(Rate),
}
