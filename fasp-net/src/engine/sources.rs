//! What is to be sent.

use std::{os::unix::ffi::OsStrExt as _, path::Path, sync::Arc};

use docroot::{Docroot, EntryPath, LinkRule, Suffixes};
use fasp_core::ErrorCode;
use transfer_spec::{Faux, FauxSource, FileRules, Location, PlaceError, Preserve, place_of};

use super::finisher::Aftermath;
use super::growing::Growth;
use super::sealed::Protection;
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
    /// A file that is sent while it is being written.
    Growing {
        /// The root.
        root: Docroot,
        /// Where it is beneath the root.
        path: EntryPath,
        /// Where it goes beneath the destination.
        place: EntryPath,
        /// When it counts as complete.
        growth: Growth,
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
    /// What is kept of them.
    preserve: Preserve,
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

    /// Whether any of them is still being written: only one session can send those.
    pub(crate) fn grow(&self) -> bool {
        let is_growing = |source: &Source| matches!(source, Source::Growing { .. });
        self.items.iter().any(is_growing)
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
                preserve: Preserve::default(),
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

    /// Sets what is kept of them. Extended attributes would leave as they are, so protected files leave without.
    pub(crate) fn keeping(self, preserve: Preserve) -> Self {
        let xattrs = preserve.xattrs && self.protection.is_none();
        Self {
            preserve: Preserve { xattrs, ..preserve },
            ..self
        }
    }

    /// What is kept of them.
    pub(crate) const fn preserve(&self) -> Preserve {
        self.preserve
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
            preserve: Preserve::default(),
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

    /// Takes a local file that is still being written; otherwise as [`Source::local_with_base`].
    ///
    /// # Errors
    /// As [`Source::local_with_base`].
    pub fn growing(path: &Path, base: Option<&[u8]>, growth: Growth) -> Result<Self, Error> {
        Ok(match Self::local_with_base(path, base)? {
            Self::Tree { root, path, place } => Self::Growing {
                root,
                path,
                place,
                growth,
            },
            other => other,
        })
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

/// Returns code and words of a file's failure, for records and events.
pub(super) fn failure(error: &docroot::Error) -> (ErrorCode, String) {
    (error.code(), error.to_string())
}
