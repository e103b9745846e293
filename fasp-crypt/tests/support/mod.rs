//! Envelopes for the tests, with cheap keys.
#![allow(dead_code, reason = "each test file uses its part")]

use std::io::Read as _;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use fasp_crypt::testing;
use fasp_crypt::{
    ChunkSize, Cost, EnvelopeReader, Error, KdfParams, Kek, KeyRing, MemoryCeiling, OpenReader,
    Passphrase,
};

pub(crate) static GO_ON: AtomicBool = AtomicBool::new(false);
pub(crate) const ONE: NonZeroUsize = NonZeroUsize::new(1).unwrap();
pub(crate) const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();

pub(crate) const WORDS: &str = "correct horse battery staple";

/// Bytes of a full chunk of 64 KiB, and of what it occupies.
pub(crate) const C: usize = 1 << 16;
pub(crate) const S: usize = C + 16;

pub(crate) fn ring(words: &str) -> KeyRing {
    KeyRing::new(Passphrase::new(words).unwrap(), MemoryCeiling::DEFAULT)
}

pub(crate) fn cheap(salt: u8) -> KdfParams {
    KdfParams {
        cost: Cost::CHEAPEST,
        salt: [salt; 16],
    }
}

pub(crate) fn kek(ring: &KeyRing, params: &KdfParams) -> Arc<Kek> {
    ring.kek(params, &GO_ON).unwrap()
}

/// Seals `plain` with chunks of 2^`log2` bytes; `file` numbers the file key.
pub(crate) fn seal(kek: &Kek, file: u8, log2: u8, plain: &[u8]) -> Vec<u8> {
    let chunk = ChunkSize::from_log2(log2).unwrap();
    let writer = testing::writer(kek, [file; 32], chunk, plain.len() as u64).unwrap();
    writer.seal_all(plain, TWO).unwrap()
}

/// Opens an envelope at random access, with one thread and with two, which have to agree.
pub(crate) fn open(ring: &KeyRing, envelope: &[u8]) -> Result<Vec<u8>, Error> {
    let reader = EnvelopeReader::open(envelope, envelope.len() as u64, ring, &GO_ON)?;
    let plain = reader.open_all(envelope, ONE);
    assert_eq!(plain, reader.open_all(envelope, TWO));
    plain
}

/// Opens an envelope as a stream.
pub(crate) fn open_stream(ring: &KeyRing, envelope: &[u8]) -> Result<Vec<u8>, Error> {
    let ours = |error: std::io::Error| {
        let inner = error.into_inner().expect("the memory does not fail");
        *inner.downcast::<Error>().expect("an error of the crate")
    };
    let mut plain = Vec::new();
    let mut reader = OpenReader::new(envelope, ring, &GO_ON).map_err(ours)?;
    match reader.read_to_end(&mut plain) {
        Ok(_) => Ok(plain),
        Err(error) => {
            let again = reader.read(&mut [0]);
            assert!(again.is_err(), "a stream that failed stays failed");
            Err(ours(error))
        }
    }
}
