//! Envelopes that were begun, on disk, so that another command goes on with them (docs/envelope.md, "In transfers").
//!
//! A record has the header of an envelope and the tags of the chunks that were given out: parts of the envelope, so no
//! secret. The file key comes out of the header with the passphrase.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use docroot::{Dir, Docroot, EntryPath, Identity, Partial, PartialOptions};
use fasp_crypt::{ChunkTag, EnvelopeWriter, HEADER_LEN, Header, KeyRing, TAG_LEN};
use ring::digest;

use super::{Version, lock};
use crate::Error;

/// Files of this size and more have a record; smaller ones are a single chunk, which is sent again.
const SMALLEST: u64 = 32 << 20;
/// Records open at once, at most: each has a file open.
const MAX_OPEN: usize = 64;
/// A record that was not touched for so long is of a file that nobody goes on with.
const STALE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

const MAGIC: [u8; 8] = *b"AENVrec1";
/// As Linux names the time since it was started: 36 characters.
const BOOT_LEN: usize = 36;
const IDENTITY_LEN: usize = 40;
const HEADER_AT: usize = MAGIC.len() + BOOT_LEN + IDENTITY_LEN;
/// Where the tags are, each at its chunk's index.
const TAGS_AT: usize = HEADER_AT + HEADER_LEN;
/// A chunk that was not given out.
const NO_TAG: ChunkTag = [0; TAG_LEN];

/// The records of a user.
#[derive(Debug)]
pub(super) struct Records {
    dir: Dir,
    ring: KeyRing,
    /// A record is written without waiting for the disk, so one from before a crash of the system may lack tags of chunks that
    /// were given out, and is not believed.
    boot: [u8; BOOT_LEN],
    open: Arc<AtomicUsize>,
}

/// The open record of one envelope. Dropped, it stays for another command.
#[derive(Debug)]
pub(super) struct Record {
    file: Mutex<Partial>,
    open: Arc<AtomicUsize>,
}

impl Drop for Record {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Records {
    /// Opens the directory of the records, and removes those that nobody goes on with. Nothing where the system does not say when
    /// it was started.
    pub(super) fn open(directory: &Docroot, ring: KeyRing) -> Result<Option<Self>, Error> {
        let Some(boot) = boot() else {
            return Ok(None);
        };
        let failed = |source| Error::File {
            path: "the records of protected files".to_owned(),
            source,
        };
        let dir = directory.dir(&EntryPath::root()).map_err(failed)?;
        remove_stale(&dir).map_err(failed)?;
        Ok(Some(Self {
            dir,
            ring,
            boot,
            open: Arc::default(),
        }))
    }

    /// Finds the envelope that an earlier command began for this version of a file, with its record.
    pub(super) fn recall(&self, version: &Version) -> Option<(EnvelopeWriter, Record)> {
        if version.identity.size < SMALLEST {
            return None;
        }
        let name = name(version);
        // Most files have none, and none is made for them before something of them is given out.
        self.dir.partial_attributes(&name).ok().flatten()?;
        let record = self.locked(&name)?;
        let writer = self.read(&lock(&record.file), version);
        match writer {
            Some(writer) => Some((writer, record)),
            None => {
                record.forget();
                None
            }
        }
    }

    /// Begins the record of an envelope.
    pub(super) fn begin(&self, version: &Version, writer: &EnvelopeWriter) -> Option<Record> {
        if version.identity.size < SMALLEST {
            return None;
        }
        let record = self.locked(&name(version))?;
        let written = {
            let file = lock(&record.file);
            let start = [
                &MAGIC[..],
                &self.boot,
                &identity(version.identity),
                writer.header().as_bytes(),
            ];
            file.set_len(0)
                .and_then(|()| file.write_all_at(&start.concat(), 0))
        };
        match written {
            Ok(()) => Some(record),
            Err(error) => {
                tracing::debug!(%error, "an envelope cannot be gone on with by another command");
                record.forget();
                None
            }
        }
    }

