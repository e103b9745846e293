//! A queue that runs over before it is as long as the delay rule would keep it.
//!
//! Switches of local networks and the first hop of a fast line hold a few milliseconds. Aiming beyond that loses datagrams, and the
//! rule for loss without delay would take the path for a policed one and leave a twentieth of it unused. Worse, senders that
//! share such a queue would each find another limit.

use std::time::{Duration, Instant};

use super::lasting::Lasting;
use super::loss::Round;
use crate::Rate;

/// A shorter queue is not told from what hosts do to datagrams.
const SHORTEST: Duration = Duration::from_millis(2);
/// Share of a known depth above which that queue may have run over.
const FULL: f64 = 0.8;
/// A queue longer than what the rate alone aims at by this factor is not of its making.
const OTHERS: f64 = 1.25;
/// One of this share of it is kept by faster senders: who has that little has nothing to leave.
const FASTER: f64 = 0.25;
/// Loss above the usual by this much, or three standard deviations, is looked into.
const SUSPICIOUS: f64 = 0.003;
/// Rounds in a row that have to be suspicious: one alone is chance too often.
const SUSPICIONS: u32 = 2;
/// A shorter queue that takes away so much of the additional loss has run over before.
const EFFECT: f64 = 0.5;
/// Rounds that a shorter aim has to make the queue shorter: others may keep it.
const PATIENCE: u32 = 3;
/// A rate below this share of what the path carried then, and a queue longer than the aim by this factor, show that others keep
/// the queue, or that what was felt is not a queue at all, …
const OURS: f64 = 0.85;
const LONGER: f64 = 1.25;
/// … if it stays so for this long.
const STAYS: Duration = Duration::from_millis(500);
/// A rate below this share of it for this long is that of a sender that knows a depth beside others that know none.
const STARVED: f64 = 0.5;
const STARVES: Duration = Duration::from_secs(4);
/// How long a depth is believed: all who share the queue learn it anew together.
const BELIEVED: Duration = Duration::from_secs(8);
/// How long none is looked for when the last one turned out wrong, at first; each time it is twice as long, up to the other.
const DOUBT: Duration = Duration::from_secs(2);
const MAX_DOUBT: Duration = Duration::from_secs(60);

/// What is known of the depth of the queue.
#[derive(Debug)]
pub(super) struct Shallow {
    state: State,
    /// Until when none is looked for, and how long the next time.
    unsure_until: Option<Instant>,
    doubt: Duration,
    /// Suspicious rounds in a row.
    suspicions: u32,
    /// The longest and the shortest queue since the last round.
    longest: Duration,
    shortest: Duration,
}

/// ```text
/// Unknown --suspicious loss, a queue--> Supposed --loss goes--> Known --eight seconds--> Unknown
///    ^------------loss stays---------------/                      \--rate falls--> Unknown
/// ```
#[derive(Debug, Clone, Copy)]
enum State {
    Unknown,
    /// The queue is being shortened, to see whether the loss goes.
    Supposed {
        known: Known,
        /// What was lost above the usual.
        excess: f64,
        rounds: u32,
    },
    Known(Known),
}

#[derive(Debug, Clone, Copy)]
struct Known {
    depth: Duration,
    /// What the path carried then.
    carried: Rate,
    until: Instant,
    /// Since when others have seemed to keep the queue.
    low: Lasting,
    /// Since when the rate has been far below that.
    starved: Lasting,
}

/// What a round says about the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) outcome: Outcome,
    /// A queue has stood for the whole round.
    pub(super) stands: bool,
}

/// What its loss says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing: the loss is for other rules to judge.
    Nothing,
    /// It may have run over: the loss is not to be judged now.
    Watched,
    /// It has been shortened: a round starts anew when that shows.
    Shortened,
    /// It had run over: the loss is gone.
    RanOver,
}

/// A round and what surrounds it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) round: Round,
    /// The share that is lost whatever the rate.
    pub(super) usual: f64,
    /// What the path carries.
    pub(super) carried: Rate,
    /// The queueing delay that the rate alone aims at, whatever the depth.
    pub(super) curve: Duration,
}

impl Default for Shallow {
    fn default() -> Self {
        Self {
            state: State::Unknown,
            unsure_until: None,
            doubt: DOUBT,
            suspicions: 0,
            longest: Duration::ZERO,
            shortest: Duration::MAX,
        }
    }
}

impl Shallow {
    /// How long the queue is before it runs over, where that is known.
    pub(super) fn depth(&self) -> Option<Duration> {
        match &self.state {
            State::Unknown => None,
            State::Supposed { known, .. } | State::Known(known) => Some(known.depth),
        }
    }

