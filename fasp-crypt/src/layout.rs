//! Where things are in an envelope: pure arithmetic, checked once, then without surprises.

use std::ops::Range;

use crate::error::{Error, Limit, Result};
use crate::header::HEADER_LEN;

/// Bytes of the tag behind each chunk.
pub const TAG_LEN: usize = 16;
/// The most plain bytes in one envelope.
pub const MAX_PLAIN_LEN: u64 = 1 << 48;
/// The most chunks in one envelope.
pub const MAX_CHUNKS: u64 = 1 << 32;

/// How many plain bytes a full chunk holds: a power of two from 64 KiB to 32 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkSize(u8);

impl ChunkSize {
    /// 64 KiB, the smallest.
    pub const MIN: Self = Self(16);
    /// 1 MiB: for large files and for lengths that are not known yet.
    pub const DEFAULT: Self = Self(20);
    /// 32 MiB: below that a file is a single chunk, and its envelope exactly 120 bytes longer.
    pub const MAX: Self = Self(25);

    /// Takes the power of two.
    ///
    /// # Errors
    /// [`Limit::ChunkSize`] outside 16 to 25.
    pub const fn from_log2(log2: u8) -> Result<Self> {
        if log2 < Self::MIN.0 || log2 > Self::MAX.0 {
            return Err(Error::LimitExceeded(Limit::ChunkSize(log2)));
        }
        Ok(Self(log2))
    }

    /// Returns the size a writer uses for a file of so many bytes, or of a length it does not know.
    pub const fn for_plain_len(plain_len: Option<u64>) -> Self {
        match plain_len {
            Some(len) if len < Self::MAX.plain_len() => Self::MAX,
            _ => Self::DEFAULT,
        }
    }

    /// Returns the power of two.
    pub const fn log2(self) -> u8 {
        self.0
    }

    /// Returns the plain bytes of a full chunk.
    pub const fn plain_len(self) -> u64 {
        1 << self.0
    }

    /// Returns the bytes a full chunk occupies, its tag included.
    pub const fn sealed_len(self) -> u64 {
        self.plain_len() + TAG_LEN as u64
    }
}

/// The layout of one envelope, from its chunk size and one of its two lengths.
///
/// There is exactly one length of an envelope for each length of a file and chunk size, because the last chunk is never full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    chunk: ChunkSize,
    plain_len: u64,
}

impl Layout {
    /// Lays out an envelope for `plain_len` bytes.
    ///
    /// # Errors
    /// [`Limit::Length`] above [`MAX_PLAIN_LEN`] or [`MAX_CHUNKS`].
    pub const fn for_plain(chunk: ChunkSize, plain_len: u64) -> Result<Self> {
        let layout = Self { chunk, plain_len };
        if plain_len > MAX_PLAIN_LEN || layout.chunk_count() > MAX_CHUNKS {
            return Err(Error::LimitExceeded(Limit::Length));
        }
        Ok(layout)
    }

    /// Finds the layout of an envelope of `envelope_len` bytes.
    ///
    /// # Errors
    /// [`Error::Truncated`] for a length no envelope of this chunk size has, [`Limit::Length`].
    pub const fn for_envelope(chunk: ChunkSize, envelope_len: u64) -> Result<Self> {
        let tag = TAG_LEN as u64;
        let Some(body) = envelope_len.checked_sub(HEADER_LEN as u64) else {
            return Err(Error::Truncated);
        };
        let full = body / chunk.sealed_len();
        let last = body % chunk.sealed_len();
        if last < tag {
            return Err(Error::Truncated);
        }
        // Full chunks take more room than their plain bytes, so this is less than `body`.
        Self::for_plain(chunk, full * chunk.plain_len() + (last - tag))
    }

    /// Returns the chunk size.
    pub const fn chunk_size(&self) -> ChunkSize {
        self.chunk
    }

    /// Returns the length of the file, in bytes.
    pub const fn plain_len(&self) -> u64 {
        self.plain_len
    }

    /// Returns the length of the envelope, in bytes.
    pub const fn envelope_len(&self) -> u64 {
        HEADER_LEN as u64 + self.plain_len + TAG_LEN as u64 * self.chunk_count()
    }

    /// Returns the number of chunks, at least 1.
    pub const fn chunk_count(&self) -> u64 {
        self.plain_len / self.chunk.plain_len() + 1
    }

    /// Returns the index of the last chunk, which is never full and may be empty.
    pub const fn last_index(&self) -> u64 {
        self.chunk_count() - 1
    }

    /// Returns where a chunk is in the file and in the envelope.
    ///
    /// # Errors
    /// [`Error::Misuse`] if there is no such chunk.
    pub const fn span(&self, index: u64) -> Result<ChunkSpan> {
        if index > self.last_index() {
            return Err(Error::Misuse("the envelope has no such chunk"));
        }
        let plain_start = index * self.chunk.plain_len();
        let rest = self.plain_len - plain_start;
        let full = self.chunk.plain_len();
        let len = if rest < full { rest } else { full };
        Ok(ChunkSpan {
            index,
            plain_start,
            plain_len: len as usize,
            sealed_start: HEADER_LEN as u64 + index * self.chunk.sealed_len(),
        })
    }

