//! What tests and test vectors need and nothing else may have: given keys and repaired checksums.

use std::io::{self, Write};

use crate::error::Result;
use crate::keys::{FileKey, Kek};
use crate::layout::ChunkSize;
use crate::stream::SealWriter;
use crate::writer::EnvelopeWriter;

/// Begins an envelope with a given file key and chunk size.
///
/// # Errors
/// As [`EnvelopeWriter::new`].
pub fn writer(
    kek: &Kek,
    file_key: [u8; 32],
    chunk: ChunkSize,
    plain_len: u64,
) -> Result<EnvelopeWriter> {
    EnvelopeWriter::with_file_key(kek, &FileKey::given(file_key), chunk, plain_len)
}

/// Begins a stream with a given file key and chunk size.
///
/// # Errors
/// As [`SealWriter::new`].
pub fn stream<W: Write>(
    kek: &Kek,
    file_key: [u8; 32],
    chunk: ChunkSize,
    inner: W,
) -> io::Result<SealWriter<W>> {
    SealWriter::with_file_key(kek, &FileKey::given(file_key), chunk, inner)
}

/// Writes the checksum that fits the first 96 bytes, as a deliberate change of a header would.
pub fn repair_checksum(envelope: &mut [u8]) {
    crate::header::repair_checksum(envelope);
}

/// Returns bytes as lower case hexadecimal digits.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads hexadecimal digits; everything else between them is left out.
pub fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(|d| d as u8)
        .collect();
    digits
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// Returns the content of the published vectors: byte i is 7·i + 3, modulo 256.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (7 * i + 3) as u8).collect()
}