    /// Takes a queueing delay at a rate that aims at `aim`.
    pub(super) fn on_report(
        &mut self,
        now: Instant,
        queueing: Duration,
        rate: Rate,
        aim: Duration,
    ) {
        self.longest = self.longest.max(queueing);
        self.shortest = self.shortest.min(queueing);
        let State::Known(known) = &mut self.state else {
            return;
        };
        let is_low = rate < known.carried.scaled(OURS) && queueing > aim.mul_f64(LONGER);
        if known.low.note(now, is_low) >= Some(STAYS) {
            self.give_up(now);
            return;
        }
        let starves = rate < known.carried.scaled(STARVED);
        let is_starved = known.starved.note(now, starves) >= Some(STARVES);
        if now >= known.until || is_starved {
            self.doubt = DOUBT;
            self.state = State::Unknown;
        }
    }

    /// Takes a round of loss.
    pub(super) fn on_round(&mut self, now: Instant, seen: &Seen) -> Look {
        let longest = std::mem::take(&mut self.longest);
        Look {
            outcome: self.look(now, seen, longest),
            stands: std::mem::replace(&mut self.shortest, Duration::MAX) > SHORTEST,
        }
    }

    fn look(&mut self, now: Instant, seen: &Seen, longest: Duration) -> Outcome {
        if let State::Supposed {
            known,
            excess,
            rounds,
        } = self.state
        {
            return self.judge(now, seen, longest, (known, excess, rounds));
        }
        let excess = seen.round.loss - seen.usual;
        let is_suspicious =
            self.is_full(now, longest, seen) && seen.round.loses_more(seen.usual, SUSPICIOUS);
        self.suspicions = if is_suspicious {
            self.suspicions + 1
        } else {
            0
        };
        match self.suspicions {
            0 => Outcome::Nothing,
            SUSPICIONS.. => {
                self.suspicions = 0;
                let known = Known {
                    depth: longest,
                    carried: seen.carried,
                    until: now + BELIEVED,
                    low: Lasting::default(),
                    starved: Lasting::default(),
                };
                self.state = State::Supposed {
                    known,
                    excess,
                    rounds: 0,
                };
                Outcome::Shortened
            }
            _ => Outcome::Watched,
        }
    }

    /// Whether a queue of this length may be one that has run over.
    fn is_full(&self, now: Instant, longest: Duration, seen: &Seen) -> bool {
        let is_unsure = self.unsure_until.is_some_and(|until| now < until);
        let full = match &self.state {
            State::Known(known) => known.depth.mul_f64(FULL),
            _ => Duration::ZERO,
        };
        let least = full.max(SHORTEST).max(seen.curve.mul_f64(FASTER));
        !is_unsure && longest > least && longest < seen.curve.mul_f64(OTHERS)
    }

    fn judge(
        &mut self,
        now: Instant,
        seen: &Seen,
        longest: Duration,
        (known, excess, rounds): (Known, f64, u32),
    ) -> Outcome {
        if seen.round.loss - seen.usual <= excess * (1.0 - EFFECT) {
            self.state = State::Known(known);
            return Outcome::RanOver;
        }
        if longest > known.depth.mul_f64(FULL) && rounds < PATIENCE {
            self.state = State::Supposed {
                known,
                excess,
                rounds: rounds + 1,
            };
            return Outcome::Watched;
        }
        self.give_up(now);
        Outcome::Nothing
    }

