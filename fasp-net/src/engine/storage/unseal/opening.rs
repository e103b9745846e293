//! A plain file that grows behind the envelope that it comes out of.

use std::sync::atomic::AtomicBool;

use docroot::{Existing, Finished, Metadata, Partial, PartialOptions};
use fasp_crypt::EnvelopeReader;

use crate::engine::decryption::threads;
use crate::engine::envelope::EnvelopeError;
use crate::engine::storage::decide::Plain;

/// A file of which some chunks have been opened. Dropped before its end, it leaves nothing.
#[derive(Debug)]
pub(super) struct Opening {
    reader: EnvelopeReader,
    plain: Partial,
    /// The first chunk that has not been opened.
    next: u64,
}

impl Opening {
    /// Begins with an envelope of this length, whose header is there.
    pub(super) fn begin(
        plain: &Plain,
        size: u64,
        cancelled: &AtomicBool,
        read: impl Fn(&mut [u8], u64) -> Result<(), EnvelopeError>,
    ) -> Result<Self, EnvelopeError> {
        let reader = plain.decryption.begin(size, cancelled, read)?;
        // Nobody else reads it before it has its name (rule E-6).
        let options = PartialOptions::default()
            .mode(0o600)
            .size_hint(reader.layout().plain_len());
        Ok(Self {
            plain: plain.dir.create_hidden(&plain.name, &options)?,
            reader,
            next: 0,
        })
    }

    /// Opens the chunks that lie whole in the first `held` bytes of the envelope.
    pub(super) fn advance(
        &mut self,
        held: u64,
        cancelled: &AtomicBool,
        read: impl Fn(&mut [u8], u64) -> Result<(), EnvelopeError> + Sync,
    ) -> Result<(), EnvelopeError> {
        let layout = self.reader.layout();
        let end = match held < layout.envelope_len() {
            // The chunk of the first byte that is not there; the header has none.
            true => layout.chunk_at(held).unwrap_or(0),
            false => layout.chunk_count(),
        };
        if end <= self.next {
            return Ok(());
        }
        let plain = &self.plain;
        self.reader.open_each(
            self.next..end,
            threads(layout),
            cancelled,
            read,
            |bytes, start| Ok::<_, EnvelopeError>(plain.write_all_at(bytes, start)?),
        )?;
        self.next = end;
        Ok(())
    }

    /// Hands the file over; every chunk has been opened.
    pub(super) fn finish(
        self,
        metadata: &Metadata,
        existing: Existing,
    ) -> Result<(Finished, u64), EnvelopeError> {
        let layout = self.reader.layout();
        if self.next < layout.chunk_count() {
            return Err(fasp_crypt::Error::Truncated.into());
        }
        let plain_len = layout.plain_len();
        Ok((self.plain.finish(metadata, existing)?, plain_len))
    }
}
