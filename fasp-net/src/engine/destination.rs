//! Where received entries go: the naming rules of `ascp`, and what a download may touch (rule P-9).

use std::{collections::BTreeSet, ffi::OsStr, os::unix::ffi::OsStrExt as _, path::Path, sync::Arc};

use docroot::{Docroot, EntryPath, FileKind, LinkRule, NameRules, RootOptions};
use fasp_crypt::envelope_name;

use super::decryption::{Decryption, plain_name};
use super::sources::{beneath, place_beneath};
use crate::Error;
use crate::request::TransferOptions;

/// What names a destination that discards, as `ascp` does.
const SINK: &[u8] = b"faux://";

/// A resolved destination.
#[derive(Debug, Clone)]
pub enum Destination {
    /// A place beneath a root.
    Tree(Tree),
    /// Nowhere: what arrives is checked and thrown away.
    Sink,
}

impl Destination {
    /// Resolves a destination beneath a root, as a server does for an upload; `faux://` discards.
    ///
    /// # Errors
    /// [`Error::File`] with code 41 outside the root, 4 when the parent is missing; [`Error::NotADirectory`].
    pub fn beneath(
        root: &Docroot,
        path: &[u8],
        sources: usize,
        create_dir: bool,
    ) -> Result<Self, Error> {
        match path.strip_prefix(SINK) {
            Some(b"" | b"/") => Ok(Self::Sink),
            _ => Tree::beneath(root, path, sources, create_dir).map(Self::Tree),
        }
    }

    /// Resolves a local directory or new name, as a client does for a download of `sources`.
    ///
    /// # Errors
    /// As [`Destination::beneath`].
    pub fn local(
        path: &Path,
        sources: &[Vec<u8>],
        create_dir: bool,
        options: &TransferOptions,
    ) -> Result<Self, Error> {
        Tree::local(path, sources, create_dir, options).map(Self::Tree)
    }

    /// Whether everything in a directory of the list, which has been looked at, may come.
    pub(super) fn takes_all_below(&self, directory: &[u8]) -> bool {
        match self {
            Self::Tree(tree) => {
                EntryPath::parse(directory).is_ok_and(|path| tree.is_allowed(&path))
            }
            Self::Sink => true,
        }
    }

    /// Puts a character in the place of those that the target refuses in names.
    #[must_use]
    pub fn replacing(mut self, replacement: Option<char>) -> Self {
        if let Self::Tree(tree) = &mut self {
            let rules = tree.root.name_rules();
            tree.replacement = replacement.map(|replacement| (rules, replacement));
        }
        self
    }

    /// Takes envelopes only: a new name for a single file is that of the envelope, with its suffix.
    #[must_use]
    pub(crate) fn taking_envelopes(mut self) -> Self {
        if let Self::Tree(tree) = &mut self {
            // Whether the name with the suffix is there has not been looked at.
            tree.is_new &= tree.new_name.is_none();
            tree.takes_envelopes = true;
        }
        self
    }

    /// Opens the envelopes that arrive.
    #[must_use]
    pub(crate) fn decrypting(mut self, decryption: Decryption) -> Self {
        if let Self::Tree(tree) = &mut self {
            tree.decryption = Some(decryption);
        }
        self
    }

    /// How envelopes that arrive are opened, if they are.
    pub(super) fn decryption(&self) -> Option<&Decryption> {
        match self {
            Self::Tree(tree) => tree.decryption.as_ref(),
            Self::Sink => None,
        }
    }

    /// Whether nothing is there yet.
    pub fn is_new(&self) -> bool {
        match self {
            Self::Tree(tree) => tree.is_new,
            Self::Sink => true,
        }
    }
}

/// A place beneath a root that received entries go to.
#[derive(Debug, Clone)]
pub struct Tree {
    root: Docroot,
    /// Directory that entries go into, beneath the root.
    base: EntryPath,
    /// New name of the single source, when the destination names something that does not exist.
    new_name: Option<Vec<u8>>,
    /// What the other side may name, with everything below; nothing means anything.
    allowed: Option<Arc<BTreeSet<Vec<u8>>>>,
    /// Nothing is there yet, so nothing has to be asked about.
    is_new: bool,
    /// Stands for what the target refuses in names, by its rules.
    replacement: Option<(NameRules, char)>,
    /// Opens the envelopes that arrive.
    decryption: Option<Decryption>,
    /// Files come as envelopes.
    takes_envelopes: bool,
}

impl Tree {
    fn beneath(
        root: &Docroot,
        path: &[u8],
        sources: usize,
        create_dir: bool,
    ) -> Result<Self, Error> {
        let shown = docroot::escape_name(path).into_owned();
        let failed = |source| Error::File {
            path: shown.clone(),
            source,
        };
        let entry = beneath(path).map_err(failed)?;
        let is_directory_named = path.ends_with(b"/");
        Self::resolve(
            root,
            entry,
            sources,
            create_dir || is_directory_named,
            &shown,
        )
    }

