//! Which files are meant.

use std::{os::unix::ffi::OsStrExt as _, path::Path};

use docroot::{Dir, Docroot, EntryPath, FileKind, SymlinkPolicy, WalkOptions};
use fasp_crypt::SUFFIX;
use fasp_net::{engine::EnvelopeError, event::ShownText};

/// How the header is saved while another one is written (docs/envelope.md, "Another passphrase").
const SAVED: &str = ".rekey";
/// What our own unfinished files end with, besides the saved header.
const UNFINISHED: [&str; 2] = [".partial", ".aspera-ckpt"];
/// The most files of one call: their names are kept in memory, so that the total is known.
const MAX_FILES: usize = 1_000_000;

/// One file.
#[derive(Debug)]
pub(super) struct Item {
    root: Docroot,
    path: EntryPath,
    /// As the user would write it.
    pub(super) shown: ShownText,
    /// When it was found, in bytes.
    pub(super) size: u64,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) items: Vec<Item>,
    pub(super) skipped: Vec<(ShownText, &'static str)>,
    pub(super) failed: Vec<(ShownText, EnvelopeError)>,
}

/// Which files of a directory are meant. A file that was named is always meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Those that are not protected yet.
    Plain,
    /// Those with the suffix.
    Envelopes,
}

impl Item {
    /// Opens the directory that holds the file, and returns it with the file's name.
    pub(super) fn place(&self) -> Result<(Dir, &[u8]), docroot::Error> {
        let parent = self.path.parent().unwrap_or_default();
        let name = self.path.file_name().unwrap_or_default();
        Ok((self.root.dir(&parent)?, name))
    }

    /// Returns how a file beside this one is shown.
    pub(super) fn beside(&self, name: &[u8]) -> ShownText {
        let own = ShownText::from_bytes(self.path.file_name().unwrap_or_default());
        let other = ShownText::from_bytes(name);
        let whole = self.shown.as_str();
        let parent = whole.strip_suffix(own.as_str()).unwrap_or_default();
        // Both parts are escaped already.
        ShownText::from_message(&format!("{parent}{other}"))
    }
}

/// Looks for the files that the user named, and those in the directories that the user named. Links in directories are left out.
pub(super) fn find(paths: &[impl AsRef<Path>], wanted: Wanted) -> Found {
    let mut found = Found::default();
    for path in paths {
        let path = path.as_ref();
        let shown = ShownText::from_bytes(path.as_os_str().as_bytes());
        if let Err(error) = walk(path, wanted, &mut found) {
            found.failed.push((shown, error.into()));
        }
    }
    found
}

fn walk(path: &Path, wanted: Wanted, found: &mut Found) -> Result<(), docroot::Error> {
    let (root, start) = Docroot::for_source(path)?;
    let parent = match start.file_name() {
        Some(_) => path.parent().unwrap_or(path),
        None => path,
    };
    let shown = |entry: &[u8]| match parent.as_os_str().as_bytes() {
        b"" => ShownText::from_bytes(entry),
        parent if parent.ends_with(b"/") => ShownText::from_bytes(&[parent, entry].concat()),
        parent => ShownText::from_bytes(&[parent, b"/", entry].concat()),
    };
    let before = found.items.len() + found.skipped.len() + found.failed.len();
    let mut is_directory = false;
    let options = WalkOptions::default().symlinks(SymlinkPolicy::Skip);
    for entry in root.walk(&start, options)? {
        let entry = match entry {
            Ok(entry) => entry,
            Err(failed) => {
                found
                    .failed
                    .push((shown(&failed.path), failed.error.into()));
                continue;
            }
        };
        if entry.kind() == FileKind::Directory {
            is_directory = true;
            continue;
        }
        let name = entry.path.file_name().unwrap_or_default();
        let is_named = entry.path == start;
        match (wanted, skipped(name)) {
            (Wanted::Plain, Some(why)) => {
                found.skipped.push((shown(entry.path.as_bytes()), why));
                continue;
            }
            (Wanted::Envelopes, _) if !is_named && !name.ends_with(SUFFIX.as_bytes()) => continue,
            _ => {}
        }
        if found.items.len() == MAX_FILES {
            return Err(docroot::Error::OverLimit {
                limit: MAX_FILES as u64,
            });
        }
        found.items.push(Item {
            root: root.clone(),
            shown: shown(entry.path.as_bytes()),
            size: entry.attributes.size,
            path: entry.path,
        });
    }
    let after = found.items.len() + found.skipped.len() + found.failed.len();
    // A link that the user named was left out without a word.
    if after == before && !is_directory && !start.is_root() {
        return Err(docroot::Error::OutsideRoot);
    }
    Ok(())
}

/// Returns why a file of this name is not protected, if it is not.
fn skipped(name: &[u8]) -> Option<&'static str> {
    if name.ends_with(SUFFIX.as_bytes()) {
        return Some("it is protected already");
    }
    let is_ours = UNFINISHED
        .iter()
        .any(|suffix| name.ends_with(suffix.as_bytes()))
        || name.ends_with(&saved_name(SUFFIX.as_bytes()));
    is_ours.then_some("it is an unfinished file of this program")
}

/// Returns the name of the saved header of `name`.
pub(super) fn saved_name(name: &[u8]) -> Vec<u8> {
    [name, SAVED.as_bytes()].concat()
}

/// Returns the name of the plain copy of an envelope: without the suffix, if it has one.
///
/// `None` for a name that is nothing but the suffix (rule E-5).
pub(super) fn plain_name(envelope: &[u8]) -> Option<&[u8]> {
    match envelope.strip_suffix(SUFFIX.as_bytes()) {
        Some(b"") => None,
        Some(name) => Some(name),
        None => Some(envelope),
    }
}

/// Returns the name beside a plain name that is taken: `film(decrypted).mov` for `film.mov`.
pub(super) fn decrypted_name(plain: &[u8]) -> Vec<u8> {
    // A dot in front begins a hidden name, no extension.
    let dot = plain.iter().rposition(|b| *b == b'.').filter(|at| *at > 0);
    let (stem, extension) = plain.split_at(dot.unwrap_or(plain.len()));
    [stem, b"(decrypted)", extension].concat()
}

#[cfg(test)]
mod tests {
    use fasp_crypt::envelope_name;

    use super::*;

    // Rule E-5
    #[test]
    fn names_are_those_of_the_guide() {
        assert_eq!(envelope_name(b"a.txt"), b"a.txt.aspera-env");
        assert_eq!(
            plain_name(b"IMG_4333.CR2.aspera-env"),
            Some(&b"IMG_4333.CR2"[..])
        );
        assert_eq!(plain_name(b".aspera-env"), None);
        assert_eq!(plain_name(b"renamed"), Some(&b"renamed"[..]));
        for (plain, decrypted) in [
            ("IMG_4333.CR2", "IMG_4333(decrypted).CR2"),
            ("a.tar.gz", "a.tar(decrypted).gz"),
            ("README", "README(decrypted)"),
            (".bashrc", ".bashrc(decrypted)"),
            ("a.", "a(decrypted)."),
        ] {
            assert_eq!(decrypted_name(plain.as_bytes()), decrypted.as_bytes());
        }
    }
}
