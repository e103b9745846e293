//! Holding one's own against senders that keep a queue full: half of what the path carries, however long the queue.

use std::time::{Duration, Instant};

use super::Report;
use super::fall::Fall;
use super::lasting::Lasting;
use crate::{Rate, RatePolicy};

/// Share of the path that is held against whoever came.
const HELD: f64 = 0.5;
/// `high` holds twice as much as it leaves.
const HIGH_HELD: f64 = 0.67;
/// A dip sends this share, for as long as it takes to empty the queue if everybody does the same.
const DIP: f64 = 0.5;
/// A queue of which this share belongs to those who drain, in so many dips in a row, has been left by the others.
const OURS: f64 = 0.75;
const OURS_DIPS: u32 = 2;
/// Without a queue for this long nobody fills it: others who do come back to the deepest within ten seconds or so.
const LEFT: Duration = Duration::from_secs(12);
/// Without a loss for this long, and with the queue below this share of the deepest, it is there because of many of
/// our kind.
const CALM: Duration = Duration::from_secs(30);
const CALM_SHARE: f64 = 0.8;
/// What a dip says about the path's rate counts by this much against what was known …
const WEIGHT: f64 = 0.3;
/// … but replaces it where it says more than twice as much; and the rate held grows by no more than this at once.
const SURPRISE: f64 = 2.0;
const MAX_STEP: f64 = 4.0;
/// No dip makes out a share below this.
const LEAST_SHARE: f64 = 0.01;
/// A share too small to be seen is doubled, pass by pass, so many times between two dips …
const DOUBLINGS: u32 = 3;
/// … or until less than this comes through of what is sent: then it is large enough to be seen.
const COMES_THROUGH: f64 = 0.8;
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
    /// What a change of the rate takes to come back.
    pub(super) pass: Duration,
    /// What is sent and what the path carries of it.
    pub(super) sent: Rate,
    pub(super) carried: Rate,
    pub(super) usual_loss: f64,
    pub(super) loss: f64,
}

/// A look whether the queue can be emptied.
#[derive(Debug, Clone, Copy)]
struct Dip {
    until: Instant,
    /// When its effect has been reported.
    told: Instant,
    /// What was sent before.
    sent: Rate,
    fall: Fall,
}

/// What becomes of the competition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contest {
    /// It goes on; no less than this is sent.
    On(Rate),
    /// The others have left.
    Over,
    /// Nobody fills the queue: it is there because of many of our kind.
    Calm,
}

/// Holds a share of the path for as long as somebody else keeps the queue from emptying.
#[derive(Debug)]
pub(super) struct Compete {
    /// What the path carries of everybody, as far as that is known.
    capacity: Rate,
    /// Share of it that is held.
    held: f64,
    dip: Option<Dip>,
    /// Dips in a row that emptied the queue.
    emptied: u32,
    /// Doublings that are left, and when the next one is due.
    doublings: u32,
    doubles_at: Instant,
    deepest: Duration,
    short: Lasting,
    lost_at: Instant,
    since: Instant,
    at: Instant,
}

impl Compete {
    /// Takes over; `capacity` is what the path was seen to carry.
    pub(super) fn new(now: Instant, policy: RatePolicy, capacity: Rate) -> Self {
        Self {
            capacity,
            held: most(policy),
            dip: None,
            emptied: 0,
            doublings: 0,
            doubles_at: now,
            deepest: Duration::ZERO,
            short: Lasting::default(),
            lost_at: now,
            since: now,
            at: now,
        }
    }

    /// The rate to send at when `wanted` is the one of the rule in force.
    pub(super) fn rate(&self, now: Instant, wanted: Rate) -> Rate {
        match self.dip {
            Some(dip) if now < dip.until => wanted.scaled(DIP),
            _ => wanted,
        }
    }

    /// When the rate changes next although no report comes.
    pub(super) fn next_change(&self, now: Instant) -> Option<Instant> {
        self.dip.map(|dip| dip.until).filter(|until| now < *until)
    }

    /// Looks whether the queue can be emptied; returns when that has been reported.
    /// `loss` is what the full queue drops.
    pub(super) fn dip(&mut self, now: Instant, seen: &Report, sent: Rate, loss: f64) -> Instant {
        let queueing = seen.queueing.unwrap_or_default();
        let rtt = seen.base_rtt + queueing;
        let time = queueing.mul_f64(1.0 / (1.0 - DIP)).min(rtt * 2);
        let told = now + time + rtt + rtt / 4;
        self.dip = Some(Dip {
            until: now + time,
            told,
            sent,
            fall: Fall::new(now, time, 1.0 - DIP, queueing, loss),
        });
        told
    }