    fn local(
        path: &Path,
        sources: &[Vec<u8>],
        create_dir: bool,
        options: &TransferOptions,
    ) -> Result<Self, Error> {
        let rules = &options.files;
        let mut of_root = RootOptions::default();
        of_root.suffixes = options.suffixes.clone();
        let shown = path.display().to_string();
        let failed = |source| Error::File {
            path: shown.clone(),
            source,
        };
        let text = path.as_os_str().as_bytes();
        let is_directory_named = text.ends_with(b"/");
        let (root, entry) = match Docroot::open_with(path, of_root.clone()) {
            Ok(root) => (root, EntryPath::root()),
            // Not a directory yet: its parent is the root, and the rules below decide.
            Err(_) => {
                let trimmed = OsStr::from_bytes(trim_slashes(text));
                Docroot::for_source_with(Path::new(trimmed), of_root).map_err(failed)?
            }
        };
        let count = sources.len();
        let mut destination = Self::resolve(
            &root,
            entry,
            count,
            create_dir || is_directory_named,
            &shown,
        )?;
        let mut allowed = BTreeSet::new();
        for (number, source) in sources.iter().enumerate() {
            let shown = || docroot::escape_name(source).into_owned();
            let place = place_beneath(rules, number, source).map_err(|why| why.of(shown()))?;
            allowed.insert(place.as_bytes().to_vec());
        }
        // The root itself, whose entries have any name.
        destination.allowed = (!allowed.contains(&b""[..])).then(|| allowed.into());
        Ok(destination)
    }

    fn resolve(
        root: &Docroot,
        path: EntryPath,
        sources: usize,
        create_dir: bool,
        shown: &str,
    ) -> Result<Self, Error> {
        let failed = |source| Error::File {
            path: shown.to_owned(),
            source,
        };
        let existing = root.stat(&path, LinkRule::Refuse).map_err(failed)?;
        let new = |base, new_name, is_new| Self {
            root: root.clone(),
            base,
            new_name,
            allowed: None,
            is_new,
            replacement: None,
            decryption: None,
            takes_envelopes: false,
        };
        match existing.map(|a| a.kind) {
            Some(FileKind::Directory) => {
                let mut entries = root.list(&path, LinkRule::Refuse).map_err(failed)?;
                let is_empty = entries.next().is_none();
                Ok(new(path, None, is_empty))
            }
            Some(_) if create_dir || sources > 1 => Err(Error::NotADirectory {
                path: shown.to_owned(),
            }),
            None if create_dir => Ok(new(path, None, true)),
            None if sources > 1 => Err(Error::NotADirectory {
                path: shown.to_owned(),
            }),
            found => {
                let parent = path.parent().unwrap_or(EntryPath::root());
                let name = path.file_name().map(<[u8]>::to_vec);
                match root
                    .stat(&parent, LinkRule::Refuse)
                    .map_err(failed)?
                    .map(|a| a.kind)
                {
                    Some(FileKind::Directory) => Ok(new(parent, name, found.is_none())),
                    Some(_) => Err(Error::NotADirectory {
                        path: parent.to_string(),
                    }),
                    None => Err(failed(docroot::Error::NotFound)),
                }
            }
        }
    }

    /// The root that everything stays beneath.
    pub(super) fn root(&self) -> &Docroot {
        &self.root
    }

    /// Whether nothing is there yet.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Returns a place beneath the root as a path relative to the destination.
    pub(super) fn path_of<'a>(&self, place: &'a EntryPath) -> &'a [u8] {
        let path = place.as_bytes();
        let below = path.strip_prefix(self.base.as_bytes()).unwrap_or(path);
        below.strip_prefix(b"/").unwrap_or(below)
    }

    /// Whether the path was asked for, or lies below what was.
    fn is_allowed(&self, path: &EntryPath) -> bool {
        let Some(allowed) = &self.allowed else {
            return true;
        };
        let path = path.as_bytes();
        let ends = path.iter().enumerate().filter(|(_, b)| **b == b'/');
        let mut above = ends.map(|(at, _)| &path[..at]);
        above.any(|part| allowed.contains(part)) || allowed.contains(path)
    }

    /// Where an entry of the other side's list goes.
    ///
    /// # Errors
    /// Code 41 for a name that was not asked for, 55 and 56 for names that cannot be (table of rule P-9).
    pub(super) fn place(&self, path: &[u8]) -> Result<EntryPath, docroot::Error> {
        let path = if path.is_empty() {
            EntryPath::root()
        } else {
            EntryPath::parse(path)?
        };
        if path.is_root() {
            return Ok(self.base.clone());
        }
        if !self.is_allowed(&path) {
            return Err(docroot::Error::OutsideRoot);
        }
        let path = match self.replacement {
            None => path,
            Some((rules, replacement)) => rules.adapt(&path, Some(replacement))?.into_owned(),
        };
        match &self.new_name {
            None => self.base.join(&path),
            Some(name) => {
                let is_file = path.depth() == 1 && plain_name(path.as_bytes()).is_some();
                let name = match is_file && self.takes_envelopes {
                    true => envelope_name(plain_name(name).unwrap_or(name)),
                    false => name.clone(),
                };
                let renamed = std::iter::once(name.as_slice()).chain(path.components().skip(1));
                self.base.join(&EntryPath::from_components(renamed)?)
            }
        }
    }
}

