//! `crypt rekey`

use std::sync::atomic::AtomicBool;

use fasp_crypt::{
    EnvelopeReader, Error as CryptError, HEADER_LEN, Header, Kek, KeyRing, MemoryCeiling,
};

use fasp_net::engine::EnvelopeError;

use super::{
    files::{Item, saved_name},
    open::usable_header,
};

/// Changes the passphrase of one envelope; a header that opens is on the disk at every moment (rule E-10).
///
/// Returns the length of its content.
pub(super) fn rekey(
    item: &Item,
    old: &KeyRing,
    new: &Kek,
    cancelled: &AtomicBool,
) -> Result<u64, EnvelopeError> {
    let (dir, name) = item.place()?;
    let file = dir.open_edit(name)?;
    let read = || {
        let mut bytes = vec![0; HEADER_LEN];
        let read = file.read_at(&mut bytes, 0)?;
        bytes.truncate(read);
        Ok::<_, docroot::Error>(bytes)
    };
    let before = usable_header(&dir, name, read()?).bytes;
    let reader = EnvelopeReader::open(&before, file.attributes().size, old, cancelled)?;
    let header = fasp_crypt::rekey(&before, old, new, cancelled)?;
    let saved = saved_name(name);
    dir.store(&saved, &before)?;
    file.write_durably_at(header.as_bytes(), 0)?;
    let written = Header::parse(&read()?, MemoryCeiling::RAISED)?;
    if !new.opens(&written) {
        // The disk does not hold what was written; the saved header stays.
        return Err(CryptError::HeaderCorrupt.into());
    }
    dir.remove_file(&saved)?;
    Ok(reader.layout().plain_len())
}