    /// Takes a report.
    pub(super) fn on_report(&mut self, now: Instant, report: &Report, terms: &Terms) -> Contest {
        if terms.policy == RatePolicy::Low {
            // It has become one that gives way.
            return Contest::Over;
        }
        let queueing = report.queueing.unwrap_or_default();
        if report.lost > 0 {
            self.lost_at = now;
        }
        self.deepest = self.deepest.max(queueing);
        let is_quiet = now.saturating_duration_since(self.lost_at) > CALM;
        if is_quiet && queueing.as_secs_f64() < self.deepest.as_secs_f64() * CALM_SHARE {
            return Contest::Calm;
        }
        if self.is_left(now, queueing > terms.aim) {
            return Contest::Over;
        }
        self.adjust_held(now, terms);
        if let Some(dip) = &mut self.dip {
            dip.fall.on_report(now, queueing, report.base_rtt);
            if now >= dip.told {
                let dip = *dip;
                self.dip = None;
                if self.has_emptied(now, &dip, terms.pass) {
                    return Contest::Over;
                }
            }
        }
        self.double(now, terms);
        Contest::On(self.capacity.scaled(self.held))
    }

    fn is_left(&mut self, now: Instant, is_long: bool) -> bool {
        self.short
            .note(now, !is_long)
            .is_some_and(|time| time > LEFT)
    }

    /// Learns from a dip how much of the path is ours, and so what it carries; whether all of it is.
    fn has_emptied(&mut self, now: Instant, dip: &Dip, pass: Duration) -> bool {
        let Some(share) = dip.fall.share() else {
            return false;
        };
        self.emptied = if share >= OURS { self.emptied + 1 } else { 0 };
        if !dip.fall.is_clear() {
            self.doublings = DOUBLINGS;
            self.doubles_at = now + pass;
            return false;
        }
        let measured = dip.sent.scaled(1.0 / share.max(LEAST_SHARE));
        let known = self.capacity;
        self.capacity = if measured > known.scaled(SURPRISE) {
            measured.min(known.scaled(MAX_STEP))
        } else {
            let (known, measured) = (known.bits_per_second(), measured.bits_per_second());
            let blend = known as f64 * (1.0 - WEIGHT) + measured as f64 * WEIGHT;
            Rate::from_bits_per_second(blend as u64)
        };
        self.emptied >= OURS_DIPS
    }

    /// Grows a share that is too small to be seen.
    fn double(&mut self, now: Instant, terms: &Terms) {
        if self.doublings == 0 || now < self.doubles_at {
            return;
        }
        if terms.carried < terms.sent.scaled(COMES_THROUGH) {
            self.doublings = 0;
            return;
        }
        self.doublings -= 1;
        self.doubles_at = now + terms.pass;
        self.capacity = self.capacity.scaled(2.0);
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
        self.held = (self.held * factor).min(most(terms.policy));
    }
}

fn most(policy: RatePolicy) -> f64 {
    match policy {
        RatePolicy::High => HIGH_HELD,
        _ => HELD,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn report(now: Instant, queueing: Duration) -> Report {
        Report {
            rtt: MS * 100 + queueing,
            base_rtt: MS * 100,
            rtt_samples: 100,
            queueing: Some(queueing),
            base_seen: now,
            bandwidth: Some(Rate::from_mbps(20)),
            lost: 0,
            delivered: 15_000,
            loss_runs: 0,
            datagram: 1_500,
            in_flight: 250_000,
            starved: false,
            storage: None,
        }
    }

    fn terms(policy: RatePolicy) -> Terms {
        Terms {
            policy,
            aim: MS * 6,
            pass: MS * 150,
            sent: Rate::from_mbps(20),
            carried: Rate::from_mbps(20),
            usual_loss: 0.0,
            loss: 0.0,
        }
    }

    #[test]
    fn half_of_what_the_path_carried_is_held_by_fair_two_thirds_by_high() {
        let now = Instant::now();
        for (policy, held) in [(RatePolicy::Fair, 50), (RatePolicy::High, 67)] {
            let mut compete = Compete::new(now, policy, Rate::from_mbps(100));
            let contest = compete.on_report(now, &report(now, MS * 60), &terms(policy));
            assert_eq!(contest, Contest::On(Rate::from_mbps(held)));
        }
    }

    #[test]
    fn who_becomes_low_gives_way_at_once() {
        let now = Instant::now();
        let mut compete = Compete::new(now, RatePolicy::Fair, Rate::from_mbps(100));
        let contest = compete.on_report(now, &report(now, MS * 60), &terms(RatePolicy::Low));
        assert_eq!(contest, Contest::Over);
    }

    #[test]
    fn a_dip_says_what_the_path_carries_of_everybody() {
        let (epoch, queue) = (Instant::now(), 60.0);
        let mut compete = Compete::new(epoch, RatePolicy::Fair, Rate::from_mbps(10));
        compete.dip(epoch, &report(epoch, MS * 60), Rate::from_mbps(20), 0.0);
        let mut held = Rate::ZERO;
        for ms in (0..500u32).step_by(10) {
            // A fifth of the path drains at half its rate, for 120 ms, after a round trip.
            let drained = (f64::from(ms) - 160.0).clamp(0.0, 120.0) * 0.5 * 0.2;
            let now = epoch + MS * ms;
            let report = report(now, MS.mul_f64(queue - drained));
            if let Contest::On(rate) = compete.on_report(now, &report, &terms(RatePolicy::Fair)) {
                held = rate;
            }
        }
        // 20 of the fifth are 100 of everybody; four times what was known is as far as one dip goes.
        assert_eq!(held, Rate::from_mbps(20));
    }
}
