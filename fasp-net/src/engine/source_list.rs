//! Sources that a list names, one a line, and pairs of a source and its name at the destination.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use docroot::{Docroot, EntryPath, MAX_PATH};
use fasp_core::ErrorCode;
use transfer_spec::place_of;

use super::origin::Root;
use super::sources::{Misplaced, entry_path};

/// The text of a list. It is kept as it was read: a list of millions of names takes its own length in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceList {
    text: Vec<u8>,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Sources { base: Option<Vec<u8>> },
    Pairs,
}

/// Why a text is no list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseListError {
    /// It names nothing.
    #[error("the list is empty")]
    Empty,
    /// A line is longer than a path can be.
    #[error("line {0} of the list is longer than {MAX_PATH} bytes")]
    TooLong(usize),
    /// A line has a zero byte, which no path has.
    #[error("line {0} of the list has a zero byte")]
    Nul(usize),
    /// The last source of a pair list has no destination.
    #[error("the list has a source without a destination: its lines are pairs")]
    Odd,
}

/// One source of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListEntry<'a> {
    /// The source.
    pub source: &'a [u8],
    /// Its path below the destination, in a list of pairs.
    pub name: Option<&'a [u8]>,
}

/// A source of a list, found on the disk.
pub(super) struct Located {
    pub(super) root: Docroot,
    pub(super) held: Root,
    pub(super) path: EntryPath,
    pub(super) place: EntryPath,
}

impl Located {
    /// A source that was named, whose root is held open.
    pub(super) fn held(root: &Docroot, path: &EntryPath, place: &EntryPath) -> Self {
        Self {
            root: root.clone(),
            held: Root::Open(root.clone()),
            path: path.clone(),
            place: place.clone(),
        }
    }
}

impl SourceList {
    /// Takes a list of sources, which keep their last name, or what is behind `base`.
    ///
    /// # Errors
    /// [`ParseListError`].
    pub fn sources(text: Vec<u8>, base: Option<Vec<u8>>) -> Result<Self, ParseListError> {
        Self::check(text, Kind::Sources { base })
    }

    /// Takes a list whose lines are a source and its name below the destination, in turn.
    ///
    /// # Errors
    /// [`ParseListError`].
    pub fn pairs(text: Vec<u8>) -> Result<Self, ParseListError> {
        let list = Self::check(text, Kind::Pairs)?;
        match list.lines().count() % 2 {
            0 => Ok(list),
            _ => Err(ParseListError::Odd),
        }
    }

    fn check(text: Vec<u8>, kind: Kind) -> Result<Self, ParseListError> {
        for (number, line) in text.split(|b| *b == b'\n').enumerate() {
            if line.len() > MAX_PATH {
                return Err(ParseListError::TooLong(number + 1));
            }
            if line.contains(&0) {
                return Err(ParseListError::Nul(number + 1));
            }
        }
        let list = Self { text, kind };
        let is_empty = list.lines().next().is_none();
        match is_empty {
            false => Ok(list),
            true => Err(ParseListError::Empty),
        }
    }

    /// The sources, in the order of the list.
    pub fn entries(&self) -> impl Iterator<Item = ListEntry<'_>> {
        let mut lines = self.lines();
        let has_names = self.kind == Kind::Pairs;
        std::iter::from_fn(move || {
            let source = lines.next()?;
            let name = match has_names {
                true => Some(lines.next()?),
                false => None,
            };
            Some(ListEntry { source, name })
        })
    }

    /// Lines without their ends; empty ones are none.
    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let text = self
            .text
            .strip_prefix(b"\xef\xbb\xbf")
            .unwrap_or(&self.text);
        text.split(|b| *b == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
            .filter(|line| !line.is_empty())
    }

    fn place(&self, entry: ListEntry<'_>) -> Result<EntryPath, Misplaced> {
        let kept = match (&self.kind, entry.name) {
            (_, Some(name)) => place_of(name, Some(b""))?,
            (Kind::Sources { base }, None) => place_of(entry.source, base.as_deref())?,
            (Kind::Pairs, None) => place_of(entry.source, None)?,
        };
        entry_path(&kept)
    }
}

/// Finds the entries of a list one after the other; neighbours mostly lie in one directory, which is kept open.
#[derive(Debug, Default)]
pub(super) struct ListWalk {
    last: Option<(PathBuf, Docroot)>,
}

impl ListWalk {
    pub(super) fn locate(
        &mut self,
        list: &SourceList,
        entry: ListEntry<'_>,
    ) -> Result<Located, (ErrorCode, String)> {
        let place = list
            .place(entry)
            .map_err(|why| (why.code(), why.to_string()))?;
        self.find(Path::new(OsStr::from_bytes(entry.source)), place)
            .map_err(|error| super::sources::failure(&error))
    }

    fn find(&mut self, source: &Path, place: EntryPath) -> Result<Located, docroot::Error> {
        let (parent, path) = match source.file_name() {
            Some(name) => {
                let parent = source.parent().filter(|p| !p.as_os_str().is_empty());
                let path = EntryPath::from_components([name.as_bytes()])?;
                (parent.unwrap_or_else(|| Path::new(".")), path)
            }
            None => (source, EntryPath::root()),
        };
        let root = match &self.last {
            Some((last, root)) if last == parent => root.clone(),
            _ => {
                let root = Docroot::open(parent)?;
                self.last = Some((parent.to_owned(), root.clone()));
                root
            }
        };
        Ok(Located {
            root,
            held: Root::Named(Arc::from(parent)),
            path,
            place,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_sources_or_pairs_whatever_ends_them() {
        let list = SourceList::sources(b"\xef\xbb\xbfa b\r\n\n/c/d\n".to_vec(), None).unwrap();
        let sources: Vec<_> = list.entries().map(|e| e.source).collect();
        assert_eq!(sources, [&b"a b"[..], b"/c/d"]);
        let list = SourceList::pairs(b"a\nx/y\nb\n/z".to_vec()).unwrap();
        let places: Vec<_> = list
            .entries()
            .map(|e| list.place(e).unwrap().to_string())
            .collect();
        assert_eq!(places, ["x/y", "z"]);
    }

    #[test]
    fn f80_a_list_cannot_place_anything_outside_the_destination() {
        let list = SourceList::pairs(b"a\n../x\nb\ny/../../z\n".to_vec()).unwrap();
        assert!(list.entries().all(|entry| list.place(entry).is_err()));
        let list = SourceList::sources(b"q/f\np/../f".to_vec(), Some(b"p".to_vec())).unwrap();
        assert!(list.entries().all(|entry| list.place(entry).is_err()));
    }

    #[test]
    fn what_is_no_list_is_refused_with_its_line() {
        use ParseListError as E;
        assert_eq!(SourceList::sources(b"\n\r\n".to_vec(), None), Err(E::Empty));
        assert_eq!(
            SourceList::sources(b"a\nb\0c".to_vec(), None),
            Err(E::Nul(2))
        );
        let long = [b"a\n".to_vec(), vec![b'x'; MAX_PATH + 1]].concat();
        assert_eq!(SourceList::sources(long, None), Err(E::TooLong(2)));
        assert_eq!(SourceList::pairs(b"a\nb\nc".to_vec()), Err(E::Odd));
    }
}
