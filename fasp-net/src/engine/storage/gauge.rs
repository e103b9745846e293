//! What the session knows of the storage thread without being woken for it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::QUEUE;

/// Jobs below which the storage keeps up.
pub(in crate::engine) const IDLE: usize = QUEUE / 8;

/// Counts what was written, and says whether the session waits for the queue to become short.
#[derive(Debug, Default)]
pub(in crate::engine) struct Gauge {
    written: AtomicU64,
    is_asked: AtomicBool,
}

impl Gauge {
    /// Bytes written since the start.
    pub(in crate::engine) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Asks for [`StorageEvent::Idle`](super::StorageEvent::Idle); the length of the queue must be looked at once more
    /// before waiting for it.
    pub(in crate::engine) fn ask(&self) {
        self.is_asked.store(true, Ordering::SeqCst);
    }

    /// Whether the session wants to hear of a queue that is this long; it hears it once.
    pub(super) fn is_asked_for(&self, waiting: usize) -> bool {
        waiting < IDLE
            && self.is_asked.load(Ordering::SeqCst)
            && self.is_asked.swap(false, Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_queue_is_told_once_and_only_when_asked_for() {
        let gauge = Gauge::default();
        assert!(!gauge.is_asked_for(0));
        gauge.ask();
        assert!(!gauge.is_asked_for(IDLE));
        assert!(gauge.is_asked_for(IDLE - 1));
        assert!(!gauge.is_asked_for(0));
        gauge.add(5);
        gauge.add(6);
        assert_eq!(gauge.written(), 11);
    }
}
