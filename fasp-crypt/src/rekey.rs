//! Another passphrase for the same envelope: a new header, the same chunks (rule E-10).

use std::sync::atomic::AtomicBool;

use crate::error::Result;
use crate::header::Header;
use crate::keyring::KeyRing;
use crate::keys::Kek;

/// Makes the header that opens the same chunks with another passphrase: `new` is the key of a batch made from it.
///
/// The caller replaces the first [`HEADER_LEN`](crate::HEADER_LEN) bytes of the file, so that one of the two headers
/// always survives. Copies made before still open with the old passphrase, and so does an old header put back.
///
/// # Errors
/// As [`EnvelopeReader::open`](crate::EnvelopeReader::open), except for those about the length.
pub fn rekey(header: &[u8], old: &KeyRing, new: &Kek, cancelled: &AtomicBool) -> Result<Header> {
    let header = Header::parse(header, old.ceiling())?;
    let file_key = old.kek(header.kdf(), cancelled)?.unwrap(&header)?;
    Ok(Header::build(
        header.chunk_size(),
        *new.params(),
        |prefix| new.wrap(prefix, &file_key),
    ))
}

impl Kek {
    /// Returns whether this key opens a header.
    pub fn opens(&self, header: &Header) -> bool {
        header.kdf() == self.params() && self.unwrap(header).is_ok()
    }
}
