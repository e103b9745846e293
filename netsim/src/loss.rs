//! Random loss: independent or in runs.

use crate::{Loss, Rng};

/// The loss process of one link.
#[derive(Debug, Clone)]
pub(crate) enum LossProcess {
    Never,
    Independent(f64),
    Runs {
        state: RunState,
        /// Probability that a packet after a delivered one starts a run.
        start: f64,
        /// Probability that a run ends before the next packet.
        end: f64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunState {
    Passing,
    Losing,
}

impl LossProcess {
    pub(crate) fn new(loss: Loss) -> Self {
        match loss {
            Loss::None => Self::Never,
            Loss::Bernoulli(probability) => Self::Independent(probability),
            Loss::Burst { probability, .. } if probability >= 1.0 => Self::Independent(1.0),
            Loss::Burst {
                probability,
                mean_burst,
            } => {
                let end = 1.0 / mean_burst.max(1.0);
                // In balance as many runs start as end: (1 - p) * start = p * end.
                let start = (probability * end / (1.0 - probability)).min(1.0);
                Self::Runs {
                    state: RunState::Passing,
                    start,
                    end,
                }
            }
        }
    }

    /// Decides the fate of the next packet.
    #[inline]
    pub(crate) fn takes_next(&mut self, rng: &mut Rng) -> bool {
        match self {
            Self::Never => false,
            Self::Independent(probability) => rng.chance(*probability),
            Self::Runs { state, start, end } => {
                *state = match *state {
                    RunState::Passing if rng.chance(*start) => RunState::Losing,
                    RunState::Losing if rng.chance(*end) => RunState::Passing,
                    unchanged => unchanged,
                };
                *state == RunState::Losing
            }
        }
    }
}
