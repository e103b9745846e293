//! Sealed chunks that are remembered for a while: blocks are cut from them.

use std::collections::VecDeque;
use std::sync::Arc;

/// How much is remembered, bytes: neighbouring blocks, and those that are sent again, are cut from it.
const REMEMBERED: usize = 64 << 20;

/// A file's number and the index of a chunk.
pub(super) type Key = (u64, u64);

/// Sealed chunks, the one used last at the end.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    kept: VecDeque<(Key, Arc<Vec<u8>>)>,
    bytes: usize,
    /// A buffer of one that is not kept any more: a new one would cost its pages.
    spare: Vec<u8>,
}

impl Chunks {
    #[cfg(test)]
    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }

    pub(super) fn get(&mut self, key: Key) -> Option<Arc<Vec<u8>>> {
        let at = self.kept.iter().rposition(|(of, _)| *of == key)?;
        if at + 1 < self.kept.len()
            && let Some(entry) = self.kept.remove(at)
        {
            self.kept.push_back(entry);
        }
        self.kept.back().map(|(_, chunk)| Arc::clone(chunk))
    }

    pub(super) fn add(&mut self, key: Key, chunk: Arc<Vec<u8>>) {
        self.bytes += chunk.len();
        self.kept.push_back((key, chunk));
        while self.bytes > REMEMBERED && self.kept.len() > 1 {
            if let Some((_, chunk)) = self.kept.pop_front() {
                self.bytes -= chunk.len();
                // One that another session still reads goes when that is done.
                self.spare = Arc::into_inner(chunk).unwrap_or_default();
            }
        }
    }

    /// A buffer of this length, with anything in it.
    pub(super) fn room(&mut self, length: usize) -> Vec<u8> {
        let mut spare = std::mem::take(&mut self.spare);
        spare.resize(length, 0);
        spare
    }
}
