//! Envelopes that are opened as they arrive: what stays on this side are the plain files (`docs/envelope.md`).

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use docroot::EntryPath;
use fasp_crypt::{ChunkSize, EnvelopeReader, HEADER_LEN, KeyRing, Layout, SUFFIX};
use zeroize::Zeroizing;

use super::envelope::EnvelopeError;

/// What the buffers of all threads take at most, bytes.
const BUFFERS: u64 = 64 << 20;

/// How the envelopes of a download are opened.
///
/// Lives as long as the transfer with all its attempts, so that each key is derived once. Clones share the keys.
#[derive(Debug, Clone)]
pub struct Decryption(Arc<KeyRing>);

impl PartialEq for Decryption {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Decryption {}

impl Decryption {
    /// Opens envelopes with the passphrase of this ring.
    pub fn new(ring: KeyRing) -> Self {
        Self(Arc::new(ring))
    }

    /// Opens an envelope that is in memory.
    pub(super) fn open_small(
        &self,
        envelope: &[u8],
        cancelled: &AtomicBool,
    ) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
        let reader = EnvelopeReader::open(envelope, envelope.len() as u64, &self.0, cancelled)?;
        let plain = reader.open_all(envelope, NonZeroUsize::MIN)?;
        Ok(Zeroizing::new(plain))
    }

    /// Checks the header of an envelope of this length, which `read` gives from an offset on.
    pub(super) fn begin(
        &self,
        size: u64,
        cancelled: &AtomicBool,
        read: impl Fn(&mut [u8], u64) -> Result<(), EnvelopeError>,
    ) -> Result<EnvelopeReader, EnvelopeError> {
        let mut header = [0; HEADER_LEN];
        // What is too short for a header is found out below.
        let length = header
            .len()
            .min(usize::try_from(size).unwrap_or(usize::MAX));
        read(&mut header[..length], 0)?;
        Ok(EnvelopeReader::open(
            &header[..length],
            size,
            &self.0,
            cancelled,
        )?)
    }
}

/// How many threads open the chunks of one envelope.
pub(super) fn threads(layout: &Layout) -> NonZeroUsize {
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let affordable = BUFFERS / layout.chunk_size().sealed_len().min(layout.envelope_len());
    let count = affordable.min(layout.chunk_count()).min(cores.get() as u64);
    NonZeroUsize::new(count as usize).unwrap_or(NonZeroUsize::MIN)
}

/// The name or path of the file in an envelope of this name or path; nothing for one that is no envelope's (rule E-5).
pub(super) fn plain_name(name: &[u8]) -> Option<&[u8]> {
    name.strip_suffix(SUFFIX.as_bytes())
        .filter(|plain| !plain.is_empty() && !plain.ends_with(b"/"))
}

/// Where the file in the envelope at this place goes, which has its name already where the person chose it.
pub(super) fn plain_place(envelope: EntryPath) -> Result<EntryPath, docroot::Error> {
    match plain_name(envelope.as_bytes()) {
        Some(plain) => Ok(EntryPath::parse(plain)?),
        None => Ok(envelope),
    }
}

/// How long the file in an envelope of this length is, if it was written as ours are; the header says it for sure.
pub(super) fn likely_plain_len(envelope_len: u64) -> Option<u64> {
    let fits = |chunk| Layout::for_envelope(chunk, envelope_len).ok();
    let layouts = [ChunkSize::MAX, ChunkSize::DEFAULT].map(fits);
    layouts
        .into_iter()
        .flatten()
        .find(|layout| ChunkSize::for_plain_len(Some(layout.plain_len())) == layout.chunk_size())
        .map(|layout| layout.plain_len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_file_is_known_from_that_of_its_envelope() {
        for plain_len in [0, 1, 65_416, 1 << 20, (1 << 25) - 1, 1 << 25, 1 << 33] {
            let chunk = ChunkSize::for_plain_len(Some(plain_len));
            let layout = Layout::for_plain(chunk, plain_len).unwrap();
            assert_eq!(likely_plain_len(layout.envelope_len()), Some(plain_len));
        }
        assert_eq!(likely_plain_len(119), None);
        assert_eq!(likely_plain_len(u64::MAX), None);
    }

    // Rule E-5
    #[test]
    fn a_name_that_is_nothing_but_the_suffix_is_no_envelopes() {
        assert_eq!(plain_name(b"a/b.mov.aspera-env"), Some(&b"a/b.mov"[..]));
        for name in [&b"a/b.mov"[..], b".aspera-env", b"a/.aspera-env", b""] {
            assert_eq!(plain_name(name), None);
        }
    }
}
