//! Random delay.

use crate::clock::nanos;
use crate::{Jitter, Rng};

/// The jitter process of one link; times in nanoseconds.
#[derive(Debug, Clone)]
pub(crate) enum JitterProcess {
    None,
    Uniform {
        max: u64,
    },
    Exponential {
        mean: f64,
        max: u64,
    },
    Wander {
        max: u64,
        every: u64,
        leg: Option<Leg>,
    },
}

/// One straight stretch of a wandering delay.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leg {
    number: u64,
    from: u64,
    to: u64,
}

impl JitterProcess {
    pub(crate) fn new(jitter: Jitter) -> Self {
        match jitter {
            Jitter::None => Self::None,
            Jitter::Uniform { max } => Self::Uniform { max: nanos(max) },
            Jitter::Exponential { mean, max } => Self::Exponential {
                mean: nanos(mean) as f64,
                max: nanos(max),
            },
            Jitter::Wander { max, every } => Self::Wander {
                max: nanos(max),
                every: nanos(every).max(1),
                leg: None,
            },
        }
    }

    /// Returns the extra delay of a packet that leaves the serialiser at `at`.
    #[inline]
    pub(crate) fn next(&mut self, at: u64, rng: &mut Rng) -> u64 {
        match self {
            Self::None => 0,
            Self::Uniform { max } => rng.up_to(*max),
            // The cast saturates, and 1 - unit() is never 0.
            Self::Exponential { mean, max } => {
                ((-*mean * (1.0 - rng.unit()).ln()) as u64).min(*max)
            }
            Self::Wander { max, every, leg } => {
                let current = Leg::at(*leg, at / *every, *max, rng);
                *leg = Some(current);
                current.level((at % *every) as f64 / *every as f64)
            }
        }
    }
}

impl Leg {
    fn at(last: Option<Self>, number: u64, max: u64, rng: &mut Rng) -> Self {
        match last {
            Some(leg) if number <= leg.number => leg,
            Some(leg) if number - leg.number == 1 => Self {
                number,
                from: leg.to,
                to: rng.up_to(max),
            },
            // After a silence nobody saw the legs in between.
            _ => Self {
                number,
                from: rng.up_to(max),
                to: rng.up_to(max),
            },
        }
    }

    fn level(self, progress: f64) -> u64 {
        let (from, to) = (self.from as f64, self.to as f64);
        (from + (to - from) * progress) as u64
    }
}
