//! The keys of a passphrase: derived once for each salt, kept for a while (rules E-2, E-3).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::kdf::{self, Cost, KdfParams, MemoryCeiling};
use crate::keys::Kek;
use crate::secret::Passphrase;

/// How many keys are kept.
const CAPACITY: usize = 8;
/// How long a key is kept after its last use.
pub const IDLE: Duration = Duration::from_secs(5 * 60);

/// A passphrase and the keys derived from it.
///
/// Envelopes of one batch have one salt, so that thousands of them cost one derivation. Shared by threads: while one
/// derives, the others wait and then find the key.
#[derive(Debug)]
pub struct KeyRing {
    passphrase: Passphrase,
    ceiling: MemoryCeiling,
    kept: Mutex<Vec<Kept>>,
}

#[derive(Debug)]
struct Kept {
    kek: Arc<Kek>,
    used: Instant,
}

impl KeyRing {
    /// Makes a ring without keys.
    pub const fn new(passphrase: Passphrase, ceiling: MemoryCeiling) -> Self {
        Self {
            passphrase,
            ceiling,
            kept: Mutex::new(Vec::new()),
        }
    }

    /// Draws a salt and derives the key of a new batch.
    ///
    /// # Errors
    /// [`Error::NoRandomness`], [`Error::Cancelled`], [`Error::OutOfMemory`].
    pub fn new_batch(&self, cost: Cost, cancelled: &AtomicBool) -> Result<Arc<Kek>> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(|_| Error::NoRandomness)?;
        self.kek(&KdfParams { cost, salt }, cancelled)
    }

    /// Returns the key for these parameters, derived unless it is there already.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] above the ceiling, [`Error::Cancelled`], [`Error::OutOfMemory`].
    pub fn kek(&self, params: &KdfParams, cancelled: &AtomicBool) -> Result<Arc<Kek>> {
        self.kek_at(params, cancelled, Instant::now())
    }

    fn kek_at(&self, params: &KdfParams, cancelled: &AtomicBool, now: Instant) -> Result<Arc<Kek>> {
        self.ceiling.check(params.cost)?;
        let mut kept = self.lock();
        kept.retain(|key| now.saturating_duration_since(key.used) < IDLE);
        if let Some(key) = kept.iter_mut().find(|key| key.kek.params() == params) {
            key.used = now;
            return Ok(Arc::clone(&key.kek));
        }
        if cancelled.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        let kek = Arc::new(kdf::derive(&self.passphrase, params, cancelled)?);
        if kept.len() == CAPACITY {
            let oldest = (0..kept.len()).min_by_key(|at| kept[*at].used);
            oldest.map(|at| kept.swap_remove(at));
        }
        kept.push(Kept {
            kek: Arc::clone(&kek),
            used: now,
        });
        Ok(kek)
    }

    /// Wipes keys that were not used for [`IDLE`]. For owners that live long; every look-up does it too.
    pub fn forget_idle(&self) {
        let now = Instant::now();
        self.lock()
            .retain(|key| now.saturating_duration_since(key.used) < IDLE);
    }

    /// Returns the ceiling given to [`KeyRing::new`].
    pub const fn ceiling(&self) -> MemoryCeiling {
        self.ceiling
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Kept>> {
        // Keys are pushed and removed whole: a panic elsewhere cannot leave one half there.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> KeyRing {
        KeyRing::new(
            Passphrase::new("a passphrase").unwrap(),
            MemoryCeiling::DEFAULT,
        )
    }

    fn params(number: u8) -> KdfParams {
        KdfParams {
            cost: Cost::CHEAPEST,
            salt: [number; 16],
        }
    }

    static GO_ON: AtomicBool = AtomicBool::new(false);

    #[test]
    fn a_key_is_derived_once_while_it_is_used() {
        let (ring, start) = (ring(), Instant::now());
        let later = |minutes: u64| start + Duration::from_secs(60 * minutes);
        let first = ring.kek_at(&params(1), &GO_ON, start).unwrap();
        let again = ring.kek_at(&params(1), &GO_ON, later(4)).unwrap();
        let renewed = ring.kek_at(&params(1), &GO_ON, later(8)).unwrap();
        assert!(Arc::ptr_eq(&first, &again) && Arc::ptr_eq(&first, &renewed));
        let idle = ring.kek_at(&params(1), &GO_ON, later(13)).unwrap();
        assert!(!Arc::ptr_eq(&first, &idle), "five minutes idle wipe it");
    }

    #[test]
    fn the_key_unused_for_longest_makes_room() {
        let (ring, start) = (ring(), Instant::now());
        let at = |seconds: u8| start + Duration::from_secs(seconds.into());
        let keys: Vec<_> = (0..8)
            .map(|n| ring.kek_at(&params(n), &GO_ON, at(n)).unwrap())
            .collect();
        ring.kek_at(&params(0), &GO_ON, at(9)).unwrap();
        ring.kek_at(&params(8), &GO_ON, at(10)).unwrap();
        assert_eq!(ring.lock().len(), 8);
        let kept = ring.kek_at(&params(0), &GO_ON, at(11)).unwrap();
        assert!(Arc::ptr_eq(&kept, &keys[0]));
        let evicted = ring.kek_at(&params(1), &GO_ON, at(12)).unwrap();
        assert!(!Arc::ptr_eq(&evicted, &keys[1]));
    }

    #[test]
    fn nothing_is_derived_above_the_ceiling_or_after_giving_up() {
        let mut greedy = params(1);
        greedy.cost = Cost::from_header(20, 1, 1).unwrap();
        assert!(matches!(
            ring().kek(&greedy, &GO_ON),
            Err(Error::LimitExceeded(_))
        ));
        let gave_up = AtomicBool::new(true);
        assert!(matches!(
            ring().kek(&params(1), &gave_up),
            Err(Error::Cancelled)
        ));
    }
}
