//! `crypt decrypt` and `crypt verify`

use std::sync::atomic::AtomicBool;

use docroot::{Dir, Existing, Metadata, Partial, PartialOptions, SourceFile};
use fasp_crypt::{
    EnvelopeReader, Error as CryptError, HEADER_LEN, Header, KeyRing, MemoryCeiling, TAG_LEN,
};

use fasp_net::engine::EnvelopeError;

use super::{
    files::{Item, decrypted_name, plain_name, saved_name},
    report::Report,
    work::{Buffer, Product, Task, threads},
};

/// Opens envelopes.
#[derive(Debug)]
pub(super) struct Open<'a> {
    pub(super) ring: &'a KeyRing,
    /// Whether plain copies are made, or nothing but checked.
    pub(super) writes: bool,
    pub(super) cancelled: &'a AtomicBool,
}

/// An envelope and the directory it lies in.
struct Envelope {
    dir: Dir,
    source: SourceFile,
    reader: EnvelopeReader,
}

/// The first bytes of an envelope.
pub(super) struct HeaderBytes {
    pub(super) bytes: Vec<u8>,
    /// They come from the saved header, because those of the file are damaged (rule E-10).
    pub(super) from_saved: bool,
}

/// Finds the header to use for an envelope whose first bytes are `bytes`: the saved one after an interrupted change of
/// passphrase.
pub(super) fn usable_header(dir: &Dir, name: &[u8], bytes: Vec<u8>) -> HeaderBytes {
    let fits = |bytes: &[u8]| Header::parse(bytes, MemoryCeiling::RAISED);
    if fits(&bytes) == Err(CryptError::HeaderCorrupt) {
        // Whatever else lies under that name is no saved header.
        if let Ok(Some(saved)) = dir.load(&saved_name(name), HEADER_LEN as u64)
            && fits(&saved).is_ok()
        {
            return HeaderBytes {
                bytes: saved,
                from_saved: true,
            };
        }
    }
    HeaderBytes {
        bytes,
        from_saved: false,
    }
}

impl Open<'_> {
    fn begin(&self, item: &Item) -> Result<Envelope, EnvelopeError> {
        let (dir, name) = item.place()?;
        let source = dir.open_source(name)?;
        let mut bytes = vec![0; HEADER_LEN];
        let read = source.read_at(&mut bytes, 0)?;
        bytes.truncate(read);
        let header = usable_header(&dir, name, bytes);
        let size = source.attributes().size;
        let reader = EnvelopeReader::open(&header.bytes, size, self.ring, self.cancelled)?;
        if header.from_saved && self.writes {
            restore(&dir, name, &header.bytes);
        }
        Ok(Envelope {
            dir,
            source,
            reader,
        })
    }

    /// Chooses the name of the plain copy (rule E-5).
    fn target(dir: &Dir, name: &[u8]) -> Result<(Vec<u8>, Existing), EnvelopeError> {
        let plain = plain_name(name).ok_or(docroot::Error::Name(docroot::NameFault::Empty))?;
        Ok(match dir.stat(plain)? {
            None => (plain.to_vec(), Existing::Refuse),
            Some(_) => (decrypted_name(plain), Existing::Replace),
        })
    }
}

/// Puts a saved header back. The envelope was opened with it; when it cannot be written, it is used again the next time.
fn restore(dir: &Dir, name: &[u8], header: &[u8]) {
    let restored = dir
        .open_edit(name)
        .and_then(|file| file.write_durably_at(header, 0));
    if restored.is_ok() {
        drop(dir.remove_file(&saved_name(name)));
    }
}

impl Envelope {
    fn metadata(&self) -> Metadata {
        let attributes = self.source.attributes();
        Metadata {
            mtime: Some(attributes.mtime),
            mode: Some(attributes.mode),
            ..Metadata::default()
        }
    }

    /// Reads a chunk into `chunk`, which is as long as it, and opens it there.
    fn open(&self, index: u64, chunk: &mut [u8]) -> Result<usize, EnvelopeError> {
        let start = self.reader.layout().span(index)?.sealed_start;
        self.read(chunk, start)?;
        Ok(self.reader.open_chunk(index, chunk)?)
    }

    fn read(&self, chunk: &mut [u8], start: u64) -> Result<(), EnvelopeError> {
        match self.source.read_at(chunk, start)? < chunk.len() {
            true => Err(docroot::Error::SourceChanged.into()),
            false => Ok(()),
        }
    }

    /// Opens every chunk, and writes what comes out if there is a file for it.
    fn open_all(
        &self,
        partial: Option<&Partial>,
        open: &Open<'_>,
        report: &Report<'_>,
    ) -> Result<(), EnvelopeError> {
        report.advance(HEADER_LEN as u64);
        let layout = self.reader.layout();
        self.reader.open_each(
            0..layout.chunk_count(),
            threads(layout.chunk_size().sealed_len()),
            open.cancelled,
            |chunk, start| self.read(chunk, start),
            |plain, start| {
                if let Some(partial) = partial {
                    partial.write_all_at(plain, start)?;
                }
                report.advance(plain.len() as u64 + TAG_LEN as u64);
                Ok(())
            },
        )
    }
}

impl Task for Open<'_> {
    fn small(
        &self,
        item: &Item,
        buffer: &mut Buffer,
        report: &Report<'_>,
    ) -> Result<Product, EnvelopeError> {
        let envelope = self.begin(item)?;
        let layout = *envelope.reader.layout();
        if layout.envelope_len() > super::work::SMALL {
            // It grew since it was found.
            return self.large(item, report);
        }
        let size = layout.plain_len();
        // The plain bytes end up one behind the other: each chunk is opened behind the former, over the former's tag.
        let len = layout.envelope_len() as usize - HEADER_LEN;
        buffer.clear();
        buffer.resize(len, 0);
        let mut filled = 0;
        for index in 0..layout.chunk_count() {
            let span = layout.span(index)?;
            filled += envelope.open(index, &mut buffer[filled..filled + span.sealed_len()])?;
        }
        report.advance(layout.envelope_len());
        if !self.writes {
            return Ok(Product { output: None, size });
        }
        let (_, name) = item.place()?;
        let (output, existing) = Self::target(&envelope.dir, name)?;
        let finished = envelope.dir.create_small(
            &output,
            &buffer[..filled],
            &envelope.metadata(),
            existing,
        )?;
        Ok(Product {
            output: Some((finished, output)),
            size,
        })
    }

    fn large(&self, item: &Item, report: &Report<'_>) -> Result<Product, EnvelopeError> {
        let envelope = self.begin(item)?;
        envelope.source.advise_sequential();
        let size = envelope.reader.layout().plain_len();
        if !self.writes {
            envelope.open_all(None, self, report)?;
            return Ok(Product { output: None, size });
        }
        let (_, name) = item.place()?;
        let (output, existing) = Self::target(&envelope.dir, name)?;
        super::check_space(&envelope.dir, size)?;
        // Rule E-6: nobody else reads it, and it has its name after the last chunk was right.
        let options = PartialOptions::default().mode(0o600);
        let partial = envelope.dir.create_hidden(&output, &options)?;
        envelope.open_all(Some(&partial), self, report)?;
        Ok(Product {
            output: Some((partial.finish(&envelope.metadata(), existing)?, output)),
            size,
        })
    }
}
