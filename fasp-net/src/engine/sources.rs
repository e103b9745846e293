//! What is to be sent, and the files as they are read.

use std::{
    collections::BTreeMap,
    io::IoSliceMut,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    sync::{Arc, OnceLock},
};

use docroot::{Docroot, EntryPath, Identity, LinkRule, SourceFile, Suffixes};
use fasp_core::ErrorCode;
use fasp_core::session::BlockRead;
use transfer_spec::{Faux, FauxSource, FileRules, Location, PlaceError, place_of};

use super::faux::Content;
use super::finisher::Aftermath;
use super::sealed::{Protection, Sealed};
use super::source_list::SourceList;
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
        /// Where it goes beneath the destination.
        place: EntryPath,
    },
    /// What a list names.
    List(Arc<SourceList>),
    /// What is made up as it is sent.
    Faux(FauxSource),
}

/// Everything to send.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// In the order the user named them.
    pub items: Vec<Source>,
    /// What of them is sent, and what becomes of them.
    pub(crate) rules: Arc<FileRules>,
    /// What becomes of them, if anything does.
    pub(crate) aftermath: Option<Arc<Aftermath>>,
    /// How unfinished files end, which are left out; `None` is as the roots say.
    pub(crate) unfinished: Option<Suffixes>,
    /// How they are protected, if they are.
    protection: Option<Protection>,
}

impl Sources {
    /// Lets files leave as envelopes only, with `.aspera-env` behind their names.
    #[must_use]
    pub fn protected(self, protection: Protection) -> Self {
        Self {
            protection: Some(protection),
            ..self
        }
    }

    /// How the files are protected, if they are.
    pub(crate) const fn protection(&self) -> Option<&Protection> {
        self.protection.as_ref()
    }

    /// Takes what there is to send.
    ///
    /// # Errors
    /// [`Error::Nothing`] for an empty list.
    pub fn new(items: Vec<Source>) -> Result<Self, Error> {
        if items.is_empty() {
            Err(Error::Nothing)
        } else {
            Ok(Self {
                items,
                rules: Arc::default(),
                aftermath: None,
                unfinished: None,
                protection: None,
            })
        }
    }

    /// Sets the rules about files. Where the sources go was decided when they were made.
    ///
    /// # Errors
    /// [`Error::File`] for a directory that they should move to and that cannot be.
    pub(crate) fn under(mut self, rules: &FileRules) -> Result<Self, Error> {
        self.rules = Arc::new(rules.clone());
        self.aftermath = Aftermath::local(&self.rules)?;
        Ok(self)
    }

    /// Sets how unfinished files end.
    pub(crate) fn leaving_out(mut self, unfinished: &Suffixes) -> Self {
        self.unfinished = Some(unfinished.clone());
        self
    }

    /// Takes local paths as the user named them; each must exist.
    ///
    /// # Errors
    /// [`Error::File`] for the first that cannot be found, [`Error::Nothing`] for an empty list.
    pub fn local<P: AsRef<Path>>(paths: &[P]) -> Result<Self, Error> {
        let items = paths.iter().map(|path| Source::local(path.as_ref()));
        Self::new(items.collect::<Result<_, _>>()?)
    }

    /// Takes paths beneath one root, as a client named them; each must exist, unless they come from a list.
    /// `faux:///NAME?SIZE` is made up, which no file can be called; directories of such files are not, because a client
    /// decides how many they hold.
    ///
    /// # Errors
    /// As [`Sources::local`], with code 41 for a path that leaves the root.
    pub fn beneath(root: &Docroot, paths: &[Vec<u8>], rules: &FileRules) -> Result<Self, Error> {
        let mut items = Vec::with_capacity(paths.len());
        for (number, path) in paths.iter().enumerate() {
            if let Some(file) = made_up(path) {
                items.push(Source::Faux(file));
                continue;
            }
            let shown = || docroot::escape_name(path).into_owned();
            let failed = |source| Error::File {
                path: shown(),
                source,
            };
            let place = place_beneath(rules, number, path).map_err(|why| why.of(shown()))?;
            let path = beneath(path).map_err(failed)?;
            let root = root.clone();
            items.push(match rules.is_list {
                true => Source::Tree { root, path, place },
                false => Source::existing(root, path, place).map_err(failed)?,
            });
        }
        let rules = Arc::new(rules.clone());
        Ok(Self {
            unfinished: None,
            protection: None,
            items: Self::new(items)?.items,
            aftermath: Aftermath::beneath(&rules, root)?,
            rules,
        })
    }
}

