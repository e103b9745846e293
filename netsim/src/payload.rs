//! What a link carries.

use crate::Rng;

/// Something a link can carry, damage and copy.
pub trait Payload {
    /// Returns the payload's size in bytes, without the headers a link adds
    /// ([`LinkConfig::overhead`](crate::LinkConfig::overhead)).
    fn size(&self) -> usize;

    /// Damages the payload as a faulty path would. The result differs from what was sent.
    fn corrupt(&mut self, rng: &mut Rng);

    /// Returns a copy, for a path that delivers a packet twice.
    #[must_use]
    fn duplicate(&self) -> Self;
}

/// Most bits that one corruption flips; an odd count cannot undo itself.
const MAX_FLIPS: u64 = 7;
/// Most bytes that one corruption appends.
const MAX_EXTENSION: u64 = 64;

impl Payload for Vec<u8> {
    fn size(&self) -> usize {
        self.len()
    }

    /// Flips bits, cuts the end off or appends bytes; an empty payload always grows.
    fn corrupt(&mut self, rng: &mut Rng) {
        match rng.up_to(3) {
            2 if !self.is_empty() => self.truncate(rng.index(self.len())),
            0 | 1 if !self.is_empty() => {
                for _ in 0..=rng.up_to(MAX_FLIPS / 2) * 2 {
                    let at = rng.index(self.len());
                    self[at] ^= 1 << rng.up_to(7);
                }
            }
            _ => {
                for _ in 0..=rng.up_to(MAX_EXTENSION - 1) {
                    self.push(rng.byte());
                }
            }
        }
    }

    fn duplicate(&self) -> Self {
        self.clone()
    }
}

/// A payload that has a size and a number but no bytes, for models that only count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SizeOnly {
    /// Size in bytes.
    pub size: usize,
    /// The sender's number for it; no link looks at it.
    pub number: u64,
    /// True once a link has damaged it.
    pub is_corrupt: bool,
}

impl SizeOnly {
    /// Returns an undamaged payload.
    pub const fn new(size: usize, number: u64) -> Self {
        Self {
            size,
            number,
            is_corrupt: false,
        }
    }
}

impl Payload for SizeOnly {
    fn size(&self) -> usize {
        self.size
    }

    fn corrupt(&mut self, _: &mut Rng) {
        self.is_corrupt = true;
    }

    fn duplicate(&self) -> Self {
        *self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corruption_always_changes_the_bytes() {
        for seed in 0..2_000 {
            let mut rng = Rng::new(seed);
            let original = vec![0xA5; rng.index(40)];
            let mut damaged = original.clone();
            damaged.corrupt(&mut rng);
            assert_ne!(original, damaged, "seed {seed}");
        }
    }

    #[test]
    fn corruption_flips_truncates_and_extends() {
        let (mut same, mut shorter, mut longer) = (0, 0, 0);
        for seed in 0..400 {
            let mut bytes = vec![0; 100];
            bytes.corrupt(&mut Rng::new(seed));
            match bytes.len() {
                100 => same += 1,
                0..100 => shorter += 1,
                _ => longer += 1,
            }
        }
        assert!(
            same > 100 && shorter > 50 && longer > 50,
            "{same} {shorter} {longer}"
        );
    }
}
