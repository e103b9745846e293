//! From a passphrase to a key: Argon2id, with ceilings checked before anything is allocated (rules E-1, E-2).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::Zeroize as _;

use crate::error::{Error, Limit, Result};
use crate::keys::Kek;
use crate::secret::{Passphrase, SecretBytes};

/// Passes times memory is at most this, as log2 of KiB: 4 GiB.
const MAX_WORK_LOG2: u32 = 22;
/// From this memory on, a derivation runs alone (log2 of KiB: 64 MiB is the last that may have company).
const ALONE_ABOVE_LOG2: u8 = 16;

/// How much work a passphrase costs whoever tries one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cost {
    /// Memory, as log2 of KiB.
    memory_log2: u8,
    passes: u8,
    lanes: u8,
}

impl Cost {
    /// 64 MiB, 3 passes, 4 lanes: the second recommended option of RFC 9106, and the least a writer uses (rule E-1).
    pub const DEFAULT: Self = Self {
        memory_log2: 16,
        passes: 3,
        lanes: 4,
    };

    /// The least the format allows: 8 MiB, 1 pass, 1 lane. For tests.
    #[cfg(any(test, feature = "testing"))]
    pub const CHEAPEST: Self = Self {
        memory_log2: 13,
        passes: 1,
        lanes: 1,
    };

    /// Reads the three bytes of a header.
    ///
    /// # Errors
    /// A [`Limit`] for the first that is out of its range, or for all of them together.
    pub(crate) fn from_header(memory_log2: u8, passes: u8, lanes: u8) -> Result<Self> {
        let limit = if !(13..=20).contains(&memory_log2) {
            Limit::Memory(memory_log2)
        } else if !(1..=16).contains(&passes) {
            Limit::Passes(passes)
        } else if !(1..=16).contains(&lanes) {
            Limit::Lanes(lanes)
        } else if u64::from(passes) << memory_log2 > 1 << MAX_WORK_LOG2 {
            Limit::Work
        } else {
            return Ok(Self {
                memory_log2,
                passes,
                lanes,
            });
        };
        Err(Error::LimitExceeded(limit))
    }

    /// Returns the memory it takes, in KiB.
    pub const fn memory_kib(self) -> u32 {
        1 << self.memory_log2
    }

    /// Returns how often the memory is passed over.
    pub const fn passes(self) -> u8 {
        self.passes
    }

    /// Returns how many lanes the memory has.
    pub const fn lanes(self) -> u8 {
        self.lanes
    }
}

/// The public part of a key derivation, as it stands in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KdfParams {
    /// How much work it is.
    pub cost: Cost,
    /// Random; shared by the files of one batch, which can be told to belong together by it (rule E-3).
    pub salt: [u8; 16],
}

impl KdfParams {
    /// Returns the three bytes of the cost and the salt, as they stand in a header.
    pub(crate) fn to_header(self) -> [u8; 19] {
        let mut bytes = [0; 19];
        bytes[0] = self.cost.memory_log2;
        bytes[1] = self.cost.passes;
        bytes[2] = self.cost.lanes;
        bytes[3..].copy_from_slice(&self.salt);
        bytes
    }
}

/// The memory a reader spends on a key that a header asks for (rule E-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MemoryCeiling(u8);

impl MemoryCeiling {
    /// 256 MiB.
    pub const DEFAULT: Self = Self(18);
    /// 1 GiB, all that the format allows: for a user who asked for it.
    pub const RAISED: Self = Self(20);

    /// Refuses what is above the ceiling.
    pub(crate) fn check(self, cost: Cost) -> Result<()> {
        if cost.memory_log2 > self.0 {
            return Err(Error::LimitExceeded(Limit::Ceiling {
                asked: cost.memory_log2,
                allowed: self.0,
            }));
        }
        Ok(())
    }
}

