//! Delays that wander by themselves, as on radio links: told from queues by how they move.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::windowed_min::WindowedMin;
use crate::Rate;

/// A queueing delay below this is a low …
const LOW: Duration = Duration::from_micros(3_250);
/// … and above this a high. A rise from one to the other counts unless our own rate explains it.
const HIGH: Duration = Duration::from_millis(8);
/// The same as a share of what is aimed at, if that is more.
const ABOVE_AIM: f64 = 1.25;
/// So many rises within [`MEMORY`] make a delay wander for as long again. A newcomer makes two or three in a second.
const RISES: usize = 3;
const MEMORY: Duration = Duration::from_secs(4);
/// What a sender at the rate that the path carries may be wrong about it.
const DOUBT: f64 = 0.05;
/// The queue of a path that wanders is the least of so long.
pub(super) const CALM: Duration = Duration::from_secs(1);
/// From this share of the rate at which a queue was seen beyond what wanders, the path is nearly full.
const NEAR_FULL: f64 = 0.93;
/// How long that is remembered.
const FORGOTTEN: Duration = Duration::from_secs(10);
/// Weight of a new sample of that rate.
const WEIGHT: f64 = 0.05;

/// Watches the queueing delay.
///
/// A queue of our own grows no faster than the rate is above what the path carries, and one that others keep full does not
/// come down to nothing and back several times in a few seconds, while nothing is lost.
#[derive(Debug, Default)]
pub(super) struct Wander {
    /// The last low: when it was, and how long the delay was.
    low: Option<(Instant, Duration)>,
    /// The most that was sent since then, of what the path carries.
    fastest: f64,
    rises: VecDeque<Instant>,
    /// Until when a rise is that of a queue which all have drained together.
    drained_until: Option<Instant>,
    until: Option<Instant>,
    /// What the path carried while a queue was seen beyond what wanders, and when.
    full: Option<(Rate, Instant)>,
    /// The delays of the last second.
    recent: WindowedMin<Duration>,
}

impl Wander {
    /// Takes a queueing delay; `used` is what was sent of what the path carries.
    pub(super) fn on_sample(&mut self, now: Instant, delay: Duration, aim: Duration, used: f64) {
        self.recent.push(now, delay);
        self.recent.shrink(now, CALM);
        if self.drained_until.is_some_and(|until| now < until) {
            self.low = None;
            return;
        }
        self.fastest = self.fastest.max(used);
        if delay <= LOW {
            self.low = Some((now, delay));
            self.fastest = used;
        } else if delay >= HIGH.max(aim.mul_f64(ABOVE_AIM))
            && let Some((at, low)) = self.low.take()
        {
            let growth = (self.fastest - 1.0 + DOUBT).max(0.0);
            let own = now.saturating_duration_since(at).mul_f64(growth);
            if delay.saturating_sub(low) > own * 2 {
                self.on_rise(now);
            }
        }
    }

    /// All who share the queue drain it now: it comes and goes once, until then.
    pub(super) fn on_common_drain(&mut self, until: Instant) {
        self.drained_until = Some(until);
    }

    fn on_rise(&mut self, now: Instant) {
        self.rises.push_back(now);
        self.rises.retain(|at| *at + MEMORY >= now);
        if self.rises.len() >= RISES {
            self.until = Some(now + MEMORY);
        }
    }

    /// A queue longer than what wanders: `carried` is what the path carries.
    pub(super) fn on_full(&mut self, now: Instant, carried: Rate) {
        let mean = match self.full {
            Some((mean, at)) if at + FORGOTTEN > now => Rate::from_bits_per_second(
                carried.scaled(WEIGHT).bits_per_second()
                    + mean.scaled(1.0 - WEIGHT).bits_per_second(),
            ),
            _ => carried,
        };
        self.full = Some((mean, now));
    }

    /// Whether a rate is near what the path was seen to carry at most.
    pub(super) fn is_near_full(&self, now: Instant, rate: Rate) -> bool {
        self.full
            .is_some_and(|(full, at)| at + FORGOTTEN > now && rate >= full.scaled(NEAR_FULL))
    }

    /// Something was lost that chance does not explain: a queue runs over.
    pub(super) fn on_loss(&mut self) {
        self.rises.clear();
        self.until = None;
    }

    /// The least delay of the last second, if delays wander now.
    pub(super) fn calm(&self, now: Instant) -> Option<Duration> {
        self.until.filter(|until| now < *until)?;
        self.recent.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AIM: Duration = Duration::from_micros(6_500);

    /// Feeds a delay that goes from nothing to 12 ms and back every half second for so many seconds, evenly.
    fn feed(wander: &mut Wander, epoch: Instant, seconds: u64, used: f64) -> Instant {
        let mut now = epoch;
        for ms in (0..seconds * 1000).step_by(5) {
            now = epoch + Duration::from_millis(ms);
            let phase = ms % 500;
            let delay = Duration::from_micros(48 * phase.min(500 - phase));
            wander.on_sample(now, delay, AIM, used);
        }
        now
    }

    #[test]
    fn a_delay_that_comes_and_goes_at_a_rate_below_the_paths_wanders() {
        let mut wander = Wander::default();
        let now = feed(&mut wander, Instant::now(), 3, 0.8);
        assert_eq!(wander.calm(now), Some(Duration::ZERO));
        assert_eq!(wander.calm(now + MEMORY), None);
    }

    #[test]
    fn rises_while_all_drain_together_do_not_count() {
        let mut wander = Wander::default();
        let epoch = Instant::now();
        wander.on_common_drain(epoch + Duration::from_millis(1_600));
        let now = feed(&mut wander, epoch, 3, 0.8);
        assert_eq!(wander.calm(now), None, "three of the six are left out");
        let now = feed(&mut wander, epoch + Duration::from_secs(3), 3, 0.8);
        assert!(wander.calm(now).is_some());
    }

    #[test]
    fn growth_that_our_own_rate_explains_is_a_queue() {
        let mut wander = Wander::default();
        let now = feed(&mut wander, Instant::now(), 3, 1.1);
        assert_eq!(wander.calm(now), None);
    }

    #[test]
    fn a_single_rise_or_a_loss_means_a_queue() {
        let mut wander = Wander::default();
        let epoch = Instant::now();
        let now = feed(&mut wander, epoch, 1, 0.8);
        assert_eq!(wander.calm(now), None);
        let now = feed(&mut wander, epoch, 3, 0.8);
        wander.on_loss();
        assert_eq!(wander.calm(now), None);
    }
}
