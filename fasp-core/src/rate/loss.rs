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
}

/// Standard deviation of a share that is seen of so many datagrams.
pub(super) fn deviation(share: f64, datagrams: f64) -> f64 {
    (share * (1.0 - share) / datagrams.max(1.0)).sqrt()
}

/// Counts what reports settle, and cuts the count into rounds of about a round trip.
#[derive(Debug)]
pub(super) struct LossMeter {
    since: Instant,
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
