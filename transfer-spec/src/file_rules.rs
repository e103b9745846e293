//! What of the sources is sent and under which names, and what becomes of files at both ends.

use crate::{FileChecksum, Filter};

/// The rules about files of one transfer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileRules {
    /// What is left out.
    pub filter: Filter,
    /// The part of each source's path that is not kept: the rest is its path below the destination.
    pub source_base: Option<Vec<u8>>,
    /// Paths below the destination, one for each source; empty when the sources keep their names.
    pub names: Vec<Vec<u8>>,
    /// The sources come from a list: one that is missing fails alone.
    pub is_list: bool,
    /// Pipes, sockets and devices are left out; without it each of them fails.
    pub skip_special: bool,
    /// What becomes of the sources.
    pub after: AfterTransfer,
    /// A file that is replaced is kept under another name.
    pub save_existing: bool,
    /// What the sources' directories do not have is deleted at the destination.
    pub delete_absent: bool,
    /// Nothing is changed anywhere: what would be sent is only told.
    pub dry_run: bool,
    /// What the client tells of every file that arrived; it does not travel.
    pub checksum: FileChecksum,
    /// The sources are counted first, so that the totals are known.
    pub precalculate: bool,
}

/// What becomes of sources that have arrived.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AfterTransfer {
    /// Of files.
    pub fate: SourceFate,
    /// Of directories that are empty then.
    pub directories: EmptyDirectories,
    /// Files that were skipped, because the destination has them, are treated alike.
    pub skipped_too: bool,
}

/// What becomes of a source file that has arrived.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SourceFate {
    /// It stays.
    #[default]
    Stay,
    /// It is removed.
    Remove,
    /// It moves beneath this directory.
    Move(Vec<u8>),
}

/// What becomes of a source directory that is empty then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum EmptyDirectories {
    /// It stays.
    #[default]
    Stay,
    /// It is removed, unless it was named as a source.
    RemoveBelow,
    /// It is removed.
    RemoveAll,
}

impl AfterTransfer {
    /// Whether the sources stay as they are.
    pub fn is_nothing(&self) -> bool {
        self.fate == SourceFate::Stay && self.directories == EmptyDirectories::Stay
    }
}

/// Why a source has no place below the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// It is not below the source base.
    #[error("it is not below the source base")]
    OutsideBase,
    /// It climbs, so that what it is called cannot be told by its words.
    #[error("a path with .. has no name to keep")]
    Climbs,
    /// There are fewer names than sources.
    #[error("there is no name for it")]
    Nameless,
}

impl FileRules {
    /// Returns where a source goes below the destination: components joined by `/`, none for the destination itself.
    /// `number` counts the sources from 0.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub fn place(&self, number: usize, source: &[u8]) -> Result<Vec<u8>, PlaceError> {
        if !self.names.is_empty() {
            let name = self.names.get(number).ok_or(PlaceError::Nameless)?;
            return place_of(name, Some(b""));
        }
        place_of(source, self.source_base.as_deref())
    }
}

/// Returns what a source keeps of its path: what is behind `base`, or its last component.
///
/// # Errors
/// [`PlaceError`].
pub fn place_of(source: &[u8], base: Option<&[u8]>) -> Result<Vec<u8>, PlaceError> {
    let parts = components(source);
    let Some(base) = base else {
        // One that ends in dots stands for what is in it.
        let last = parts.last().copied().filter(|part| *part != b"..");
        return Ok(last.unwrap_or_default().to_vec());
    };
    let base_parts = components(base);
    if parts.contains(&&b".."[..]) || base_parts.contains(&&b".."[..]) {
        return Err(PlaceError::Climbs);
    }
    let is_absolute = |path: &[u8]| path.starts_with(b"/");
    if !base.is_empty() && is_absolute(source) != is_absolute(base) {
        return Err(PlaceError::OutsideBase);
    }
    match parts.strip_prefix(&base_parts[..]) {
        Some(rest) => Ok(rest.join(&b'/')),
        None => Err(PlaceError::OutsideBase),
    }
}

fn components(path: &[u8]) -> Vec<&[u8]> {
    path.split(|b| *b == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(source: &str, base: Option<&str>) -> Result<String, PlaceError> {
        place_of(source.as_bytes(), base.map(str::as_bytes))
            .map(|place| String::from_utf8(place).unwrap())
    }

    #[test]
    fn a_source_keeps_its_last_name_or_what_is_behind_the_base() {
        for (source, base, kept) in [
            ("p/q/f1", None, "f1"),
            ("/p/q/", None, "q"),
            ("./f", None, "f"),
            (".", None, ""),
            ("p/..", None, ""),
            ("p/q/f1", Some("p"), "q/f1"),
            ("./p//q/f1", Some("p/"), "q/f1"),
            ("/a/b/c", Some("/a"), "b/c"),
            ("/a/b/c", Some("/"), "a/b/c"),
            ("p", Some("p"), ""),
        ] {
            assert_eq!(place(source, base), Ok(kept.into()), "{source} {base:?}");
        }
        for (source, base, error) in [
            ("p2/f", "p", PlaceError::OutsideBase),
            ("/p/f", "p", PlaceError::OutsideBase),
            ("p/../../f", "p", PlaceError::Climbs),
            ("p/f", "../p", PlaceError::Climbs),
        ] {
            assert_eq!(place(source, Some(base)), Err(error), "{source} {base}");
        }
    }

    #[test]
    fn f80_names_of_a_pair_list_stay_below_the_destination() {
        let rules = FileRules {
            names: vec![b"/a/./b".to_vec(), b"../x".to_vec()],
            ..FileRules::default()
        };
        assert_eq!(rules.place(0, b"s"), Ok(b"a/b".to_vec()));
        assert_eq!(rules.place(1, b"s"), Err(PlaceError::Climbs));
        assert_eq!(rules.place(2, b"s"), Err(PlaceError::Nameless));
    }
}
