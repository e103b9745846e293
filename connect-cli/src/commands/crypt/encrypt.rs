//! `crypt encrypt`

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use docroot::{Dir, Existing, Metadata, PartialOptions, SourceFile};
use fasp_crypt::{EnvelopeWriter, Error as CryptError, HEADER_LEN, Kek, envelope_name, parallel};

use fasp_net::engine::EnvelopeError;

use super::{
    files::Item,
    report::Report,
    work::{Buffer, Product, Task, threads},
};

/// Makes envelopes of one batch.
#[derive(Debug)]
pub(super) struct Encrypt<'a> {
    pub(super) batch: Arc<Kek>,
    pub(super) existing: Existing,
    pub(super) cancelled: &'a AtomicBool,
}

/// A source and the envelope it becomes.
struct Pair {
    dir: Dir,
    source: SourceFile,
    output: Vec<u8>,
    writer: EnvelopeWriter,
    metadata: Metadata,
}

impl Encrypt<'_> {
    fn begin(&self, item: &Item) -> Result<Pair, EnvelopeError> {
        let (dir, name) = item.place()?;
        let output = envelope_name(name);
        let source = dir.open_source(name)?;
        // Known before the work, and checked again when the name is given.
        if self.existing == Existing::Refuse && dir.stat(&output)?.is_some() {
            return Err(docroot::Error::AlreadyExists.into());
        }
        let attributes = *source.attributes();
        Ok(Pair {
            writer: EnvelopeWriter::new(&self.batch, attributes.size)?,
            dir,
            source,
            output,
            metadata: Metadata {
                mtime: Some(attributes.mtime),
                mode: Some(attributes.mode),
                ..Metadata::default()
            },
        })
    }
}

impl Pair {
    /// Reads the plain bytes of a chunk into a buffer with room for the tag, and seals them.
    fn seal(&self, index: u64, chunk: &mut [u8]) -> Result<(), EnvelopeError> {
        let span = self.writer.layout().span(index)?;
        let read = self
            .source
            .read_at(&mut chunk[..span.plain_len], span.plain_start)?;
        if read < span.plain_len {
            return Err(docroot::Error::SourceChanged.into());
        }
        Ok(self.writer.seal_chunk(index, chunk)?)
    }
}

impl Task for Encrypt<'_> {
    fn small(
        &self,
        item: &Item,
        buffer: &mut Buffer,
        report: &Report<'_>,
    ) -> Result<Product, EnvelopeError> {
        let pair = self.begin(item)?;
        let layout = *pair.writer.layout();
        if layout.chunk_count() > 1 {
            // It grew since it was found.
            return self.large(item, report);
        }
        let len = HEADER_LEN + layout.span(0)?.sealed_len();
        buffer.clear();
        buffer.resize(len, 0);
        buffer[..HEADER_LEN].copy_from_slice(pair.writer.header().as_bytes());
        pair.seal(0, &mut buffer[HEADER_LEN..])?;
        pair.source.unchanged()?;
        let finished =
            pair.dir
                .create_small(&pair.output, buffer, &pair.metadata, self.existing)?;
        report.advance(layout.plain_len());
        Ok(Product {
            output: Some((finished, pair.output)),
            size: layout.plain_len(),
        })
    }

    fn large(&self, item: &Item, report: &Report<'_>) -> Result<Product, EnvelopeError> {
        let pair = self.begin(item)?;
        let layout = *pair.writer.layout();
        pair.source.advise_sequential();
        super::check_space(&pair.dir, layout.envelope_len())?;
        let partial = pair
            .dir
            .create_hidden(&pair.output, &PartialOptions::default().mode(0o600))?;
        partial.write_all_at(pair.writer.header().as_bytes(), 0)?;
        let sealed_len = layout.chunk_size().sealed_len();
        parallel::for_each(
            0..layout.chunk_count(),
            threads(sealed_len),
            || Buffer::new(vec![0; sealed_len as usize]),
            |buffer, index| {
                if self.cancelled.load(Ordering::Relaxed) {
                    return Err(CryptError::Cancelled.into());
                }
                let span = layout.span(index)?;
                let chunk = &mut buffer[..span.sealed_len()];
                pair.seal(index, chunk)?;
                partial.write_all_at(chunk, span.sealed_start)?;
                report.advance(span.plain_len as u64);
                Ok::<_, EnvelopeError>(())
            },
        )?;
        pair.source.unchanged()?;
        Ok(Product {
            output: Some((partial.finish(&pair.metadata, self.existing)?, pair.output)),
            size: layout.plain_len(),
        })
    }
}
