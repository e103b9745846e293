//! A queue that runs over before it is as long as the delay rule would keep it.
//!
//! Switches of local networks and the first hop of a fast line hold a few milliseconds. Aiming beyond that loses datagrams, and the
//! rule for loss without delay would take the path for a policed one and leave a twentieth of it unused.

use std::time::{Duration, Instant};

use crate::Rate;

/// A queue of this share of the aim, when more is lost than usual, is one that runs over: a policer keeps none.
const FELT: f64 = 0.4;
/// Share of its depth that is aimed at: bursts and the time that reports take need the rest.
const AIMED_AT: f64 = 0.6;
/// A shorter queue is not told from what hosts do to datagrams.
const SHORTEST: Duration = Duration::from_millis(2);
/// A rate below this share of what the path carried then shows that it was not ours alone, or not a queue at all, …
const OURS: f64 = 0.85;
/// … if it stays so for this long.
const STAYS: Duration = Duration::from_millis(500);
/// How long a depth is believed, and how long none is looked for where the queue is shared: who keeps it shorter than
/// others do leaves them the path.
const BELIEVED: Duration = Duration::from_secs(60);

/// What is known of the depth of the queue.
#[derive(Debug, Default)]
pub(super) struct Shallow {
    known: Option<Known>,
    /// Until when none is looked for: the last one turned out wrong.
    unsure_until: Option<Instant>,
    /// The longest queue since the last round.
    longest: Duration,
}

#[derive(Debug)]
struct Known {
    depth: Duration,
    /// What the path carried then.
    carried: Rate,
    until: Instant,
    /// Since when the rate has been low.
    low_since: Option<Instant>,
}

impl Shallow {
    /// What is aimed at instead of `aim`.
    pub(super) fn aim(&self, aim: Duration) -> Duration {
        match &self.known {
            Some(known) => aim.min(known.depth.mul_f64(AIMED_AT)),
            None => aim,
        }
    }

    /// Takes a queueing delay at a rate.
    pub(super) fn on_report(&mut self, now: Instant, queueing: Duration, rate: Rate) {
        self.longest = self.longest.max(queueing);
        let Some(known) = &mut self.known else { return };
        let since = *known.low_since.get_or_insert(now);
        if rate >= known.carried.scaled(OURS) {
            known.low_since = None;
        } else if now.saturating_duration_since(since) >= STAYS {
            self.unsure_until = Some(now + BELIEVED);
            self.known = None;
            return;
        }
        if now >= known.until {
            self.known = None;
        }
    }

    /// A round of loss is over; returns how long the queue was at most, if that is long enough to have run over.
    pub(super) fn end_round(&mut self, now: Instant, aim: Duration) -> Option<Duration> {
        let longest = std::mem::take(&mut self.longest);
        let is_unsure = self.unsure_until.is_some_and(|until| now < until);
        (!is_unsure && longest > aim.mul_f64(FELT).max(SHORTEST)).then_some(longest)
    }

    /// The queue has run over: what was lost of it went away with the rate.
    pub(super) fn on_ran_over(&mut self, now: Instant, depth: Duration, carried: Rate) {
        self.known = Some(Known {
            depth,
            carried,
            until: now + BELIEVED,
            low_since: None,
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test set-up")]
mod tests {
    use super::*;

    const AIM: Duration = Duration::from_millis(6);
    const DEPTH: Duration = Duration::from_millis(5);

    fn found(now: Instant) -> Shallow {
        let mut shallow = Shallow::default();
        shallow.on_report(now, DEPTH, Rate::from_mbps(100));
        let depth = shallow.end_round(now, AIM).unwrap();
        shallow.on_ran_over(now, depth, Rate::from_mbps(100));
        shallow
    }

    #[test]
    fn a_queue_that_ran_over_is_kept_shorter_for_a_minute() {
        let now = Instant::now();
        let mut shallow = found(now);
        assert_eq!(shallow.aim(AIM), Duration::from_millis(3));
        assert_eq!(
            shallow.aim(Duration::from_millis(1)),
            Duration::from_millis(1)
        );
        shallow.on_report(now + BELIEVED, Duration::ZERO, Rate::from_mbps(100));
        assert_eq!(shallow.aim(AIM), AIM);
    }

    #[test]
    fn a_rate_that_falls_all_the_same_leaves_the_path_to_the_other_rules() {
        let now = Instant::now();
        let mut shallow = found(now);
        shallow.on_report(now, DEPTH, Rate::from_mbps(80));
        assert_eq!(shallow.aim(AIM), Duration::from_millis(3));
        let now = now + STAYS;
        shallow.on_report(now, DEPTH, Rate::from_mbps(80));
        assert_eq!(shallow.aim(AIM), AIM);
        assert_eq!(shallow.end_round(now, AIM), None);
        shallow.on_report(now, DEPTH, Rate::from_mbps(80));
        assert_eq!(shallow.end_round(now + BELIEVED, AIM), Some(DEPTH));
    }

    #[test]
    fn a_policer_keeps_no_queue() {
        let now = Instant::now();
        let mut shallow = Shallow::default();
        shallow.on_report(now, Duration::from_millis(2), Rate::from_mbps(100));
        assert_eq!(shallow.end_round(now, AIM), None);
    }
}
