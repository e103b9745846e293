//! Holding one's own against senders that keep a queue full: the window of CUBIC (RFC 9438) as a rate.

use std::time::{Duration, Instant};

use super::Report;
use crate::{Rate, RatePolicy};

/// CUBIC's constants: growth per second cubed, packets, and what remains after a loss.
const C: f64 = 0.4;
const BETA: f64 = 0.7;
/// `high` gives up half as much and grows twice as fast.
const HIGH_BETA: f64 = 0.85;
/// Loss counts as a full queue when the queueing delay is above this share of the largest seen.
const FULL: f64 = 0.6;
/// Packets of which the window is made.
const PACKET: f64 = 1_448.0;
/// A dip sends this share, for as long as it takes to empty the queue if everybody does the same: then all who are
/// here are of our kind, and free to keep the queue short. Others fill what a dip leaves, and little of the queue goes.
const DIP: f64 = 0.3;
const DIP_DRAINS: f64 = 0.6;
/// The share of the queue left by then that tells one from the other.
const DIP_LEFT: f64 = 0.12;
/// A queue as short as the delay rule wants it for so many round trips has been left by the others.
const SHORT_ROUND_TRIPS: u32 = 2;
/// Others who fill queues come back to the deepest before long: without a loss for this long, and with the queue below
/// this share of the deepest, it is there because of many of our kind.
const CALM: Duration = Duration::from_secs(12);
const CALM_SHARE: f64 = 0.8;
/// Share of what the path was known to carry that is held against whoever came.
const HELD: f64 = 0.5;
/// More loss than usual by this much is more than one or two others can cause: the share held shrinks …
const CROWDED: f64 = 0.15;
/// … by this factor a second, and comes back as slowly.
const SHRINK: f64 = 0.8;

/// What the rest of the controller knows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) policy: RatePolicy,
    /// What the delay rule aims at.
    pub(super) aim: Duration,
    /// What the path carries of ours now, and the most it carried lately.
    pub(super) carried: Rate,
    pub(super) known: Rate,
    pub(super) usual_loss: f64,
    pub(super) loss: f64,
    /// It is time to look whether the queue can be emptied.
    pub(super) dips: bool,
}

/// A look whether the queue can be emptied.
#[derive(Debug, Clone, Copy)]
struct Dip {
    until: Instant,
    /// When its effect has been reported.
    told: Instant,
    queueing: Duration,
    /// What the path carried of ours before.
    carried: Rate,
}

/// What becomes of the competition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contest {
    /// It goes on, at this rate.
    On(Rate),
    /// The queue has emptied; this is what the path carried of ours.
    Over(Rate),
    /// Nobody fills the queue: it is there because of many of our kind.
    Calm(Rate),
}

/// A rate that follows CUBIC's window, for as long as somebody else keeps the queue from emptying.
#[derive(Debug)]
pub(super) struct Compete {
    /// Window before the last reduction, packets.
    max: f64,
    epoch: Instant,
    /// Window at the epoch, packets.
    start: f64,
    reduced: Instant,
    deepest: Duration,
    dip: Option<Dip>,
    short_since: Option<Instant>,
    lost_at: Instant,
    since: Instant,
    /// Share of what is known that is held.
    held: f64,
    at: Instant,
}

impl Compete {
    /// Takes over at `rate`.
    pub(super) fn new(now: Instant, rate: Rate, rtt: Duration) -> Self {
        let window = packets(rate, rtt);
        Self {
            max: window,
            epoch: now,
            start: window,
            reduced: now,
            deepest: Duration::ZERO,
            dip: None,
            short_since: None,
            lost_at: now,
            since: now,
            held: HELD,
            at: now,
        }
    }

