//! The circuit breaker: what silence and excessive loss do to any policy (protocol §11, rule W-31).

use std::time::{Duration, Instant};

use super::SLOWEST;
use super::lasting::Lasting;
use crate::Rate;

/// Loss above this for [`LOSS_TIME`] cuts the rate to the minimum.
const EXCESSIVE_LOSS: f64 = 0.5;
const LOSS_TIME: Duration = Duration::from_secs(10);
/// Silence after which only one datagram per round trip leaves.
const PROBING: Duration = Duration::from_secs(10);
/// A brake that has been let go this far no longer holds.
const RELEASED: Rate = Rate::from_mbps(10_000);

/// Limits that no policy may pass.
#[derive(Debug)]
pub(super) struct Breaker {
    /// What silence leaves; nothing once a report has arrived.
    silenced: Option<Rate>,
    /// What excessive loss leaves.
    braked: Option<Rate>,
    excess: Lasting,
    at: Instant,
}

impl Breaker {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            silenced: None,
            braked: None,
            excess: Lasting::default(),
            at: now,
        }
    }

    /// The highest rate left.
    pub(super) fn limit(&self) -> Rate {
        let limit = self.silenced.unwrap_or(Rate::MAX);
        limit.min(self.braked.unwrap_or(Rate::MAX))
    }

    /// Takes a report with the loss ratio of late; true when the brake has just been pulled.
    pub(super) fn on_report(
        &mut self,
        now: Instant,
        loss: f64,
        floor: Rate,
        ceiling: Rate,
    ) -> bool {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.silenced = None;
        let Some(lasting) = self.excess.note(now, loss > EXCESSIVE_LOSS) else {
            // Doubles every second until nothing is held back any more.
            let grown = self.braked.map(|rate| rate.scaled(1.0 + elapsed));
            self.braked = grown.filter(|rate| *rate < ceiling.min(RELEASED));
            return false;
        };
        if lasting < LOSS_TIME {
            return false;
        }
        self.braked = Some(floor.max(SLOWEST));
        true
    }

    /// No report for `silence`; `rate` is what was sent at until now.
    pub(super) fn on_silence(
        &mut self,
        silence: Duration,
        rate: Rate,
        rtt: Duration,
        datagram: u64,
    ) {
        self.silenced = Some(if silence >= PROBING {
            Rate::from_bytes_in(datagram, rtt)
        } else {
            rate.scaled(0.5)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w31_loss_above_half_for_ten_seconds_leaves_the_minimum_and_recovers_by_doubling() {
        let epoch = Instant::now();
        let mut breaker = Breaker::new(epoch);
        let (floor, ceiling) = (Rate::from_mbps(1), Rate::from_mbps(100));
        let mut pulled = None;
        for second in 0..20 {
            let now = epoch + Duration::from_secs(second);
            if breaker.on_report(now, 0.6, floor, ceiling) {
                pulled.get_or_insert(second);
            }
        }
        assert_eq!(pulled, Some(10));
        assert_eq!(breaker.limit(), floor);
        for second in 20..24 {
            breaker.on_report(epoch + Duration::from_secs(second), 0.1, floor, ceiling);
        }
        assert_eq!(breaker.limit(), floor.scaled(16.0));
        for second in 24..40 {
            breaker.on_report(epoch + Duration::from_secs(second), 0.1, floor, ceiling);
        }
        assert_eq!(breaker.limit(), Rate::MAX);
    }
}
