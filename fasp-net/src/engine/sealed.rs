//! Files that are protected as they are sent: what leaves are envelopes (`docs/envelope.md`), never a plain byte.

mod chunks;
mod record;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use docroot::{Docroot, EntryPath, Identity, SourceFile};
use fasp_crypt::{EnvelopeWriter, HEADER_LEN, Kek, KeyRing};

use self::chunks::Chunks;
use self::record::{Record, Records};
use super::envelope::EnvelopeError;
use super::lister::lock;
use super::origin::Located;
use crate::Error;
use crate::control::message::ContentProtection;

/// How the files of a transfer are protected.
///
/// Lives as long as the transfer with all its attempts: a file that is tried again has the same key and the same bytes,
/// so that it is continued.
#[derive(Debug, Clone)]
pub struct Protection(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    batch: Arc<Kek>,
    claim: ContentProtection,
    /// What earlier commands began, and where this one keeps what it begins.
    records: Option<Records>,
    /// The envelopes of files that travel as blocks, until those have their results.
    begun: Mutex<HashMap<Version, Begun>>,
    chunks: Mutex<Chunks>,
    numbers: AtomicU64,
}

/// An envelope of which something may have been given out.
#[derive(Debug, Clone)]
struct Begun {
    writer: Arc<EnvelopeWriter>,
    /// Where others find it when this command is gone; opened before the first chunk is given out.
    record: Arc<OnceLock<Option<Record>>>,
}

impl Begun {
    /// Nobody will go on with it.
    fn forget(&self) {
        if let Some(Some(record)) = self.record.get() {
            record.forget();
        }
    }
}

/// One version of one file at its place beneath the destination.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Version {
    identity: Identity,
    place: EntryPath,
}

impl Protection {
    /// Protects files with new keys, each wrapped under this one, which comes from a passphrase that is strong or not.
    pub fn new(batch: Arc<Kek>, is_strong: bool) -> Self {
        Self::with(batch, is_strong, None)
    }

    /// The same, but keeps records of large files in this directory, and goes on with those that an earlier command began
    /// with the passphrase of this ring.
    ///
    /// # Errors
    /// [`Error::File`] for a directory that cannot be read.
    pub fn recorded(
        batch: Arc<Kek>,
        is_strong: bool,
        directory: &Docroot,
        ring: KeyRing,
    ) -> Result<Self, Error> {
        let records = Records::open(directory, ring)?;
        Ok(Self::with(batch, is_strong, records))
    }

    fn with(batch: Arc<Kek>, is_strong: bool, records: Option<Records>) -> Self {
        Self(Arc::new(Inner {
            batch,
            claim: match is_strong {
                true => ContentProtection::StrongPassphrase,
                false => ContentProtection::Passphrase,
            },
            records,
            begun: Mutex::default(),
            chunks: Mutex::default(),
            numbers: AtomicU64::new(0),
        }))
    }

    /// Everything has arrived: no envelope is gone on with.
    pub(crate) fn completed(&self) {
        for begun in lock(&self.0.begun).drain().map(|(_, begun)| begun) {
            begun.forget();
        }
    }

    /// What the server is told of it.
    pub(crate) fn claim(&self) -> ContentProtection {
        self.0.claim
    }

    /// Begins the envelope of a file, or takes up that of an earlier attempt; `place` is the file's, without the suffix.
    pub(super) fn seal(
        &self,
        source: Located,
        identity: Identity,
        place: &EntryPath,
    ) -> Result<Sealed, EnvelopeError> {
        let name = fasp_crypt::envelope_name(place.as_bytes());
        let version = Version {
            identity,
            place: EntryPath::parse(&name)?,
        };
        let earlier = lock(&self.0.begun).get(&version).cloned();
        let earlier = earlier.or_else(|| {
            let (writer, record) = self.0.records.as_ref()?.recall(&version)?;
            Some(Begun {
                writer: Arc::new(writer),
                record: Arc::new(OnceLock::from(Some(record))),
            })
        });
        let is_continued = earlier.is_some();
        let begun = match earlier {
            Some(begun) => begun,
            None => Begun {
                writer: Arc::new(EnvelopeWriter::new(&self.0.batch, identity.size)?),
                record: Arc::default(),
            },
        };
        Ok(Sealed {
            protection: Arc::clone(&self.0),
            source,
            version,
            begun,
            is_continued,
            number: self.0.numbers.fetch_add(1, Ordering::Relaxed),
        })
    }
}