    /// Takes a report.
    pub(super) fn on_report(&mut self, now: Instant, report: &Report, terms: &Terms) -> Contest {
        let queueing = report.queueing.unwrap_or_default();
        if let Some(over) = self.is_over(now, report, queueing, terms) {
            return Contest::Over(over);
        }
        if report.lost > 0 {
            self.lost_at = now;
        }
        let is_quiet = now.saturating_duration_since(self.lost_at) > CALM;
        if is_quiet && queueing.as_secs_f64() < self.deepest.as_secs_f64() * CALM_SHARE {
            return Contest::Calm(terms.carried);
        }
        self.deepest = self.deepest.max(queueing);
        let is_full = queueing.as_secs_f64() >= self.deepest.as_secs_f64() * FULL;
        let is_new = now.saturating_duration_since(self.reduced) > report.rtt;
        if report.lost > 0 && is_full && is_new {
            self.reduce(now, report, terms.policy);
        }
        self.adjust_held(now, terms);
        if terms.dips && self.dip.is_none() {
            let time = queueing.mul_f64(1.0 / DIP_DRAINS).min(report.rtt * 2);
            self.dip = Some(Dip {
                until: now + time,
                told: now + time + report.rtt + report.rtt / 4,
                queueing,
                carried: terms.carried,
            });
        }
        let window = self.window(now, report, terms.policy);
        let seconds = report.rtt.as_secs_f64().max(1e-4);
        let cubic = Rate::from_bits_per_second((window * PACKET * 8.0 / seconds) as u64);
        let rate = cubic
            .max(terms.known.scaled(self.held))
            .min(terms.known.scaled(1.5));
        let dips = self.dip.is_some_and(|dip| now < dip.until);
        Contest::On(if dips { rate.scaled(DIP) } else { rate })
    }

    fn is_over(
        &mut self,
        now: Instant,
        report: &Report,
        queueing: Duration,
        terms: &Terms,
    ) -> Option<Rate> {
        if let Some(dip) = self.dip {
            if queueing.as_secs_f64() <= dip.queueing.as_secs_f64() * DIP_LEFT {
                return Some(dip.carried);
            }
            if now >= dip.told {
                self.dip = None;
            }
            return None;
        }
        if queueing > terms.aim {
            self.short_since = None;
            return None;
        }
        let since = *self.short_since.get_or_insert(now);
        let is_left = now.saturating_duration_since(since) > report.rtt * SHORT_ROUND_TRIPS;
        is_left.then_some(terms.carried)
    }

    /// Whether anything was lost while the queue was full: that is how those who fill queues are known.
    pub(super) fn was_real(&self) -> bool {
        self.lost_at > self.since
    }

    fn adjust_held(&mut self, now: Instant, terms: &Terms) {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        let factor = if terms.loss > terms.usual_loss + CROWDED {
            SHRINK.powf(elapsed)
        } else {
            SHRINK.powf(-elapsed)
        };
        self.held = (self.held * factor).min(HELD);
    }

    fn reduce(&mut self, now: Instant, report: &Report, policy: RatePolicy) {
        let window = self.window(now, report, policy);
        let beta = beta(policy);
        // Fast convergence: who loses below the last maximum makes room for newcomers.
        self.max = if window < self.max {
            window * (1.0 + beta) / 2.0
        } else {
            window
        };
        self.start = window * beta;
        self.epoch = now;
        self.reduced = now;
    }

    fn window(&self, now: Instant, report: &Report, policy: RatePolicy) -> f64 {
        let t = now.saturating_duration_since(self.epoch).as_secs_f64();
        let c = match policy {
            RatePolicy::High => 2.0 * C,
            _ => C,
        };
        let k = ((self.max - self.start).max(0.0) / c).cbrt();
        let cubic = c * (t - k).powi(3) + self.max;
        // What Reno would have by now.
        let beta = beta(policy);
        let reno = 3.0 * (1.0 - beta) / (1.0 + beta) * t / report.rtt.as_secs_f64().max(1e-4);
        cubic.max(self.start + reno).max(2.0)
    }
}

fn beta(policy: RatePolicy) -> f64 {
    match policy {
        RatePolicy::High => HIGH_BETA,
        _ => BETA,
    }
}

fn packets(rate: Rate, rtt: Duration) -> f64 {
    rate.bytes_in(rtt) as f64 / PACKET
}