/// Where a source that a client names goes, below the destination.
pub(crate) fn place_beneath(
    rules: &FileRules,
    number: usize,
    path: &[u8],
) -> Result<EntryPath, Misplaced> {
    // A leading slash means the root, with it or without.
    let trimmed = |path: &[u8]| {
        let start = path.iter().position(|b| *b != b'/');
        path[start.unwrap_or(path.len())..].to_vec()
    };
    let base = rules.source_base.as_deref().map(trimmed);
    if let Some(file) = made_up(path) {
        return entry_path(file.name().as_bytes());
    }
    // A path that climbs has no name that one could know.
    beneath(path)?;
    let kept = match rules.names.is_empty() {
        true => place_of(&trimmed(path), base.as_deref())?,
        false => rules.place(number, path)?,
    };
    entry_path(&kept)
}

/// Why a source has no place below the destination.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Misplaced {
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error(transparent)]
    Path(#[from] docroot::Error),
}

impl Misplaced {
    pub(super) fn of(self, path: String) -> Error {
        match self {
            Self::Place(source) => Error::Place { path, source },
            Self::Path(source) => Error::File { path, source },
        }
    }

    pub(super) fn code(&self) -> ErrorCode {
        match self {
            Self::Place(_) => ErrorCode::Usage,
            Self::Path(error) => error.code(),
        }
    }
}

pub(super) fn entry_path(components: &[u8]) -> Result<EntryPath, Misplaced> {
    match components {
        b"" => Ok(EntryPath::root()),
        components => Ok(EntryPath::parse(components)?),
    }
}

