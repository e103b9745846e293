//! What one link does to packets.

use std::time::Duration;

/// One direction of a path.
///
/// A packet meets the parts in this order: [`mtu`](Self::mtu), [`policer`](Self::policer),
/// [`queue`](Self::queue), serialiser ([`rate`](Self::rate)), black holes, [`loss`](Self::loss),
/// [`corrupt`](Self::corrupt), [`duplicate`](Self::duplicate), then [`delay`](Self::delay) with jitter and
/// reordering. Wherever a field counts bytes it counts the payload plus [`overhead`](Self::overhead).
///
/// The default is an ideal link: nothing is lost, and everything arrives at the moment it is sent.
/// Probabilities run from 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkConfig {
    /// Bits per second of the serialiser; `None` is infinitely fast. 0 is taken as 1.
    pub rate: Option<u64>,
    /// One-way delay after the serialiser.
    pub delay: Duration,
    /// Random delay on top.
    pub jitter: Jitter,
    /// Whether packets may overtake each other because of jitter or a shorter delay.
    pub order: ArrivalOrder,
    /// Bytes that may wait for the serialiser. The packet being serialised no longer waits, so even 0 lets
    /// one packet at a time through. A packet that does not fit is dropped (drop-tail).
    pub queue: usize,
    /// Loss after the serialiser: a lost packet has used capacity.
    pub loss: Loss,
    /// Probability that a packet arrives twice.
    pub duplicate: f64,
    /// Packets held back so that later ones overtake them.
    pub reorder: Option<Reorder>,
    /// Probability that a packet arrives damaged.
    pub corrupt: f64,
    /// A token bucket in front of the queue.
    pub policer: Option<Policer>,
    /// Largest packet in bytes; larger ones vanish silently.
    pub mtu: usize,
    /// Times when everything that leaves the serialiser vanishes.
    pub black_holes: Vec<BlackHole>,
    /// A link that goes up and down regularly.
    pub flapping: Option<Flapping>,
    /// Bytes of headers per packet; 28 is IPv4 and UDP.
    pub overhead: usize,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            rate: None,
            delay: Duration::ZERO,
            jitter: Jitter::None,
            order: ArrivalOrder::Kept,
            queue: usize::MAX,
            loss: Loss::None,
            duplicate: 0.0,
            reorder: None,
            corrupt: 0.0,
            policer: None,
            mtu: usize::MAX,
            black_holes: Vec::new(),
            flapping: None,
            overhead: 0,
        }
    }
}

/// Random delay added to each packet; never negative.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Jitter {
    /// Every packet takes the same time.
    None,
    /// Independent for each packet, evenly spread from nothing to `max`.
    ///
    /// When order is kept and packets follow each other much faster than `max`, each one waits for the slowest
    /// before it, so the delay settles near `max`: use [`Jitter::Wander`] there.
    Uniform {
        /// Longest extra delay.
        max: Duration,
    },
    /// Independent for each packet, exponentially distributed, with a long tail cut at `max`.
    Exponential {
        /// Mean before the cut.
        mean: Duration,
        /// Longest extra delay.
        max: Duration,
    },
    /// A delay that drifts: a new level between nothing and `max` every so often, a straight line in
    /// between, as on radio links where neighbouring packets share their fate.
    Wander {
        /// Longest extra delay.
        max: Duration,
        /// Time from one level to the next; 0 is taken as 1 ns.
        every: Duration,
    },
}

/// Whether packets leave a link in the order they entered it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArrivalOrder {
    /// A packet never arrives before one that was sent earlier, except past those that
    /// [`LinkConfig::reorder`] holds back.
    Kept,
    /// Each packet arrives when its own delay is over.
    Free,
}

/// Random loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    /// Nothing is lost.
    None,
    /// Each packet is lost with this probability, independently.
    Bernoulli(f64),
    /// Losses come in runs of consecutive packets (a Gilbert model whose bad state loses everything).
    Burst {
        /// Share of packets lost in the long run.
        probability: f64,
        /// Mean length of a run in packets; below 1 is taken as 1. Shares above
        /// `mean_burst / (mean_burst + 1)` cannot be reached with runs this short and are capped there, but a
        /// share of 1 loses everything.
        mean_burst: f64,
    },
}

/// Packets held back so that later ones overtake them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reorder {
    /// Probability that a packet is held back.
    pub probability: f64,
    /// It is held for up to this long, evenly spread.
    pub extra_delay: Duration,
}

/// A token bucket that drops what exceeds it and delays nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policer {
    /// Bits per second that flow into the bucket.
    pub rate: u64,
    /// Bytes the bucket holds; it starts full.
    pub burst: usize,
}

/// A time when everything vanishes, counted from the epoch of the simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlackHole {
    /// First moment of the outage.
    pub start: Duration,
    /// First moment after it.
    pub end: Duration,
}

/// A link that passes packets for `up`, loses them for `down`, and starts over, beginning at the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flapping {
    /// How long the link works.
    pub up: Duration,
    /// How long everything vanishes.
    pub down: Duration,
}
