//! Content protection: files sealed with a passphrase, so that whoever stores them cannot read or change them.
//!
//! The format, `.aspera-env`, is described byte by byte in `docs/envelope.md`. A file has a random key of its own, is cut into
//! chunks that are sealed one by one, and the key is wrapped under what Argon2id makes of a passphrase. Every change, cut, extension, swap
//! and mixture of envelopes is noticed.
//!
//! * [`KeyRing`] has a passphrase and derives each key once.
//! * [`EnvelopeWriter`] and [`EnvelopeReader`] seal and open chunks in place, at random and from many threads: they know lengths
//!   and offsets, and leave reading and writing to the caller.
//! * [`SealWriter`] and [`OpenReader`] are the same as streams.
//! * [`rekey`] changes the passphrase without touching the content.
//!
//! This crate opens no file, draws randomness from the operating system, and wipes what it can: passphrases, derived keys,
//! file keys and the memory of the derivation. The expanded cipher key inside `ring` cannot be wiped from here.
#![forbid(unsafe_code)]

mod chunk;
mod error;
mod header;
mod kdf;
mod keyring;
mod keys;
mod layout;
pub mod parallel;
mod reader;
mod rekey;
mod secret;
mod stream;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod writer;

pub use chunk::ChunkTag;
pub use error::{Error, Limit, PassphraseFault, Result};
pub use header::{HEADER_LEN, Header};
pub use kdf::{Cost, KdfParams, MemoryCeiling};
pub use keyring::{IDLE, KeyRing};
pub use keys::Kek;
pub use layout::{ChunkSize, ChunkSpan, Layout, MAX_CHUNKS, MAX_PLAIN_LEN, TAG_LEN};
pub use reader::{EnvelopeReader, RandomReader};
pub use rekey::rekey;
pub use secret::{MAX_PASSPHRASE, Passphrase};
pub use stream::{OpenReader, SealWriter};
pub use writer::EnvelopeWriter;

/// What the name of an envelope ends with.
pub const SUFFIX: &str = ".aspera-env";

/// Returns the name, or path, of the envelope of a file.
pub fn envelope_name(plain: &[u8]) -> Vec<u8> {
    [plain, SUFFIX.as_bytes()].concat()
}
