//! The files of a session that travel as blocks, as they are read.

use std::collections::BTreeMap;
use std::io::IoSliceMut;
use std::sync::Arc;

use docroot::{Identity, SourceFile};
use fasp_core::session::BlockRead;

use super::origin::{Extract, Origin, Span};

/// Bytes asked from the system ahead of their use.
const READ_AHEAD: u64 = 8 << 20;
/// Files kept open at once (protocol §12).
const MAX_OPEN: usize = 256;

/// A file that travels as blocks.
#[derive(Debug)]
struct BlockFile {
    origin: Origin,
    /// Bytes that are sent.
    size: u64,
    /// Which they are; without it the file's.
    span: Option<Span>,
    /// Sent once, or settled before that.
    is_put_down: bool,
    file: Option<Arc<SourceFile>>,
    /// What the file was when it was first opened.
    identity: Option<Identity>,
    /// Asked from the system until here.
    ahead: u64,
    used: u64,
}

impl BlockFile {
    /// Whether this is the version of the file that was seen first, by any session.
    fn is_version(&mut self, identity: Identity) -> bool {
        let shared = self
            .span
            .as_ref()
            .map(|span| *span.identity.get_or_init(|| identity));
        let first = self.identity.or(shared);
        self.identity.get_or_insert(identity);
        first.is_none_or(|first| first == identity)
    }
}

/// The files of a session that travel as blocks, opened when they are needed.
#[derive(Debug, Default)]
pub(super) struct OpenSources {
    files: BTreeMap<u32, BlockFile>,
    open: usize,
    uses: u64,
}

impl OpenSources {
    pub(super) fn insert(&mut self, file: u32, origin: Origin, size: u64, span: Option<Span>) {
        if let Origin::Sealed(sealed) = &origin {
            sealed.keep();
        }
        let entry = BlockFile {
            origin,
            size,
            span,
            is_put_down: false,
            file: None,
            identity: None,
            ahead: 0,
            used: 0,
        };
        self.files.insert(file, entry);
    }

    /// The file has its result.
    pub(super) fn remove(&mut self, file: u32) {
        let Some(removed) = self.files.remove(&file) else {
            return;
        };
        if let (Origin::Sealed(sealed), None) = (&removed.origin, removed.span) {
            sealed.settled();
        }
        if let Origin::Growing(file) = &removed.origin {
            file.settle();
        }
        if removed.file.is_some() {
            self.open -= 1;
        }
    }

    /// Says that a file is not in the session's hand any more; returns its size, and whether it is a part, once.
    pub(super) fn put_down(&mut self, file: u32) -> Option<(u64, bool)> {
        let entry = self.files.get_mut(&file)?;
        let was_put_down = std::mem::replace(&mut entry.is_put_down, true);
        (!was_put_down).then_some((entry.size, entry.span.is_some()))
    }

    /// Reads neighbouring blocks of one file into their rooms.
    pub(super) fn read(
        &mut self,
        reads: &[BlockRead],
        rooms: &mut [IoSliceMut<'_>],
    ) -> Result<(), docroot::Error> {
        let Some(first) = reads.first() else {
            return Ok(());
        };
        let entry = self.files.get(&first.file);
        // Blocks count from the start of the part.
        let base = entry
            .and_then(|f| f.span.as_ref())
            .map_or(0, |span| span.start);
        if let Some(Origin::Faux(content)) = entry.map(|f| &f.origin) {
            for (room, read) in rooms.iter_mut().zip(reads) {
                content.fill(base + read.offset, room);
            }
            return Ok(());
        }
        if let Some(Origin::Growing(file)) = entry.map(|f| &f.origin) {
            return file.read(rooms, base + first.offset);
        }
        let wanted: usize = reads.iter().map(|r| r.length).sum();
        let sealed = match entry.map(|f| &f.origin) {
            Some(Origin::Sealed(sealed)) => Some(Arc::clone(sealed)),
            _ => None,
        };
        let file = self.open(first.file, base, first.offset + wanted as u64)?;
        if let Some(sealed) = sealed {
            for (room, read) in rooms.iter_mut().zip(reads) {
                sealed.read(&file, room, base + read.offset)?;
            }
            return Ok(());
        }
        let read = file.read_vectored_at(rooms, base + first.offset)?;
        if read == wanted {
            return Ok(());
        }
        // A short read: fetch what is missing piece by piece; the end of the file means that it was cut.
        let mut done = 0;
        for (room, read_at) in rooms.iter_mut().zip(reads) {
            let have = read.saturating_sub(done).min(read_at.length);
            done += read_at.length;
            if have < read_at.length {
                let missing =
                    file.read_at(&mut room[have..], base + read_at.offset + have as u64)?;
                if missing < read_at.length - have {
                    return Err(docroot::Error::SourceChanged);
                }
            }
        }
        Ok(())
    }

    /// What is sent of a file, to be read beside that.
    pub(super) fn extract(&self, file: u32) -> Option<Extract> {
        let entry = self.files.get(&file)?;
        let span = entry.span.clone();
        Some(Extract::new(entry.origin.clone(), entry.size, span))
    }

    /// Takes note of the version of a file that was read beside the sending of it; it has to be the same one.
    pub(super) fn confirm(&mut self, file: u32, identity: Identity) -> Result<(), docroot::Error> {
        let Some(entry) = self.files.get_mut(&file) else {
            return Ok(());
        };
        match entry.is_version(identity) {
            true => Ok(()),
            false => Err(docroot::Error::SourceChanged),
        }
    }

    /// All of a file, or of a part, has been sent once: checks that it still is what was sent (rule D-7).
    pub(super) fn check(&self, file: u32, digest: u64) -> Result<(), docroot::Error> {
        let Some(entry) = self.files.get(&file) else {
            return Ok(());
        };
        match (&entry.origin, &entry.file) {
            (Origin::Growing(growing), _) => {
                let start = entry.span.as_ref().map_or(0, |span| span.start);
                growing.sent(start, entry.size, digest)
            }
            (_, Some(open)) => open.unchanged(),
            (_, None) => Ok(()),
        }
    }

    fn open(
        &mut self,
        number: u32,
        base: u64,
        until: u64,
    ) -> Result<Arc<SourceFile>, docroot::Error> {
        self.uses += 1;
        let uses = self.uses;
        if self.open >= MAX_OPEN && self.files.get(&number).is_some_and(|f| f.file.is_none()) {
            self.close_oldest();
        }
        let entry = self
            .files
            .get_mut(&number)
            .ok_or(docroot::Error::NotFound)?;
        entry.used = uses;
        let file = match &entry.file {
            Some(file) => Arc::clone(file),
            None => {
                let size = entry.span.as_ref().map_or(entry.size, |span| span.whole);
                let file = entry.origin.open(size)?.map(Arc::new);
                let file = file.ok_or(docroot::Error::NotFound)?;
                if !entry.is_version(file.identity()) {
                    return Err(docroot::Error::SourceChanged);
                }
                entry.file = Some(Arc::clone(&file));
                self.open += 1;
                file
            }
        };
        if until + READ_AHEAD / 2 > entry.ahead && entry.ahead < entry.size {
            let to = (until + READ_AHEAD).min(entry.size);
            file.advise_willneed(base + entry.ahead.max(until)..base + to);
            entry.ahead = to;
        }
        Ok(file)
    }

    fn close_oldest(&mut self) {
        let oldest = self
            .files
            .values_mut()
            .filter(|f| f.file.is_some())
            .min_by_key(|f| f.used);
        if let Some(entry) = oldest {
            entry.file = None;
            self.open -= 1;
        }
    }
}