    /// Returns the chunk that holds a byte of the envelope; nothing for the header and behind the end.
    pub const fn chunk_at(&self, envelope_offset: u64) -> Option<u64> {
        if envelope_offset < HEADER_LEN as u64 || envelope_offset >= self.envelope_len() {
            return None;
        }
        Some((envelope_offset - HEADER_LEN as u64) / self.chunk.sealed_len())
    }
}

/// Where one chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkSpan {
    /// Counted from 0.
    pub index: u64,
    /// The offset of its first byte in the file.
    pub plain_start: u64,
    /// How many plain bytes it holds.
    pub plain_len: usize,
    /// The offset of its first byte in the envelope.
    pub sealed_start: u64,
}

impl ChunkSpan {
    /// Returns how many bytes it occupies in the envelope: the plain bytes and the tag.
    pub const fn sealed_len(&self) -> usize {
        self.plain_len + TAG_LEN
    }

    /// Returns the range it occupies in the envelope.
    pub const fn sealed_range(&self) -> Range<u64> {
        self.sealed_start..self.sealed_start + self.sealed_len() as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn small_files_grow_by_exactly_120_bytes() {
        for len in [0, 1, 19_827_846, 19_834_559, (1 << 25) - 1] {
            let chunk = ChunkSize::for_plain_len(Some(len));
            let layout = Layout::for_plain(chunk, len).unwrap();
            assert_eq!(layout.envelope_len(), len + 120);
            assert_eq!(layout.chunk_count(), 1);
        }
    }

    #[test]
    fn larger_files_and_unknown_lengths_have_chunks_of_a_mebibyte() {
        assert_eq!(ChunkSize::for_plain_len(None), ChunkSize::DEFAULT);
        let len = 1 << 25;
        assert_eq!(ChunkSize::for_plain_len(Some(len)), ChunkSize::DEFAULT);
        let layout = Layout::for_plain(ChunkSize::DEFAULT, len).unwrap();
        assert_eq!(layout.envelope_len(), 104 + len + 16 * 33);
    }

    // Section 10: each limit, one more, and the largest number there is.
    #[test]
    fn lengths_above_the_limits_are_refused() {
        let limit = Err(Error::LimitExceeded(Limit::Length));
        let most = Layout::for_plain(ChunkSize::DEFAULT, MAX_PLAIN_LEN).unwrap();
        for chunk in [ChunkSize::DEFAULT, ChunkSize::MAX] {
            assert!(Layout::for_plain(chunk, MAX_PLAIN_LEN).is_ok());
            assert_eq!(Layout::for_plain(chunk, MAX_PLAIN_LEN + 1), limit);
            assert_eq!(Layout::for_plain(chunk, u64::MAX), limit);
            assert!(Layout::for_envelope(chunk, u64::MAX).is_err());
        }
        let too_long = most.envelope_len() + 1;
        assert_eq!(Layout::for_envelope(ChunkSize::DEFAULT, too_long), limit);
        // 2^32 chunks of 64 KiB: the last may not begin.
        let full = MAX_CHUNKS << 16;
        assert!(Layout::for_plain(ChunkSize::MIN, full - 1).is_ok());
        assert_eq!(Layout::for_plain(ChunkSize::MIN, full), limit);
    }

    #[test]
    fn lengths_no_envelope_has_are_truncated() {
        let full = ChunkSize::MIN.sealed_len();
        for len in [
            0,
            103,
            104,
            119,
            104 + full,
            104 + full + 15,
            104 + 2 * full,
        ] {
            let layout = Layout::for_envelope(ChunkSize::MIN, len);
            assert_eq!(layout, Err(Error::Truncated), "{len}");
        }
        for len in [120, 104 + full - 1, 104 + full + 16] {
            assert!(Layout::for_envelope(ChunkSize::MIN, len).is_ok(), "{len}");
        }
    }

    proptest! {
        #[test]
        fn both_lengths_give_the_same_layout(log2 in 16u8..=25, len in 0..=MAX_PLAIN_LEN) {
            let chunk = ChunkSize::from_log2(log2).unwrap();
            let Ok(layout) = Layout::for_plain(chunk, len) else {
                prop_assert!(len >= MAX_CHUNKS << log2);
                return Ok(());
            };
            prop_assert_eq!(Layout::for_envelope(chunk, layout.envelope_len()), Ok(layout));
        }

        #[test]
        fn chunks_follow_each_other_without_gaps(log2 in 16u8..=25, len in 0u64..1 << 31, at in 0u64..1 << 32) {
            let layout = Layout::for_plain(ChunkSize::from_log2(log2).unwrap(), len).unwrap();
            let index = at % layout.chunk_count();
            let span = layout.span(index).unwrap();
            prop_assert_eq!(layout.chunk_at(span.sealed_start), Some(index));
            prop_assert_eq!(layout.chunk_at(span.sealed_range().end - 1), Some(index));
            if index == layout.last_index() {
                prop_assert_eq!(span.sealed_range().end, layout.envelope_len());
                prop_assert_eq!(span.plain_start + span.plain_len as u64, len);
                prop_assert!((span.plain_len as u64) < layout.chunk_size().plain_len());
                prop_assert!(layout.span(index + 1).is_err());
            } else {
                let next = layout.span(index + 1).unwrap();
                prop_assert_eq!(span.sealed_range().end, next.sealed_start);
                prop_assert_eq!(span.plain_start + span.plain_len as u64, next.plain_start);
            }
        }
    }
}