impl Default for MemoryCeiling {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Derives the key, after waiting for its turn.
pub(crate) fn derive(
    passphrase: &Passphrase,
    params: &KdfParams,
    cancelled: &AtomicBool,
) -> Result<Kek> {
    let turn = if params.cost.memory_log2 > ALONE_ABOVE_LOG2 {
        SLOTS
    } else {
        1
    };
    let _turn = Turn::wait(&GATE, turn, cancelled)?;
    let key = argon2id(passphrase.as_bytes(), &params.salt, params.cost)?;
    Ok(Kek::new(*params, &key))
}

fn argon2id(password: &[u8], salt: &[u8], cost: Cost) -> Result<SecretBytes<32>> {
    let params = Params::new(
        cost.memory_kib(),
        cost.passes.into(),
        cost.lanes.into(),
        Some(32),
    )
    .map_err(|_| Error::Misuse("the cost is outside what Argon2 allows"))?;
    let mut memory = Memory(Vec::new());
    let blocks = params.block_count();
    memory
        .0
        .try_reserve_exact(blocks)
        .map_err(|_| Error::OutOfMemory)?;
    memory.0.resize(blocks, Block::default());
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut key = SecretBytes::zeroed();
    argon2
        .hash_password_into_with_memory(password, salt, key.as_mut_bytes(), &mut memory.0[..])
        .map_err(|_| Error::Misuse("the passphrase or the salt has a length Argon2 refuses"))?;
    Ok(key)
}

/// The working memory, from which the key could be computed.
struct Memory(Vec<Block>);

impl Drop for Memory {
    fn drop(&mut self) {
        for block in &mut self.0 {
            block.zeroize();
        }
    }
}

/// How many ordinary derivations run at once in the process.
const SLOTS: u8 = 2;

static GATE: Gate = Gate {
    free: Mutex::new(SLOTS),
    freed: Condvar::new(),
};

/// Counts what may run at once.
struct Gate {
    free: Mutex<u8>,
    freed: Condvar,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, u8> {
        // The number is changed in one step: a panic elsewhere cannot leave it wrong.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Slots of the gate, given back when dropped.
struct Turn<'a> {
    gate: &'a Gate,
    slots: u8,
}

impl<'a> Turn<'a> {
    /// How long a wait lasts before it is looked whether somebody gave up.
    const LOOK: Duration = Duration::from_millis(50);

    fn wait(gate: &'a Gate, slots: u8, cancelled: &AtomicBool) -> Result<Self> {
        let mut free = gate.lock();
        loop {
            if cancelled.load(Ordering::Relaxed) {
                return Err(Error::Cancelled);
            }
            if *free >= slots {
                *free -= slots;
                return Ok(Self { gate, slots });
            }
            free = match gate.freed.wait_timeout(free, Self::LOOK) {
                Ok((free, _)) => free,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.gate.lock() += self.slots;
        self.gate.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(memory_log2: u8, passes: u8, lanes: u8) -> Limit {
        match Cost::from_header(memory_log2, passes, lanes) {
            Err(Error::LimitExceeded(limit)) => limit,
            other => panic!("{other:?}"),
        }
    }

    // Rule E-2, section 10: each limit, one more, and the largest number there is.
    #[test]
    fn costs_outside_the_format_are_refused() {
        assert!(Cost::from_header(13, 1, 1).is_ok());
        assert!(Cost::from_header(20, 4, 16).is_ok());
        assert!(Cost::from_header(18, 16, 16).is_ok());
        for memory in [0, 12, 21, 40, 255] {
            assert_eq!(limit(memory, 1, 1), Limit::Memory(memory));
        }
        for number in [0, 17, 255] {
            assert_eq!(limit(13, number, 1), Limit::Passes(number));
            assert_eq!(limit(13, 1, number), Limit::Lanes(number));
        }
        assert_eq!(limit(20, 5, 1), Limit::Work);
        assert_eq!(limit(19, 9, 1), Limit::Work);
    }

    // Rule E-2
    #[test]
    fn a_reader_spends_256_mib_unless_told_otherwise() {
        let cost = |memory| Cost::from_header(memory, 1, 1).unwrap();
        assert!(MemoryCeiling::DEFAULT.check(cost(18)).is_ok());
        let refused = MemoryCeiling::DEFAULT.check(cost(19)).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the envelope asks for more than is allowed: 512 MiB to derive the key, where 256 MiB are allowed"
        );
        assert!(MemoryCeiling::RAISED.check(cost(20)).is_ok());
    }

    // RFC 9106 §5.3 has a secret and associated data, which the envelope has not; this one is from the reference
    // implementation's own test (Argon2id, version 0x13, 2 passes, 256 KiB, 1 lane).
    #[test]
    fn argon2id_gives_the_published_result() {
        let params = Params::new(256, 2, 1, Some(32)).unwrap();
        let mut key = [0; 32];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(b"password", b"somesalt", &mut key)
            .unwrap();
        assert_eq!(
            crate::testing::to_hex(&key),
            "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe"
        );
    }

    // Rule E-2: one above 64 MiB at a time, two otherwise, and who waits can give up.
    #[test]
    fn derivations_wait_for_their_turn() {
        let gate = Gate {
            free: Mutex::new(SLOTS),
            freed: Condvar::new(),
        };
        let (go_on, gave_up) = (AtomicBool::new(false), AtomicBool::new(true));
        let first = Turn::wait(&gate, 1, &go_on).unwrap();
        let second = Turn::wait(&gate, 1, &go_on).unwrap();
        assert!(matches!(
            Turn::wait(&gate, 1, &gave_up),
            Err(Error::Cancelled)
        ));
        drop(first);
        std::thread::scope(|scope| {
            let alone = scope.spawn(|| Turn::wait(&gate, SLOTS, &go_on).map(drop));
            drop(second);
            assert!(alone.join().unwrap().is_ok());
        });
        assert_eq!(*gate.lock(), SLOTS);
    }
}
