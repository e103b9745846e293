//! Sealing one file, chunk by chunk, in any order and from any thread.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use zeroize::Zeroize as _;

use crate::chunk::{ChunkCipher, ChunkTag};
use crate::error::{Error, Result};
use crate::header::{HEADER_LEN, Header};
use crate::keys::{FileKey, Kek};
use crate::layout::{ChunkSize, Layout};
use crate::parallel;

/// Seals one file whose length is known.
///
/// The header and the length of the envelope are known from the start, and a chunk can be sealed at any time: what is
/// sent again is sealed again from the file. Because a chunk index may be encrypted for one content only, the writer
/// remembers the tag of every chunk, and refuses to give out a chunk that became another one (rule E-9).
///
/// ```
/// # use fasp_crypt::{Cost, EnvelopeReader, EnvelopeWriter, KeyRing, MemoryCeiling, Passphrase};
/// # use std::sync::atomic::AtomicBool;
/// # let cancelled = AtomicBool::new(false);
/// let ring = KeyRing::new(Passphrase::new("correct horse battery staple")?, MemoryCeiling::DEFAULT);
/// let batch = ring.new_batch(Cost::DEFAULT, &cancelled)?;
/// let writer = EnvelopeWriter::new(&batch, 5)?;
/// let span = writer.layout().span(0)?;
/// let mut chunk = b"hello".to_vec();
/// chunk.resize(span.sealed_len(), 0);
/// writer.seal_chunk(0, &mut chunk)?;
///
/// let header = writer.header().as_bytes();
/// let reader = EnvelopeReader::open(header, writer.layout().envelope_len(), &ring, &cancelled)?;
/// let plain_len = reader.open_chunk(0, &mut chunk)?;
/// assert_eq!(&chunk[..plain_len], b"hello");
/// # Ok::<(), fasp_crypt::Error>(())
/// ```
#[derive(Debug)]
pub struct EnvelopeWriter {
    header: Header,
    layout: Layout,
    cipher: ChunkCipher,
    /// The tags of the chunks sealed so far.
    sealed: Mutex<BTreeMap<u64, ChunkTag>>,
}

impl EnvelopeWriter {
    /// Begins an envelope for a file of `plain_len` bytes, with a key of its own.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] for a file that is too long, [`Error::NoRandomness`].
    pub fn new(batch: &Kek, plain_len: u64) -> Result<Self> {
        let chunk = ChunkSize::for_plain_len(Some(plain_len));
        Self::with_file_key(batch, &FileKey::random()?, chunk, plain_len)
    }

    /// Continues an envelope that another writer began, from its header and the tags it gave out.
    ///
    /// Chunks sealed now are the same bytes as before, or refused. Without the tags an envelope cannot be continued:
    /// begin a new one.
    ///
    /// # Errors
    /// [`Error::BadPassphrase`] if `kek` was not derived for this header, [`Error::LimitExceeded`],
    /// [`Error::Misuse`] for a tag of a chunk that does not exist.
    pub fn resume(
        kek: &Kek,
        header: Header,
        plain_len: u64,
        tags: impl IntoIterator<Item = (u64, ChunkTag)>,
    ) -> Result<Self> {
        let layout = Layout::for_plain(header.chunk_size(), plain_len)?;
        let mut sealed = BTreeMap::new();
        for (index, tag) in tags {
            layout.span(index)?;
            sealed.insert(index, tag);
        }
        let file_key = kek.unwrap(&header)?;
        Ok(Self {
            cipher: ChunkCipher::new(&file_key, &header),
            header,
            layout,
            sealed: Mutex::new(sealed),
        })
    }

    pub(crate) fn with_file_key(
        batch: &Kek,
        file_key: &FileKey,
        chunk: ChunkSize,
        plain_len: u64,
    ) -> Result<Self> {
        let layout = Layout::for_plain(chunk, plain_len)?;
        let header = Header::build(chunk, *batch.params(), |prefix| {
            batch.wrap(prefix, file_key)
        });
        Ok(Self {
            cipher: ChunkCipher::new(file_key, &header),
            header,
            layout,
            sealed: Mutex::default(),
        })
    }

    /// Returns the header: the first bytes of the envelope.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Returns where everything is, and how long the envelope will be.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Seals a chunk in place: `chunk` holds its plain bytes and room for the tag behind them.
    ///
    /// The same content always gives the same bytes.
    ///
    /// # Errors
    /// [`Error::SourceChanged`] if the chunk was sealed before with other content; `chunk` holds zeros then.
    /// [`Error::Misuse`] for a chunk that does not exist or a buffer of another length than its
    /// [`sealed_len`](crate::ChunkSpan::sealed_len).
    pub fn seal_chunk(&self, index: u64, chunk: &mut [u8]) -> Result<()> {
        let span = self.layout.span(index)?;
        if chunk.len() != span.sealed_len() {
            return Err(Error::Misuse("the buffer is not as long as the chunk"));
        }
        let (body, room) = chunk.split_at_mut(span.plain_len);
        let tag = self.cipher.seal(index, body);
        // With one key and nonce, the tag is a keyed hash of the content: another content has another tag.
        if *self.tags().entry(index).or_insert(tag) != tag {
            chunk.zeroize();
            return Err(Error::SourceChanged(index));
        }
        room.copy_from_slice(&tag);
        Ok(())
    }

    /// Seals a whole file in memory, on several threads.
    ///
    /// # Errors
    /// [`Error::Misuse`] if `plain` is not as long as the file, [`Error::SourceChanged`].
    pub fn seal_all(&self, plain: &[u8], threads: NonZeroUsize) -> Result<Vec<u8>> {
        if plain.len() as u64 != self.layout.plain_len() {
            return Err(Error::Misuse("the content is not as long as the file"));
        }
        let mut envelope = vec![0; HEADER_LEN + plain.len() + self.tag_bytes()];
        let (header, body) = envelope.split_at_mut(HEADER_LEN);
        header.copy_from_slice(self.header.as_bytes());
        let size = self.layout.chunk_size();
        // The empty last chunk of a file of whole chunks has no plain bytes to go with.
        let plain = plain.chunks(size.plain_len() as usize).chain([&[][..]]);
        let chunks = body.chunks_mut(size.sealed_len() as usize).zip(plain);
        parallel::for_each(
            (0..).zip(chunks),
            threads,
            || (),
            |_: &mut (), (index, (chunk, plain))| {
                chunk[..plain.len()].copy_from_slice(plain);
                self.seal_chunk(index, chunk)
            },
        )?;
        Ok(envelope)
    }

    /// Returns the tags of the chunks sealed so far, to be kept with the header and given to [`EnvelopeWriter::resume`].
    ///
    /// They are part of the envelope and no secret; unlike digests of the content they do not betray it.
    pub fn tags(&self) -> MutexGuard<'_, BTreeMap<u64, ChunkTag>> {
        // Tags are inserted whole: a panic elsewhere cannot leave one half there.
        self.sealed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tag_bytes(&self) -> usize {
        // The plain bytes are in memory, and there are fewer bytes of tags than of them, or 16.
        (self.layout.envelope_len() - HEADER_LEN as u64 - self.layout.plain_len()) as usize
    }
}
