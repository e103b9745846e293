//! How much is lost, round by round.

use std::time::{Duration, Instant};

use super::{Report, bursts::Bursts};
use crate::Rate;

/// Shortest round; a shorter one would say more about chance than about the path.
const MIN_ROUND: Duration = Duration::from_millis(100);
/// Fewest datagrams in a round.
const MIN_DATAGRAMS: f64 = 50.0;
/// Longest round: what came in by then counts, however little.
const MAX_ROUND: Duration = Duration::from_secs(2);

/// Standard deviations beyond which it is not chance, with a usual loss that is taken to be no less than this.
pub(super) const DEVIATIONS: f64 = 3.0;
const RARE: f64 = 0.001;

/// What became of the datagrams that one round's reports settled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Round {
    /// Share of bytes lost.
    pub(super) loss: f64,
    /// Datagrams settled, lost or not.
    pub(super) datagrams: f64,
    /// As many independent ones would say as much.
    pub(super) independent: f64,
    /// What arrived, without what was lost.
    pub(super) goodput: Rate,
}

impl Round {
    /// Whether more was lost than usual: by `least`, and by more than chance does once in a thousand rounds.
    pub(super) fn loses_more(&self, usual: f64, least: f64) -> bool {
        let spread = deviation(usual.max(RARE), self.independent);
        self.loss - usual > least.max(DEVIATIONS * spread)
    }

    pub(super) fn count(&self) -> Count {
        Count {
            lost: self.loss * self.independent,
            datagrams: self.independent,
        }
    }
}

/// Independent datagrams, and how many of them were lost.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Count {
    pub(super) lost: f64,
    pub(super) datagrams: f64,
}

impl Count {
    pub(super) fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.datagrams += other.datagrams;
    }

    pub(super) fn share(self) -> f64 {
        self.lost / self.datagrams.max(1.0)
    }

    /// Standard deviation of the difference of two shares that are of the same chance.
    pub(super) fn deviation_from(self, other: Self) -> f64 {
        let mut all = self;
        all.add(other);
        let one = deviation(all.share(), self.datagrams);
        one.hypot(deviation(all.share(), other.datagrams))
    }

    /// The most that the share lost can be taken to be, whatever was seen.
    pub(super) fn most(self) -> f64 {
        let share = self.share();
        let least = 1.0 / self.datagrams.max(2.0);
        share + DEVIATIONS * deviation(share.max(least), self.datagrams)
    }
}

/// Standard deviation of a share that is seen of so many datagrams.
pub(super) fn deviation(share: f64, datagrams: f64) -> f64 {
    (share * (1.0 - share) / datagrams.max(1.0)).sqrt()
}

/// Counts what reports settle, and cuts the count into rounds of about a round trip.
#[derive(Debug)]
pub(super) struct LossMeter {
    since: Instant,
    /// A report has come since then: what the next ones settle is of the round.
    is_open: bool,
    lost: u64,
    delivered: u64,
    smoothed: f64,
    at: Instant,
    bursts: Bursts,
}

impl LossMeter {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            is_open: false,
            lost: 0,
            delivered: 0,
            smoothed: 0.0,
            at: now,
            bursts: Bursts::default(),
        }
    }

    /// Loss ratio with a memory of a megabyte or five seconds, whichever is shorter.
    pub(super) fn smoothed(&self) -> f64 {
        self.smoothed
    }

    /// How many datagrams say as much as a single one would, were losses independent.
    pub(super) fn effect(&self) -> f64 {
        self.bursts.effect()
    }

    /// Takes what a report settled; returns the round that it completes, if it does.
    pub(super) fn on_report(&mut self, now: Instant, report: &Report) -> Option<Round> {
        let Report {
            lost,
            delivered,
            datagram,
            rtt,
            ..
        } = *report;
        self.smooth(now, lost, delivered);
        self.bursts
            .on_report(lost as f64 / datagram.max(1) as f64, report.loss_runs);
        if now < self.since {
            return None;
        }
        if !std::mem::replace(&mut self.is_open, true) {
            // Part of what it settles is from before.
            self.since = now;
            return None;
        }
        self.lost += lost;
        self.delivered += delivered;
        let elapsed = now.saturating_duration_since(self.since);
        let total = (self.lost + self.delivered) as f64;
        let datagrams = total / datagram.max(1) as f64;
        let is_full = elapsed >= rtt.max(MIN_ROUND) && datagrams >= MIN_DATAGRAMS;
        if !is_full && elapsed < MAX_ROUND.max(rtt * 2) {
            return None;
        }
        let round = Round {
            loss: self.lost as f64 / total.max(1.0),
            datagrams,
            independent: datagrams / self.bursts.effect(),
            goodput: Rate::from_bytes_in(self.delivered, elapsed),
        };
        self.since = now;
        self.lost = 0;
        self.delivered = 0;
        (datagrams >= 1.0).then_some(round)
    }

    /// Starts a round anew at `from`: what was sent under other conditions does not count.
    pub(super) fn restart_round(&mut self, from: Instant) {
        self.since = from;
        self.is_open = false;
        self.lost = 0;
        self.delivered = 0;
    }

    fn smooth(&mut self, now: Instant, lost: u64, delivered: u64) {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        let total = (lost + delivered) as f64;
        if total > 0.0 {
            let weight = (total / 1_000_000.0).max(elapsed / 5.0).min(0.25);
            self.smoothed += (lost as f64 / total - self.smoothed) * weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(delivered: u64, lost: u64) -> Report {
        Report {
            rtt: Duration::from_millis(20),
            base_rtt: Duration::from_millis(20),
            rtt_samples: 9,
            queueing: None,
            base_seen: Instant::now(),
            bandwidth: None,
            lost,
            delivered,
            loss_runs: 0,
            datagram: 1_000,
            in_flight: 0,
            starved: false,
            storage: None,
        }
    }

    #[test]
    fn what_a_restarted_round_settles_with_its_first_report_is_from_before() {
        let start = Instant::now();
        let mut meter = LossMeter::new(start);
        meter.restart_round(start + Duration::from_millis(50));
        // A megabyte a second: 40 kB in 40 ms. The second report is the first behind the moment.
        let mut round = None;
        for i in 1..=5 {
            assert!(round.is_none(), "report {i}");
            let lost = if i <= 2 { 10_000 } else { 0 };
            let at = start + Duration::from_millis(40) * i;
            round = meter.on_report(at, &report(40_000 - lost, lost));
        }
        let round = round.expect("three reports are a round");
        assert_eq!(round.loss, 0.0);
        assert_eq!(round.goodput, Rate::from_bits_per_second(8_000_000));
    }
}