/// A file and the envelope that it leaves as.
#[derive(Debug)]
pub(super) struct Sealed {
    protection: Arc<Inner>,
    source: Located,
    version: Version,
    begun: Begun,
    is_continued: bool,
    /// What its chunks are remembered by.
    number: u64,
}

impl Sealed {
    pub(super) const fn source(&self) -> &Located {
        &self.source
    }

    /// Where it goes beneath the destination.
    pub(super) const fn place(&self) -> &EntryPath {
        &self.version.place
    }

    /// The length of the envelope.
    pub(super) fn size(&self) -> u64 {
        self.begun.writer.layout().envelope_len()
    }

    /// Whether an earlier attempt gave out bytes of this envelope.
    pub(super) const fn is_continued(&self) -> bool {
        self.is_continued
    }

    /// Whether this is the version of the file that the envelope was begun for.
    pub(super) fn is_version(&self, file: &SourceFile) -> bool {
        file.identity() == self.version.identity
    }

    /// Keeps the envelope for a further attempt.
    pub(super) fn keep(&self) {
        lock(&self.protection.begun)
            .entry(self.version.clone())
            .or_insert_with(|| self.begun.clone());
    }

    /// The file has its result.
    pub(super) fn settled(&self) {
        lock(&self.protection.begun).remove(&self.version);
        self.begun.forget();
    }

    /// Fills `room` with the envelope's bytes from `offset` on; they all have to be within it.
    pub(super) fn read(
        &self,
        file: &SourceFile,
        mut room: &mut [u8],
        mut offset: u64,
    ) -> Result<(), docroot::Error> {
        let header = self.begun.writer.header().as_bytes();
        if offset < HEADER_LEN as u64 {
            // Below the header's length, so the cast cannot cut.
            let rest = &header[offset as usize..];
            let (now, later) = room.split_at_mut(rest.len().min(room.len()));
            now.copy_from_slice(&rest[..now.len()]);
            offset += now.len() as u64;
            room = later;
        }
        while !room.is_empty() {
            let (start, chunk) = self.chunk_at(file, offset)?;
            // Within the chunk, which is in memory.
            let rest = &chunk[(offset - start) as usize..];
            let (now, later) = room.split_at_mut(rest.len().min(room.len()));
            now.copy_from_slice(&rest[..now.len()]);
            offset += now.len() as u64;
            room = later;
        }
        Ok(())
    }

    /// Writes into the record that a chunk is given out.
    fn note(&self, index: u64, sealed: &[u8]) -> Result<(), docroot::Error> {
        let records = self.protection.records.as_ref();
        let begin = || records?.begin(&self.version, &self.begun.writer);
        match (self.begun.record.get_or_init(begin), sealed.last_chunk()) {
            (Some(record), Some(tag)) => record.note(index, *tag),
            _ => Ok(()),
        }
    }