    /// Opens a record that no other command has open.
    fn locked(&self, name: &[u8]) -> Option<Record> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= MAX_OPEN {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let options = PartialOptions::default().resume(true).mode(0o600);
        match self.dir.create_partial(name, &options) {
            Ok(mut file) => {
                file.keep();
                Some(Record {
                    file: Mutex::new(file),
                    open: Arc::clone(&self.open),
                })
            }
            Err(error) => {
                self.open.fetch_sub(1, Ordering::Relaxed);
                tracing::debug!(%error, "an envelope cannot be gone on with by another command");
                None
            }
        }
    }

    /// Reads a record; nothing unless it fits in every detail and the passphrase is the same.
    fn read(&self, file: &Partial, version: &Version) -> Option<EnvelopeWriter> {
        let mut start = [0; TAGS_AT];
        if file.read_at(&mut start, 0).ok()? < start.len() {
            return None;
        }
        let expected = [&MAGIC[..], &self.boot, &identity(version.identity)].concat();
        if start[..HEADER_AT] != expected {
            return None;
        }
        let header = Header::parse(&start[HEADER_AT..], self.ring.ceiling()).ok()?;
        let kek = self.ring.kek(header.kdf(), &AtomicBool::new(false)).ok()?;
        let size = version.identity.size;
        let layout = fasp_crypt::Layout::for_plain(header.chunk_size(), size).ok()?;
        // 16 bytes for each MiB of a file that this machine has.
        let mut tags = vec![0; usize::try_from(layout.chunk_count()).ok()? * TAG_LEN];
        let length = file.read_at(&mut tags, TAGS_AT as u64).ok()?;
        let (tags, _) = tags[..length].as_chunks::<TAG_LEN>();
        let given_out = (0..)
            .zip(tags.iter().copied())
            .filter(|(_, tag)| *tag != NO_TAG);
        EnvelopeWriter::resume(&kek, header, size, given_out).ok()
    }
}

impl Record {
    /// Takes note of a chunk before it is given out.
    ///
    /// # Errors
    /// When it cannot be written: then nothing may be given out that nobody knows of later.
    pub(super) fn note(&self, index: u64, tag: ChunkTag) -> Result<(), docroot::Error> {
        let at = TAGS_AT as u64 + index * TAG_LEN as u64;
        lock(&self.file).write_all_at(&tag, at)
    }

    /// Removes it: nobody will go on with the envelope.
    pub(super) fn forget(&self) {
        // What stays is of an envelope that no further byte is given out of.
        lock(&self.file).forget_checkpoint().ok();
    }
}

/// Names nothing of the file.
fn name(version: &Version) -> Vec<u8> {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&identity(version.identity));
    context.update(version.place.as_bytes());
    let digest = context.finish();
    let half = &digest.as_ref()[..16];
    data_encoding::HEXLOWER.encode(half).into_bytes()
}

fn identity(identity: Identity) -> [u8; IDENTITY_LEN] {
    let Identity {
        device,
        inode,
        size,
        mtime,
    } = identity;
    let parts = [
        device,
        inode,
        size,
        mtime.seconds.cast_unsigned(),
        u64::from(mtime.nanos),
    ];
    let mut bytes = [0; IDENTITY_LEN];
    for (room, part) in bytes.chunks_exact_mut(8).zip(parts) {
        room.copy_from_slice(&part.to_be_bytes());
    }
    bytes
}

#[expect(
    clippy::disallowed_methods,
    reason = "a file of the kernel, whose name nobody chose"
)]
fn boot() -> Option<[u8; BOOT_LEN]> {
    let text = fs::read("/proc/sys/kernel/random/boot_id").ok()?;
    text.first_chunk().copied()
}

fn remove_stale(dir: &Dir) -> Result<(), docroot::Error> {
    let now = SystemTime::now();
    for entry in dir.list()? {
        let entry = entry?;
        let seconds = u64::try_from(entry.attributes.mtime.seconds).unwrap_or_default();
        let touched = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        if now
            .duration_since(touched)
            .is_ok_and(|since| since >= STALE)
        {
            // One that stays is met again the next time.
            dir.remove_file(&entry.name).ok();
        }
    }
    Ok(())
}
