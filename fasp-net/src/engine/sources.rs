//! What is to be sent, and the files as they are read.

use std::{
    collections::BTreeMap,
    io::IoSliceMut,
    path::Path,
    sync::{Arc, OnceLock},
};

use docroot::{Docroot, EntryPath, Identity, LinkRule, SourceFile};
use fasp_core::ErrorCode;
use fasp_core::session::BlockRead;
use transfer_spec::{Faux, FauxSource, Location};

use super::faux::Content;
use crate::Error;

/// One file or directory to send.
#[derive(Debug, Clone)]
pub enum Source {
    /// What lies beneath a root that it must not leave.
    Tree {
        /// The root.
        root: Docroot,
        /// Where it is beneath the root.
        path: EntryPath,
    },
    /// What is made up as it is sent.
    Faux(FauxSource),
}

/// Everything to send.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// In the order the user named them.
    pub items: Vec<Source>,
}

impl Sources {
    /// Takes what there is to send.
    ///
    /// # Errors
    /// [`Error::Nothing`] for an empty list.
    pub fn new(items: Vec<Source>) -> Result<Self, Error> {
        if items.is_empty() {
            Err(Error::Nothing)
        } else {
            Ok(Self { items })
        }
    }

    /// Takes local paths as the user named them; each must exist.
    ///
    /// # Errors
    /// [`Error::File`] for the first that cannot be found, [`Error::Nothing`] for an empty list.
    pub fn local<P: AsRef<Path>>(paths: &[P]) -> Result<Self, Error> {
        let items = paths.iter().map(|path| Source::local(path.as_ref()));
        Self::new(items.collect::<Result<_, _>>()?)
    }

    /// Takes paths beneath one root, as a client named them; each must exist. `faux:///NAME?SIZE` is made up, which no
    /// file can be called; directories of such files are not, because a client decides how many they hold.
    ///
    /// # Errors
    /// As [`Sources::local`], with code 41 for a path that leaves the root.
    pub fn beneath(root: &Docroot, paths: &[Vec<u8>]) -> Result<Self, Error> {
        let mut items = Vec::with_capacity(paths.len());
        for path in paths {
            if let Some(file) = made_up(path) {
                items.push(Source::Faux(file));
                continue;
            }
            let failed = |source| Error::File {
                path: docroot::escape_name(path).into_owned(),
                source,
            };
            let entry = beneath(path).map_err(failed)?;
            items.push(Source::existing(root.clone(), entry).map_err(failed)?);
        }
        Self::new(items)
    }
}

impl Source {
    /// Takes a local path as the user named it; it must exist.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn local(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::File {
            path: path.display().to_string(),
            source,
        };
        let (root, entry) = Docroot::for_source(path).map_err(failed)?;
        Self::existing(root, entry).map_err(failed)
    }

    fn existing(root: Docroot, path: EntryPath) -> Result<Self, docroot::Error> {
        match root.stat(&path, LinkRule::Refuse)? {
            Some(_) => Ok(Self::Tree { root, path }),
            None => Err(docroot::Error::NotFound),
        }
    }
}

/// Parses a single synthetic file as a client names it.
fn made_up(path: &[u8]) -> Option<FauxSource> {
    let location = str::from_utf8(path).ok()?.parse();
    match location {
        Ok(Location::Faux(Faux::Source(file @ FauxSource::File { .. }))) => Some(file),
        _ => None,
    }
}

/// Where the bytes of one file come from.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// A file beneath a root.
    File {
        root: Docroot,
        path: EntryPath,
        rule: LinkRule,
    },
    /// Nowhere.
    Faux(Content),
}

impl Origin {
    /// Reads a whole small file of the size it was listed with.
    pub(super) fn read_small(&self, size: u64) -> Result<Vec<u8>, docroot::Error> {
        let mut content = vec![0; size as usize];
        match self {
            // Nothing to open, as before there was anything to read.
            _ if size == 0 => {}
            Self::Faux(made_up) => made_up.fill(0, &mut content),
            Self::File { root, path, rule } => {
                let file = root.open_source(path, *rule)?;
                if file.attributes().size != size || file.read_at(&mut content, 0)? < content.len()
                {
                    return Err(docroot::Error::SourceChanged);
                }
            }
        }
        Ok(content)
    }
}

/// Parses a remote path: a leading `/` means the root (protocol §9.3).
pub(crate) fn beneath(path: &[u8]) -> Result<EntryPath, docroot::Error> {
    let start = path.iter().position(|b| *b != b'/').unwrap_or(path.len());
    let mut rest = &path[start..];
    while let [head @ .., b'/'] = rest {
        rest = head;
    }
    match rest {
        b"" | b"." => Ok(EntryPath::root()),
        rest => EntryPath::parse(rest.strip_prefix(b"./").unwrap_or(rest)),
    }
}

/// Where a part is in its file (protocol §13.3).
#[derive(Debug, Clone)]
pub(super) struct Span {
    /// The part's first byte.
    pub(super) start: u64,
    /// The file's size when it was listed.
    whole: u64,
    /// What the file was when the first session opened it.
    identity: Arc<OnceLock<Identity>>,
}

impl Span {
    /// The span that begins a file of this size.
    pub(super) fn first(whole: u64) -> Self {
        Self {
            start: 0,
            whole,
            identity: Arc::default(),
        }
    }

    /// The span behind this one, when this one is of `length` bytes.
    pub(super) fn behind(&self, length: u64) -> Self {
        Self {
            start: self.start + length,
            ..self.clone()
        }
    }
}

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

/// The files of a session that travel as blocks, opened when they are needed.
#[derive(Debug, Default)]
pub(super) struct OpenSources {
    files: BTreeMap<u32, BlockFile>,
    open: usize,
    uses: u64,
}

impl OpenSources {
    pub(super) fn insert(&mut self, file: u32, origin: Origin, size: u64, span: Option<Span>) {
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

    pub(super) fn remove(&mut self, file: u32) {
        if self.files.remove(&file).is_some_and(|f| f.file.is_some()) {
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
        let wanted: usize = reads.iter().map(|r| r.length).sum();
        let file = self.open(first.file, base, first.offset + wanted as u64)?;
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

    /// Checks that a file is still what was sent (rule D-7).
    pub(super) fn check(&self, file: u32) -> Result<(), docroot::Error> {
        match self.files.get(&file).and_then(|f| f.file.as_ref()) {
            Some(open) => open.unchanged(),
            None => Ok(()),
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
                let Origin::File { root, path, rule } = &entry.origin else {
                    return Err(docroot::Error::NotFound);
                };
                let file = Arc::new(root.open_source(path, *rule)?);
                let identity = file.identity();
                let size = entry.span.as_ref().map_or(entry.size, |span| span.whole);
                let shared = entry
                    .span
                    .as_ref()
                    .map(|span| *span.identity.get_or_init(|| identity));
                let earlier = entry.identity.or(shared);
                if file.attributes().size != size || earlier.is_some_and(|i| i != identity) {
                    return Err(docroot::Error::SourceChanged);
                }
                file.advise_sequential();
                entry.identity = Some(identity);
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

/// Returns code and words of a file's failure, for records and events.
pub(super) fn failure(error: &docroot::Error) -> (ErrorCode, String) {
    (error.code(), error.to_string())
}