    /// The sealed chunk with this byte of the envelope, and where it starts.
    fn chunk_at(
        &self,
        file: &SourceFile,
        offset: u64,
    ) -> Result<(u64, Arc<Vec<u8>>), docroot::Error> {
        let layout = self.begun.writer.layout();
        let span = layout
            .chunk_at(offset)
            .and_then(|index| layout.span(index).ok())
            .ok_or(docroot::Error::SourceChanged)?;
        let key = (self.number, span.index);
        if let Some(chunk) = lock(&self.protection.chunks).get(key) {
            return Ok((span.sealed_start, chunk));
        }
        let mut chunk = lock(&self.protection.chunks).room(span.sealed_len());
        let plain = &mut chunk[..span.plain_len];
        if file.read_at(plain, span.plain_start)? < plain.len() {
            return Err(docroot::Error::SourceChanged);
        }
        // Sealed before with other content, or not at all: the file is not what it was (rule E-9).
        self.begun
            .writer
            .seal_chunk(span.index, &mut chunk)
            .map_err(|_| docroot::Error::SourceChanged)?;
        self.note(span.index, &chunk)?;
        let chunk = Arc::new(chunk);
        lock(&self.protection.chunks).add(key, Arc::clone(&chunk));
        Ok((span.sealed_start, chunk))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "test set-up")]

    use std::sync::atomic::AtomicBool;

    use docroot::LinkRule;
    use fasp_crypt::{Cost, EnvelopeReader, MemoryCeiling, Passphrase};

    use super::*;
    use crate::engine::origin::Root;

    /// Several chunks, and some of the next.
    const SIZE: usize = (33 << 20) + 12_345;

    static GO_ON: AtomicBool = AtomicBool::new(false);

    fn ring() -> KeyRing {
        let passphrase = Passphrase::new("a passphrase").unwrap();
        KeyRing::new(passphrase, MemoryCeiling::DEFAULT)
    }

    fn sealed(directory: &std::path::Path) -> (Protection, Sealed, SourceFile) {
        let source = Located {
            root: Root::Open(Docroot::open(directory).unwrap()),
            path: EntryPath::parse(b"f").unwrap(),
            rule: LinkRule::Refuse,
        };
        let file = source.open().unwrap();
        let batch = ring().new_batch(Cost::DEFAULT, &GO_ON).unwrap();
        let protection = Protection::new(batch, false);
        let sealed = protection.seal(source.clone(), file.identity(), &source.path);
        (protection, sealed.unwrap(), file)
    }

    fn read(sealed: &Sealed, file: &SourceFile, step: usize) -> Vec<u8> {
        let mut envelope = vec![0; sealed.size() as usize];
        for (number, room) in envelope.chunks_mut(step).enumerate() {
            sealed.read(file, room, (number * step) as u64).unwrap();
        }
        envelope
    }

    #[test]
    fn an_envelope_is_the_same_in_whatever_pieces_it_is_read() {
        let temp = tempfile::tempdir().unwrap();
        let plain: Vec<u8> = (0..SIZE).map(|i| (i / 7) as u8).collect();
        std::fs::write(temp.path().join("f"), &plain).unwrap();
        let (protection, sealed, file) = sealed(temp.path());
        let envelope = read(&sealed, &file, 70_000);
        // What is read later is sealed again.
        lock(&protection.0.chunks).clear();
        assert!(read(&sealed, &file, 1_000_003) == envelope);
        let header = &envelope[..HEADER_LEN];
        let reader = EnvelopeReader::open(header, sealed.size(), &ring(), &GO_ON).unwrap();
        let threads = std::num::NonZeroUsize::MIN;
        assert!(reader.open_all(&envelope, threads).unwrap() == plain);
        assert_eq!(sealed.place().as_bytes(), b"f.aspera-env");
    }

    #[test]
    fn e9_a_chunk_is_not_given_out_with_other_content() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("f");
        std::fs::write(&path, vec![1; SIZE]).unwrap();
        let (protection, sealed, file) = sealed(temp.path());
        read(&sealed, &file, 1 << 20);
        std::fs::write(&path, vec![2; SIZE]).unwrap();
        lock(&protection.0.chunks).clear();
        let mut room = [0; 1_000];
        let again = sealed.read(&file, &mut room, 5_000_000);
        assert!(matches!(again, Err(docroot::Error::SourceChanged)));
        assert_eq!(room, [0; 1_000]);
    }

    #[test]
    fn another_attempt_goes_on_with_an_envelope_until_the_file_has_its_result() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("f"), vec![1; 100_000]).unwrap();
        let (protection, first, file) = sealed(temp.path());
        let again = || {
            let source = first.source.clone();
            let place = source.path.clone();
            protection.seal(source, file.identity(), &place).unwrap()
        };
        assert!(!again().is_continued());
        first.keep();
        let second = again();
        assert!(second.is_continued());
        assert!(read(&second, &file, 999) == read(&first, &file, 50_000));
        second.settled();
        assert!(!again().is_continued());
    }
}
