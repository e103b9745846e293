//! What keeps a direction from going faster.

use fasp_core::Rate;
use serde::Serialize;

use super::{
    figures::{Figures, Settled},
    session::Way,
};

/// Part of what a sender is allowed that counts as all of it: headers and what is lost take the rest.
const NEARLY: f64 = 0.85;
/// Part of what a sender sends that arrives on a path that takes it; less means that a processor does not keep up.
const TAKEN: f64 = 0.7;
/// Processors in use from which one thread has no more to give.
const BUSY: f64 = 0.85;
/// Loss that a queue does not explain counts from here, 0 to 1.
const LOSSY: f64 = 0.005;
/// Queues shorter than this are none: the controller keeps one longer where the path has room, microseconds.
const NO_QUEUE_US: u64 = 3_000;
/// A rate that grows by this factor between two halves has not settled.
const RISING: f64 = 1.3;

/// What limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Limit {
    /// `-l`.
    TargetRate,
    /// The server, for this account.
    RateCap,
    /// The path's narrowest link, or the traffic on it.
    Network,
    /// Something that drops and does not queue.
    LossWithoutQueue,
    /// The processor here.
    ProcessorHere,
    /// The processor there.
    ProcessorThere,
    /// Nothing yet.
    StartUp,
}

impl Limit {
    pub(super) fn of(way: Way, figures: &Figures, settled: &Settled, wanted: Option<Rate>) -> Self {
        let reached = settled.rate_kbps as f64;
        let allowed = |kbps: Option<u64>| kbps.is_some_and(|kbps| reached >= kbps as f64 * NEARLY);
        if allowed(figures.cap_kbps)
            && wanted.is_none_or(|rate| figures.cap_kbps < Some(rate.kbps()))
        {
            return Self::RateCap;
        }
        if allowed(figures.target_kbps) {
            return Self::TargetRate;
        }
        if settled.processors >= BUSY {
            return Self::ProcessorHere;
        }
        let (before, after) = settled.halves_kbps;
        let taken = settled.sending_kbps as f64 * (1.0 - settled.loss) * TAKEN;
        // A sender at its cap whose data neither wait nor get lost is held by that, even if it took a busy machine a while.
        let at_cap = |kbps: u64| settled.sending_kbps as f64 >= kbps as f64 * NEARLY;
        let is_held = figures.cap_kbps.is_some_and(at_cap)
            && settled.loss < LOSSY
            && settled.queueing_us < NO_QUEUE_US;
        if is_held && after as f64 >= taken {
            return Self::RateCap;
        }
        if reached == 0.0 || after as f64 > before as f64 * RISING {
            return Self::StartUp;
        }
        if settled.loss >= LOSSY && settled.queueing_us < NO_QUEUE_US {
            return Self::LossWithoutQueue;
        }
        match way {
            _ if reached >= taken => Self::Network,
            Way::Up => Self::ProcessorHere,
            Way::Down => Self::ProcessorThere,
        }
    }

    /// Returns one sentence for people, without a full stop.
    pub(super) fn sentence(self, way: Way) -> &'static str {
        match (self, way) {
            (Self::TargetRate, _) => "the target rate limits: nothing else was in the way",
            (Self::RateCap, _) => "the server's rate cap for this account limits",
            (Self::Network, _) => "the network limits: its narrowest link, or what else is on it",
            (Self::LossWithoutQueue, Way::Up) => {
                "loss without a queue limits: a policer, a radio link, or a server that cannot take more"
            }
            (Self::LossWithoutQueue, Way::Down) => {
                "loss without a queue limits: a policer or a radio link"
            }
            (Self::ProcessorHere, _) => "this machine's processor limits",
            (Self::ProcessorThere, _) => "the server's processor limits",
            (Self::StartUp, _) => {
                "nothing limited yet, the rate was still rising: measure longer with --seconds"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A direction at 95 Mbit/s of 100 with a queue.
    fn usual() -> (Figures, Settled) {
        let settled = Settled {
            rate_kbps: 95_000,
            halves_kbps: (95_000, 95_000),
            sending_kbps: 100_000,
            loss: 0.0,
            queueing_us: 8_000,
            processors: 0.1,
        };
        (Figures::default(), settled)
    }

    #[test]
    fn the_lower_of_target_and_cap_is_named() {
        let (mut figures, settled) = usual();
        figures.cap_kbps = Some(100_000);
        assert_eq!(Limit::of(Way::Up, &figures, &settled, None), Limit::RateCap);
        // The server answers a wish above its cap with the cap.
        figures.target_kbps = Some(100_000);
        let wish = Some(Rate::from_mbps(500));
        assert_eq!(Limit::of(Way::Up, &figures, &settled, wish), Limit::RateCap);
        let wish = Some(Rate::from_mbps(100));
        assert_eq!(
            Limit::of(Way::Up, &figures, &settled, wish),
            Limit::TargetRate
        );
    }

    #[test]
    fn a_cap_that_is_sent_at_and_not_quite_reached_limits_unless_a_queue_does() {
        let (mut figures, mut settled) = usual();
        figures.cap_kbps = Some(100_000);
        settled.rate_kbps = 75_000;
        settled.halves_kbps = (60_000, 90_000);
        assert_eq!(Limit::of(Way::Up, &figures, &settled, None), Limit::StartUp);
        settled.queueing_us = 40;
        assert_eq!(Limit::of(Way::Up, &figures, &settled, None), Limit::RateCap);
    }

    #[test]
    fn queue_loss_and_processors_are_told_apart() {
        let limit = |way, change: fn(&mut Settled)| {
            let (figures, mut settled) = usual();
            change(&mut settled);
            Limit::of(way, &figures, &settled, None)
        };
        assert_eq!(limit(Way::Up, |_| {}), Limit::Network);
        let lossy = |settled: &mut Settled| settled.loss = 0.01;
        assert_eq!(limit(Way::Up, lossy), Limit::Network);
        let policed = |settled: &mut Settled| {
            settled.loss = 0.01;
            settled.queueing_us = 100;
        };
        assert_eq!(limit(Way::Down, policed), Limit::LossWithoutQueue);
        let busy = |settled: &mut Settled| settled.processors = 1.2;
        assert_eq!(limit(Way::Down, busy), Limit::ProcessorHere);
        let slow = |settled: &mut Settled| settled.sending_kbps = 400_000;
        assert_eq!(limit(Way::Up, slow), Limit::ProcessorHere);
        assert_eq!(limit(Way::Down, slow), Limit::ProcessorThere);
        let rising = |settled: &mut Settled| settled.halves_kbps = (60_000, 95_000);
        assert_eq!(limit(Way::Up, rising), Limit::StartUp);
        let silent = |settled: &mut Settled| *settled = Settled::default();
        assert_eq!(limit(Way::Up, silent), Limit::StartUp);
    }
}
