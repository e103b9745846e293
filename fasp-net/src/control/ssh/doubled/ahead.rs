//! Bytes that came in datagrams and wait until the reader gets there.

use std::collections::BTreeMap;

use super::LIMIT;

/// Pieces kept; a stream that needs more has TCP.
const MAX_PIECES: usize = 128;

/// Pieces of a stream by their offsets.
#[derive(Debug, Default)]
pub(super) struct Ahead(BTreeMap<u32, Vec<u8>>);

impl Ahead {
    /// Takes a piece, unless the reader is past it or it is beyond what is doubled.
    pub(super) fn insert(&mut self, read: u64, offset: u32, bytes: &[u8]) {
        let end = u64::from(offset) + bytes.len() as u64;
        if bytes.is_empty() || end <= read || end > LIMIT || self.0.len() >= MAX_PIECES {
            return;
        }
        let kept = self.0.entry(offset).or_default();
        if kept.len() < bytes.len() {
            *kept = bytes.to_vec();
        }
    }

    /// Copies what continues a stream that was read up to `read`; returns how many bytes that were.
    pub(super) fn take(&mut self, read: u64, into: &mut [u8]) -> usize {
        while let Some(first) = self.0.first_entry() {
            let offset = u64::from(*first.key());
            let end = offset + first.get().len() as u64;
            if end <= read {
                first.remove();
                continue;
            }
            if offset > read {
                return 0;
            }
            let rest = &first.get()[(read - offset) as usize..];
            let taken = rest.len().min(into.len());
            into[..taken].copy_from_slice(&rest[..taken]);
            return taken;
        }
        0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test set-up")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_in_any_order_make_the_stream(
            pieces in prop::collection::vec((0usize..600, 0usize..200), 0..60),
            room in 1usize..300,
        ) {
            let stream: Vec<u8> = (0..800).map(|at| (at % 251) as u8).collect();
            let mut ahead = Ahead::default();
            let mut read = 0;
            for (offset, length) in pieces {
                ahead.insert(read as u64, offset as u32, &stream[offset..offset + length]);
                let mut into = vec![0; room];
                let taken = ahead.take(read as u64, &mut into);
                prop_assert_eq!(&into[..taken], &stream[read..read + taken]);
                read += taken;
            }
        }
    }

    #[test]
    fn nothing_beyond_what_is_doubled_is_kept() {
        let mut ahead = Ahead::default();
        ahead.insert(0, LIMIT as u32, b"late");
        ahead.insert(0, u32::MAX, b"later");
        for offset in 0..10_000 {
            ahead.insert(0, offset, b"many");
        }
        assert_eq!(ahead.0.len(), MAX_PIECES);
    }
}