    fn give_up(&mut self, now: Instant) {
        self.state = State::Unknown;
        self.unsure_until = Some(now + self.doubt);
        self.doubt = (self.doubt * 2).min(MAX_DOUBT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPTH: Duration = Duration::from_millis(5);
    /// What 100 Mbit/s alone aim at.
    const CURVE: Duration = Duration::from_micros(6_500);

    /// One round of a thousand datagrams at 100 Mbit/s, with a queue of that length.
    fn round(shallow: &mut Shallow, now: Instant, queue: Duration, loss: f64) -> Outcome {
        shallow.on_report(now, queue, Rate::from_mbps(100), CURVE / 2);
        shallow.on_round(now, &seen(loss, CURVE)).outcome
    }

    fn seen(loss: f64, curve: Duration) -> Seen {
        Seen {
            round: Round {
                loss,
                datagrams: 1000.0,
                independent: 1000.0,
                goodput: Rate::from_mbps(100),
            },
            usual: 0.0,
            carried: Rate::from_mbps(100),
            curve,
        }
    }

    fn supposed(now: Instant) -> Shallow {
        let mut shallow = Shallow::default();
        assert_eq!(round(&mut shallow, now, DEPTH, 0.02), Outcome::Watched);
        assert_eq!(shallow.depth(), None, "one round may be chance");
        assert_eq!(round(&mut shallow, now, DEPTH, 0.02), Outcome::Shortened);
        assert_eq!(shallow.depth(), Some(DEPTH));
        shallow
    }

    fn known(now: Instant) -> Shallow {
        let mut shallow = supposed(now);
        assert_eq!(round(&mut shallow, now, DEPTH / 2, 0.0), Outcome::RanOver);
        shallow
    }

    #[test]
    fn a_queue_that_loses_nothing_once_it_is_shorter_had_run_over() {
        let now = Instant::now();
        let mut shallow = known(now);
        assert_eq!(shallow.depth(), Some(DEPTH));
        shallow.on_report(now + BELIEVED, DEPTH / 2, Rate::from_mbps(100), CURVE / 2);
        assert_eq!(shallow.depth(), None);
    }

    #[test]
    fn loss_that_stays_is_left_to_the_other_rules() {
        let now = Instant::now();
        let mut shallow = supposed(now);
        assert_eq!(round(&mut shallow, now, DEPTH / 2, 0.02), Outcome::Nothing);
        assert_eq!(shallow.depth(), None);
        assert_eq!(round(&mut shallow, now, DEPTH, 0.02), Outcome::Nothing);
        let later = now + DOUBT;
        assert_eq!(round(&mut shallow, later, DEPTH, 0.02), Outcome::Watched);
    }

    #[test]
    fn others_that_keep_the_queue_get_some_rounds_to_leave_it() {
        let now = Instant::now();
        let mut shallow = supposed(now);
        for _ in 0..PATIENCE {
            assert_eq!(round(&mut shallow, now, DEPTH, 0.02), Outcome::Watched);
        }
        assert_eq!(round(&mut shallow, now, DEPTH, 0.02), Outcome::Nothing);
    }

    #[test]
    fn a_rate_that_falls_while_the_queue_stays_gives_the_depth_up() {
        let now = Instant::now();
        let mut shallow = known(now);
        let slow = Rate::from_mbps(80);
        for (after, queue, depth) in [
            (Duration::ZERO, DEPTH / 2, Some(DEPTH)),
            (STAYS, DEPTH / 2, Some(DEPTH)),
            (STAYS, DEPTH, Some(DEPTH)),
            (STAYS * 2, DEPTH, None),
        ] {
            shallow.on_report(now + after, queue, slow, CURVE / 2);
            assert_eq!(shallow.depth(), depth, "{after:?} {queue:?}");
        }
    }

    #[test]
    fn a_sender_that_starves_on_what_it_knows_forgets_it() {
        let now = Instant::now();
        let mut shallow = known(now);
        let slow = Rate::from_mbps(40);
        shallow.on_report(now, DEPTH / 2, slow, CURVE / 2);
        assert_eq!(shallow.depth(), Some(DEPTH));
        shallow.on_report(now + STARVES, DEPTH / 2, slow, CURVE / 2);
        assert_eq!(shallow.depth(), None);
    }

    #[test]
    fn only_who_fills_a_queue_takes_it_for_one_that_runs_over() {
        for (queue, curve) in [
            (Duration::from_millis(1), CURVE),
            (Duration::from_millis(9), CURVE),
            (DEPTH, Duration::from_millis(30)),
        ] {
            let (mut shallow, now) = (Shallow::default(), Instant::now());
            shallow.on_report(now, queue, Rate::from_mbps(1), curve);
            let look = shallow.on_round(now, &seen(0.05, curve));
            assert_eq!(look.outcome, Outcome::Nothing, "{queue:?} {curve:?}");
        }
    }

    #[test]
    fn a_queue_stands_when_it_was_never_short_for_a_round() {
        let (mut shallow, now) = (Shallow::default(), Instant::now());
        shallow.on_report(now, DEPTH, Rate::from_mbps(100), CURVE);
        assert!(shallow.on_round(now, &seen(0.0, CURVE)).stands);
        shallow.on_report(now, Duration::ZERO, Rate::from_mbps(100), CURVE);
        shallow.on_report(now, DEPTH, Rate::from_mbps(100), CURVE);
        assert!(!shallow.on_round(now, &seen(0.0, CURVE)).stands);
    }
}
