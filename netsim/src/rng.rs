//! The seeded generator behind every random decision.

/// A small generator: one seed, one run.
///
/// Each link of a network has its own, so that traffic on one link does not change what
/// happens on another.
#[derive(Debug, Clone)]
pub struct Rng(fastrand::Rng);

impl Rng {
    /// Returns a generator that always yields the same numbers for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// Returns an independent generator for part number `part` of a simulation.
    pub(crate) fn for_part(seed: u64, part: u64) -> Self {
        // The multiplier spreads neighbouring part numbers; drawing once more breaks up patterns
        // between the seeds 1, 2, 3 that people choose.
        let mut mixer = fastrand::Rng::with_seed(seed ^ part.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        Self::new(mixer.u64(..))
    }

    /// Returns true with this probability; below 0 and not a number are never, above 1 is always.
    #[inline]
    pub fn chance(&mut self, probability: f64) -> bool {
        // Drawing nothing for "never" keeps the common case cheap.
        probability > 0.0 && self.0.f64() < probability
    }

    /// Returns a number from 0 up to and including `max`.
    #[inline]
    pub fn up_to(&mut self, max: u64) -> u64 {
        self.0.u64(0..=max)
    }

    /// Returns an index below `len`, or 0 when `len` is 0.
    #[inline]
    pub fn index(&mut self, len: usize) -> usize {
        self.0.usize(0..len.max(1))
    }

    /// Returns a number from 0 up to but not including 1.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        self.0.f64()
    }

    /// Returns a random byte.
    #[inline]
    pub fn byte(&mut self) -> u8 {
        self.0.u8(..)
    }
}