impl Source {
    /// Takes a local path as the user named it; it must exist. It keeps its last name.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn local(path: &Path) -> Result<Self, Error> {
        Self::local_with_base(path, None)
    }

    /// Takes a local path that keeps what is behind `base`, where there is one.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Place`] when it is not below the base.
    pub fn local_with_base(path: &Path, base: Option<&[u8]>) -> Result<Self, Error> {
        let shown = || path.display().to_string();
        let failed = |source| Error::File {
            path: shown(),
            source,
        };
        let place = place_of(path.as_os_str().as_bytes(), base)
            .map_err(Misplaced::from)
            .and_then(|place| entry_path(&place))
            .map_err(|why| why.of(shown()))?;
        let (root, entry) = Docroot::for_source(path).map_err(failed)?;
        Self::existing(root, entry, place).map_err(failed)
    }

    fn existing(root: Docroot, path: EntryPath, place: EntryPath) -> Result<Self, docroot::Error> {
        match root.stat(&path, LinkRule::Refuse)? {
            Some(_) => Ok(Self::Tree { root, path, place }),
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

/// A root that sources lie beneath.
#[derive(Debug, Clone)]
pub(super) enum Root {
    /// Kept open.
    Open(Docroot),
    /// The directory of an entry of a list, opened when it is needed: a list may name more directories than can be open.
    Named(Arc<Path>),
}

impl Root {
    pub(super) fn open(&self) -> Result<Docroot, docroot::Error> {
        match self {
            Self::Open(root) => Ok(root.clone()),
            Self::Named(path) => Docroot::open(path),
        }
    }
}

/// Where the bytes of one file come from.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// A file beneath a root.
    File(Located),
    /// A file that leaves as an envelope.
    Sealed(Arc<Sealed>),
    /// Nowhere.
    Faux(Content),
}

/// Where a file lies.
#[derive(Debug, Clone)]
pub(super) struct Located {
    pub(super) root: Root,
    pub(super) path: EntryPath,
    pub(super) rule: LinkRule,
}

impl Located {
    pub(super) fn open(&self) -> Result<SourceFile, docroot::Error> {
        self.root.open()?.open_source(&self.path, self.rule)
    }
}

impl Origin {
    /// Opens what has to be as long as it was listed; nothing for what is made up.
    fn open(&self, size: u64) -> Result<Option<SourceFile>, docroot::Error> {
        let (file, is_version) = match self {
            Self::Faux(_) => return Ok(None),
            Self::File(source) => {
                let file = source.open()?;
                let is_version = file.attributes().size == size;
                (file, is_version)
            }
            Self::Sealed(sealed) => {
                let file = sealed.source().open()?;
                let is_version = sealed.is_version(&file);
                (file, is_version)
            }
        };
        if !is_version {
            return Err(docroot::Error::SourceChanged);
        }
        file.advise_sequential();
        Ok(Some(file))
    }

    /// Whether an earlier attempt had the same bytes, so that it can be continued.
    pub(super) fn can_continue(&self) -> bool {
        match self {
            Self::Sealed(sealed) => sealed.is_continued(),
            Self::File(_) | Self::Faux(_) => true,
        }
    }

    /// Reads a whole small file of the size it was listed with into `content`; from `opened`, if the walk has opened it.
    pub(super) fn read_small(
        &self,
        opened: Option<SourceFile>,
        size: u64,
        content: &mut Vec<u8>,
    ) -> Result<(), docroot::Error> {
        content.resize(size as usize, 0);
        match self {
            // Nothing to open, as before there was anything to read.
            _ if size == 0 => {}
            Self::Faux(made_up) => made_up.fill(0, content),
            Self::Sealed(sealed) => {
                let file = match opened {
                    Some(file) => file,
                    None => sealed.source().open()?,
                };
                if !sealed.is_version(&file) {
                    return Err(docroot::Error::SourceChanged);
                }
                sealed.read(&file, content, 0)?;
                file.unchanged()?;
            }
            Self::File(source) => {
                let file = match opened {
                    Some(file) => file,
                    None => source.open()?,
                };
                if file.attributes().size != size || file.read_at(content, 0)? < content.len() {
                    return Err(docroot::Error::SourceChanged);
                }
            }
        }
        Ok(())
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

/// A file, or the part of it that one session sends, to be read beside the sending of it.
#[derive(Debug)]
pub(super) struct Extract {
    origin: Origin,
    /// Bytes of the file, or of the part.
    size: u64,
    span: Option<Span>,
}

/// A file that is being read beside the sending of it.
#[derive(Debug)]
pub(super) enum Extracted {
    File(SourceFile),
    Sealed(SourceFile, Arc<Sealed>),
    Faux(Content),
}

impl Extract {
    pub(super) fn new(origin: Origin, size: u64) -> Self {
        Self {
            origin,
            size,
            span: None,
        }
    }

    /// Whether an earlier attempt had the same bytes.
    pub(super) fn can_continue(&self) -> bool {
        self.origin.can_continue()
    }

    /// Where it begins in the file.
    pub(super) fn base(&self) -> u64 {
        self.span.as_ref().map_or(0, |span| span.start)
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Opens the file, which has to be as long as it was listed.
    pub(super) fn open(&self) -> Result<Extracted, docroot::Error> {
        let whole = self.span.as_ref().map_or(self.size, |span| span.whole);
        let Some(file) = self.origin.open(whole)? else {
            return match &self.origin {
                Origin::Faux(content) => Ok(Extracted::Faux(*content)),
                _ => Err(docroot::Error::NotFound),
            };
        };
        Ok(match &self.origin {
            Origin::Sealed(sealed) => Extracted::Sealed(file, Arc::clone(sealed)),
            _ => Extracted::File(file),
        })
    }
}

impl Extracted {
    pub(super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, docroot::Error> {
        match self {
            Self::File(file) => file.read_at(buffer, offset),
            Self::Sealed(file, sealed) => {
                sealed.read(file, buffer, offset)?;
                Ok(buffer.len())
            }
            Self::Faux(content) => {
                content.fill(offset, buffer);
                Ok(buffer.len())
            }
        }
    }

    /// Says which version of the file was read, if it is a file; fails if it changed meanwhile (rule D-7).
    pub(super) fn close(self) -> Result<Option<Identity>, docroot::Error> {
        match self {
            Self::File(file) | Self::Sealed(file, _) => {
                file.unchanged()?;
                Ok(Some(file.identity()))
            }
            Self::Faux(_) => Ok(None),
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
        Some(Extract {
            origin: entry.origin.clone(),
            size: entry.size,
            span: entry.span.clone(),
        })
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

/// Returns code and words of a file's failure, for records and events.
pub(super) fn failure(error: &docroot::Error) -> (ErrorCode, String) {
    (error.code(), error.to_string())
}
