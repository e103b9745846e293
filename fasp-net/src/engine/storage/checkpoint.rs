//! The record that lies beside a partial file and says how much of it can be continued (protocol §14.1).

use std::ops::Range;

use fasp_core::{Attributes, FileDigest, MAX_HELD_RANGES, RangeSet};

/// What every checkpoint of this version begins with.
const MAGIC: &[u8; 8] = b"\xfdFckp\r\n\x01";
/// Bytes before the ranges, and of each range.
const HEAD: usize = 8 + 8 + 8 + 8 + 4 + 4;
const RANGE: usize = 16;
const CRC: usize = 8;
/// The longest checkpoint, in bytes.
pub(super) const MAX_CHECKPOINT: u64 = (HEAD + RANGE * MAX_HELD_RANGES + CRC) as u64;

/// Which version of which source the bytes of a partial are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SourceVersion {
    /// Bytes of the whole file.
    pub(crate) size: u64,
    pub(crate) mtime: i64,
    pub(crate) mtime_nanos: u32,
}

impl SourceVersion {
    /// The version that was listed with these attributes.
    pub(crate) fn listed(attributes: Attributes, size: u64) -> Self {
        Self {
            size,
            mtime: attributes.mtime,
            mtime_nanos: attributes.mtime_nanos,
        }
    }
}

/// What a checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// The inode of the partial file.
    pub(crate) inode: u64,
    pub(crate) source: SourceVersion,
    /// Bytes of the file that are durable.
    pub(crate) held: RangeSet,
}

impl Checkpoint {
    /// Writes it down: of more ranges than a checkpoint has room for, the longest.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut ranges: Vec<&Range<u64>> = self.held.ranges().iter().collect();
        if ranges.len() > MAX_HELD_RANGES {
            ranges.sort_unstable_by_key(|range| std::cmp::Reverse(range.end - range.start));
            ranges.truncate(MAX_HELD_RANGES);
            ranges.sort_unstable_by_key(|range| range.start);
        }
        let mut out = Vec::with_capacity(HEAD + RANGE * ranges.len() + CRC);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.inode.to_be_bytes());
        out.extend_from_slice(&self.source.size.to_be_bytes());
        out.extend_from_slice(&self.source.mtime.to_be_bytes());
        out.extend_from_slice(&self.source.mtime_nanos.to_be_bytes());
        out.extend_from_slice(&(ranges.len() as u32).to_be_bytes());
        for range in ranges {
            out.extend_from_slice(&range.start.to_be_bytes());
            out.extend_from_slice(&range.end.to_be_bytes());
        }
        let crc = crc(&out);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }

    /// Reads one; nothing for anything that is not whole in every detail (D-4).
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_last_chunk::<CRC>()?;
        let mut rest = body.strip_prefix(MAGIC)?;
        let inode = u64::from_be_bytes(take(&mut rest)?);
        let source = SourceVersion {
            size: u64::from_be_bytes(take(&mut rest)?),
            mtime: i64::from_be_bytes(take(&mut rest)?),
            mtime_nanos: u32::from_be_bytes(take(&mut rest)?),
        };
        let count = u32::from_be_bytes(take(&mut rest)?) as usize;
        let is_whole = rest.len() == count.checked_mul(RANGE)?
            && count <= MAX_HELD_RANGES
            && source.mtime_nanos < 1_000_000_000
            && crc(body) == u64::from_be_bytes(*sum);
        if !is_whole {
            return None;
        }
        let mut held = RangeSet::new();
        let mut end = None;
        for _ in 0..count {
            let range = u64::from_be_bytes(take(&mut rest)?)..u64::from_be_bytes(take(&mut rest)?);
            // Ascending and not adjacent.
            if range.is_empty() || end.is_some_and(|end| range.start <= end) {
                return None;
            }
            end = Some(range.end);
            held.insert(range);
        }
        (end.unwrap_or(0) <= source.size).then_some(Self {
            inode,
            source,
            held,
        })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}

fn crc(bytes: &[u8]) -> u64 {
    let mut digest = FileDigest::new(bytes.len() as u64);
    digest.add(0, bytes);
    digest.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(ranges: impl IntoIterator<Item = Range<u64>>) -> Checkpoint {
        let mut held = RangeSet::new();
        for range in ranges {
            held.insert(range);
        }
        Checkpoint {
            inode: 77,
            source: SourceVersion {
                size: 1 << 40,
                mtime: -5,
                mtime_nanos: 999_999_999,
            },
            held,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for checkpoint in [sample([]), sample([0..1]), sample([0..10, 20..1 << 40])] {
            assert_eq!(Checkpoint::decode(&checkpoint.encode()), Some(checkpoint));
        }
    }

    #[test]
    fn d4_a_checkpoint_that_was_touched_anywhere_is_refused() {
        let bytes = sample([0..10, 20..30]).encode();
        for bit in 0..bytes.len() * 8 {
            let mut touched = bytes.clone();
            touched[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Checkpoint::decode(&touched), None, "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert_eq!(Checkpoint::decode(&bytes[..length]), None, "{length}");
        }
        assert_eq!(Checkpoint::decode(&[bytes, vec![0]].concat()), None);
    }

    #[test]
    fn d4_ranges_that_cannot_be_are_refused_although_the_sum_is_right() {
        for ranges in [
            &[(5u64, 5u64)][..],
            &[(6, 5)],
            &[(0, (1 << 40) + 1)],
            &[(0, 5), (5, 6)],
            &[(0, 5), (3, 9)],
            &[(10, 20), (0, 5)],
            &[(0, u64::MAX)],
        ] {
            let mut bytes = sample([]).encode();
            bytes.truncate(HEAD - 4);
            bytes.extend_from_slice(&(ranges.len() as u32).to_be_bytes());
            for (start, end) in ranges {
                bytes.extend_from_slice(&start.to_be_bytes());
                bytes.extend_from_slice(&end.to_be_bytes());
            }
            let sum = crc(&bytes);
            bytes.extend_from_slice(&sum.to_be_bytes());
            assert_eq!(Checkpoint::decode(&bytes), None, "{ranges:?}");
        }
    }

    #[test]
    fn of_too_many_ranges_the_longest_are_kept() {
        let count = MAX_HELD_RANGES as u64 + 10;
        let checkpoint = sample((0..count).map(|n| n * 100..n * 100 + 1 + n % 90));
        let bytes = checkpoint.encode();
        assert_eq!(bytes.len() as u64, MAX_CHECKPOINT);
        let read = Checkpoint::decode(&bytes).unwrap();
        assert_eq!(read.held.len(), MAX_HELD_RANGES);
        for range in read.held.ranges() {
            assert!(checkpoint.held.covers(range));
        }
        assert!(read.held.covers(&(8900..8990)), "the longest");
    }
}
