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
