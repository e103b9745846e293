//! Blocks on their way to the storage, a few datagrams at a time.
//!
//! Waking the storage for each small datagram would cost more than writing it does.

use std::time::{Duration, Instant};

use fasp_core::BlockWrite;

/// Bytes that are handed over together, at least, unless they have waited for …
const TOGETHER: usize = 32 << 10;
/// … this long.
const PATIENCE: Duration = Duration::from_millis(1);
/// Larger receptions are many datagrams already.
const LARGEST: usize = 4 << 10;

/// What has been received and not been handed over.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    bytes: Vec<u8>,
    writes: Vec<BlockWrite>,
    since: Option<Instant>,
}

impl Gathered {
    /// Whether a reception of this length is worth copying.
    pub(super) fn takes(length: usize) -> bool {
        length <= LARGEST
    }

    /// Copies a reception; the blocks stand within it.
    pub(super) fn add(&mut self, now: Instant, bytes: &[u8], writes: &mut Vec<BlockWrite>) {
        if self.bytes.capacity() == 0 {
            self.bytes.reserve(TOGETHER + LARGEST);
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.writes.extend(writes.drain(..).map(|write| BlockWrite {
            at: write.at + start,
            ..write
        }));
        self.since.get_or_insert(now);
    }

    /// Whether it is time to hand over.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.bytes.len() >= TOGETHER || self.due().is_some_and(|due| now >= due)
    }

    /// When it will be, if anything waits.
    pub(super) fn due(&self) -> Option<Instant> {
        Some(self.since? + PATIENCE)
    }

    /// Returns what waits, if anything does.
    pub(super) fn take(&mut self) -> Option<(Vec<u8>, Vec<BlockWrite>)> {
        self.since.take()?;
        Some((
            std::mem::take(&mut self.bytes),
            std::mem::take(&mut self.writes),
        ))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test set-up")]
mod tests {
    use super::*;

    fn block(offset: u64, at: usize, length: usize) -> BlockWrite {
        BlockWrite {
            file: 0,
            offset,
            at,
            length,
        }
    }

    #[test]
    fn blocks_keep_their_bytes_and_their_order() {
        let (epoch, mut gathered) = (Instant::now(), Gathered::default());
        assert!(gathered.take().is_none());
        for number in 0..3u8 {
            let datagram = [number; 100];
            let mut writes = vec![block(u64::from(number) * 60, 34, 60)];
            gathered.add(epoch, &datagram, &mut writes);
            assert!(writes.is_empty());
        }
        let (bytes, writes) = gathered.take().unwrap();
        for (number, write) in (0..3u8).zip(&writes) {
            assert_eq!(write.offset, u64::from(number) * 60);
            assert_eq!(bytes[write.at..write.at + write.length], [number; 60]);
        }
        assert_eq!(gathered.due(), None);
    }

    #[test]
    fn what_waits_is_handed_over_after_a_millisecond_or_when_it_is_much() {
        let (epoch, mut gathered) = (Instant::now(), Gathered::default());
        gathered.add(epoch, &[0; 1_472], &mut vec![block(0, 34, 1_438)]);
        assert!(!gathered.is_due(epoch) && gathered.is_due(epoch + PATIENCE));
        assert_eq!(gathered.due(), Some(epoch + PATIENCE));
        for number in 1..23 {
            gathered.add(epoch, &[0; 1_472], &mut vec![block(number, 34, 1_438)]);
        }
        assert!(gathered.is_due(epoch));
    }
}