fn trim_slashes(text: &[u8]) -> &[u8] {
    let end = text
        .iter()
        .rposition(|b| *b != b'/')
        .map_or_else(|| text.len().min(1), |at| at + 1);
    &text[..end]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "test set-up")]

    use transfer_spec::FileRules;

    use super::*;

    fn place(
        root: &Path,
        dest: &str,
        sources: usize,
        create: bool,
        path: &str,
    ) -> Result<String, u8> {
        let root = Docroot::open(root).unwrap();
        let destination = Tree::beneath(&root, dest.as_bytes(), sources, create)
            .map_err(|e| e.code().number())?;
        destination
            .place(path.as_bytes())
            .map(|p| p.to_string())
            .map_err(|e| e.code().number())
    }

    #[test]
    fn f83_characters_that_the_target_refuses_are_replaced() {
        let temp = tempfile::tempdir().unwrap();
        let place = |rules, replacement| {
            let mut options = RootOptions::default();
            options.names = rules;
            let root = Docroot::open_with(temp.path(), options).unwrap();
            let destination = Destination::beneath(&root, b"/", 1, false)
                .unwrap()
                .replacing(replacement);
            let Destination::Tree(tree) = destination else {
                panic!("a tree");
            };
            tree.place(b"d:1/a?b").unwrap().to_string()
        };
        assert_eq!(place(Some(NameRules::Windows), Some('_')), "d_1/a_b");
        assert_eq!(place(Some(NameRules::Windows), None), "d:1/a?b");
        assert_eq!(place(None, Some('_')), "d:1/a?b", "nothing is refused here");
    }

    #[test]
    fn the_renaming_table_of_ascp_holds() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        assert_eq!(place(root, "x/y", 1, false, "f1"), Err(4), "parent missing");
        std::fs::create_dir(root.join("x")).unwrap();
        assert_eq!(place(root, "x/y", 1, false, "f1"), Ok("x/y".into()));
        std::fs::create_dir(root.join("x/y")).unwrap();
        assert_eq!(place(root, "x/y", 1, false, "f1"), Ok("x/y/f1".into()));
        assert_eq!(place(root, "x", 2, false, "f2"), Ok("x/f2".into()));
        assert_eq!(place(root, "n", 1, false, "D/s/b"), Ok("n/s/b".into()));
        assert_eq!(place(root, "n", 1, true, "f1"), Ok("n/f1".into()));
        assert_eq!(place(root, "n", 1, true, "D/s/b"), Ok("n/D/s/b".into()));
        assert_eq!(place(root, "n", 2, false, "f1"), Err(6));
        assert_eq!(place(root, "/", 1, false, "f1"), Ok("f1".into()));
        assert_eq!(place(root, ".", 1, false, "f1"), Ok("f1".into()));
    }

    #[test]
    fn f80_destinations_and_entries_cannot_leave_the_root() {
        let temp = tempfile::tempdir().unwrap();
        for dest in ["..", "../x", "a/../../b", "x/.."] {
            assert_eq!(place(temp.path(), dest, 1, true, "f"), Err(41), "{dest}");
        }
        for path in ["..", "../f", "a/../../b", "/etc/passwd", "./f", "a//b"] {
            assert_eq!(place(temp.path(), "n", 1, true, path), Err(41), "{path}");
        }
    }

    #[test]
    fn p9_a_download_accepts_only_what_was_asked_for() {
        let temp = tempfile::tempdir().unwrap();
        let local = |path: &Path, source: &str, rules: &FileRules| {
            let options = TransferOptions {
                files: rules.clone(),
                ..TransferOptions::default()
            };
            let rules = &options;
            Tree::local(path, &[source.into()], false, rules).unwrap()
        };
        let plain = FileRules::default();
        let destination = local(temp.path(), "/in/data/", &plain);
        assert_eq!(destination.place(b"data/a").unwrap().to_string(), "data/a");
        assert_eq!(
            destination.place(b".bashrc").unwrap_err().code().number(),
            41
        );
        let single = local(&temp.path().join("mine"), "theirs", &plain);
        assert_eq!(single.place(b"theirs").unwrap().to_string(), "mine");
        let with_base = FileRules {
            source_base: Some(b"/in".to_vec()),
            ..FileRules::default()
        };
        let based = local(temp.path(), "in/data/x", &with_base);
        assert!(based.place(b"data/x/y").is_ok() && based.place(b"data/x").is_ok());
        let below = |path| Destination::Tree(based.clone()).takes_all_below(path);
        assert!(below(b"data/x") && below(b"data/x/y"));
        assert!(!below(b"data") && !below(b"") && !below(b"data/xy"));
        for path in [&b"data"[..], b"data/xy", b"data/y", b"x"] {
            assert!(based.place(path).is_err(), "{path:?}");
        }
        assert!(
            Tree::local(
                temp.path(),
                &[b"..".to_vec()],
                false,
                &TransferOptions::default()
            )
            .is_err()
        );
    }
}
