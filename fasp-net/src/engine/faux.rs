//! The content of synthetic files: any part of it can be made at any time, so that what was lost is sent again as it was.

use transfer_spec::FauxContent;

/// What is in one synthetic file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content {
    /// Zeros.
    Zero,
    /// Bytes that do not compress, others for each seed.
    Random(u64),
}

impl Content {
    pub(super) fn new(content: FauxContent, seed: u64) -> Self {
        match content {
            FauxContent::Zero => Self::Zero,
            FauxContent::Random => Self::Random(seed),
        }
    }

    /// Writes what stands at `offset`.
    pub(super) fn fill(self, offset: u64, room: &mut [u8]) {
        let Self::Random(seed) = self else {
            return room.fill(0);
        };
        let mut word = offset / 8;
        let head = (word.wrapping_mul(8).wrapping_add(8) - offset) as usize % 8;
        let (head, rest) = room.split_at_mut(head.min(room.len()));
        if !head.is_empty() {
            let skip = (offset % 8) as usize;
            head.copy_from_slice(&at(seed, word)[skip..skip + head.len()]);
            word += 1;
        }
        for chunk in rest.chunks_mut(8) {
            chunk.copy_from_slice(&at(seed, word)[..chunk.len()]);
            word += 1;
        }
    }
}

/// Eight bytes of the stream: the output function of `SplitMix64` over their place.
fn at(seed: u64, word: u64) -> [u8; 8] {
    let mut z = seed.wrapping_add(word.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_is_the_same_whenever_it_is_made() {
        let content = Content::new(FauxContent::Random, 7);
        let mut whole = [0; 100];
        content.fill(0, &mut whole);
        assert!(whole.windows(8).all(|w| w != [0; 8]));
        for start in 0..40 {
            for length in 0..40 {
                let mut part = vec![0; length];
                content.fill(start as u64, &mut part);
                assert_eq!(part, whole[start..start + length], "{start} {length}");
            }
        }
        Content::Zero.fill(3, &mut whole);
        assert_eq!(whole, [0; 100]);
    }
}
