//! Large buffers that wait for their next use.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Buffers kept, at most.
const KEPT: usize = 512;
/// Size of each: what one receive call may bring.
pub(super) const BUFFER_SIZE: usize = 1 << 16;

/// A stack: the buffer that was used last is the next one, because the caches still hold it. A queue would go round all of
/// them, which is more than caches hold, and cost a tenth of a copy's time.
#[derive(Debug, Default)]
pub(super) struct SpareBuffers(Mutex<Vec<Vec<u8>>>);

impl SpareBuffers {
    /// Takes the buffer that came back last, or makes one.
    pub(super) fn take(&self) -> Vec<u8> {
        let spare = self.stack().pop();
        spare.unwrap_or_else(|| vec![0; BUFFER_SIZE])
    }

    /// Takes a buffer back. One of another size is freed, as is one too many.
    pub(super) fn put(&self, buffer: Vec<u8>) {
        if buffer.len() != BUFFER_SIZE {
            // Small reports are copied out and come back as well: they need no lock.
            return;
        }
        let mut stack = self.stack();
        if stack.len() < KEPT {
            stack.push(buffer);
        }
    }

    fn stack(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        // A push or a pop leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_used_last_is_the_next() {
        let spare = SpareBuffers::default();
        for mark in 1..=3 {
            let mut buffer = vec![0; BUFFER_SIZE];
            buffer[0] = mark;
            spare.put(buffer);
        }
        assert_eq!([spare.take()[0], spare.take()[0]], [3, 2]);
        assert_eq!(spare.take().len(), BUFFER_SIZE);
        assert_eq!(spare.take(), vec![0; BUFFER_SIZE]);
    }

    #[test]
    fn buffers_of_other_sizes_and_too_many_are_not_kept() {
        let spare = SpareBuffers::default();
        spare.put(vec![0; BUFFER_SIZE - 1]);
        assert_eq!(spare.stack().len(), 0);
        for _ in 0..=KEPT {
            spare.put(vec![0; BUFFER_SIZE]);
        }
        assert_eq!(spare.stack().len(), KEPT);
    }
}
