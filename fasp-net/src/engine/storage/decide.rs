//! What becomes of a listed entry: where it goes, and whether it is wanted at all.

use std::collections::HashMap;

use docroot::{Dir, EntryPath, Existing, FileKind, LinkRule, MAX_PATH, Metadata, Timestamp};
use fasp_core::Attributes;
use transfer_spec::{OverwritePolicy, Preserve, ResumePolicy, SymlinkPolicy};

use super::prune::Prune;
use super::{Rules, Voice};
use crate::engine::destination::Destination;
use crate::serve::ModeGrant;

/// Directories kept open.
const MAX_DIRS: usize = 128;
/// Permission bits of new directories, less the umask.
const DIRECTORY_MODE: u32 = 0o777;

/// A listed file that is wanted.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) path: Vec<u8>,
    pub(super) size: u64,
    pub(super) place: Place,
}

/// Where a file goes.
#[derive(Debug)]
pub(super) enum Place {
    /// Into a directory.
    Dir {
        dir: Dir,
        name: Vec<u8>,
        metadata: Metadata,
        existing: Existing,
    },
    /// Nowhere.
    Sink,
}

/// Decides about entries and makes the directories that they go into.
#[derive(Debug)]
pub(super) struct Decider {
    destination: Destination,
    rules: Rules,
    dirs: HashMap<Vec<u8>, Dir>,
    last: Option<Last>,
    links: Vec<Link>,
    prune: Option<Prune>,
    directories: Vec<(EntryPath, Metadata)>,
}

/// The directory of the file that was decided about last.
#[derive(Debug)]
struct Last {
    /// Its path in the list, and a slash.
    prefix: Vec<u8>,
    /// Bytes of the longest name that its path has room for.
    longest: usize,
    dir: Dir,
}

/// A symbolic link that waits for the end.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) file: u32,
    place: EntryPath,
    target: Vec<u8>,
}

impl Link {
    /// Where it goes beneath the destination's root.
    pub(super) fn path(&self) -> Vec<u8> {
        self.place.as_bytes().to_vec()
    }
}

impl Decider {
    pub(super) fn new(destination: Destination, rules: Rules) -> Self {
        let prune = (rules.files.delete_absent).then(|| Prune::new(&rules.files, rules.symlinks));
        Self {
            prune,
            destination,
            rules,
            dirs: HashMap::new(),
            last: None,
            links: Vec::new(),
            directories: Vec::new(),
        }
    }

    /// Decides about a file; nothing when it is to be left alone.
    pub(super) fn file(
        &mut self,
        path: &[u8],
        attributes: Attributes,
        size: u64,
    ) -> Result<Option<Target>, docroot::Error> {
        let path_in_list = path.to_vec();
        self.note(path);
        let Destination::Tree(tree) = &self.destination else {
            return Ok(Some(Target {
                path: path_in_list,
                size,
                place: Place::Sink,
            }));
        };
        let is_new = tree.is_new();
        if let Some((dir, name)) = self.neighbour(path) {
            return self.target(path_in_list, size, attributes, (dir, name), is_new);
        }
        let place = tree.place(path)?;
        if self.rules.files.dry_run {
            // No directory is made to look into.
            let found = match tree.root().stat(&place, LinkRule::Refuse) {
                Err(docroot::Error::NotFound) => None,
                found => found?,
            };
            let is_wanted = self.existing(found, attributes, size)?.is_some();
            return Ok(is_wanted.then_some(Target {
                path: path_in_list,
                size,
                place: Place::Sink,
            }));
        }
        let dir = self.enter(&place)?;
        let name = place.file_name().unwrap_or_default().to_vec();
        self.remember(path, &place, &dir);
        self.target(path_in_list, size, attributes, (dir, name), is_new)
    }

    /// Decides about a file by the directory and the name that it has.
    fn target(
        &self,
        path: Vec<u8>,
        size: u64,
        attributes: Attributes,
        (dir, name): (Dir, Vec<u8>),
        is_new: bool,
    ) -> Result<Option<Target>, docroot::Error> {
        let existing = if is_new {
            Existing::Refuse
        } else {
            match self.existing(dir.stat(&name)?, attributes, size)? {
                Some(existing) => existing,
                None => return Ok(None),
            }
        };
        let metadata = self.metadata(attributes, self.rules.creation.file_mode);
        Ok(Some(Target {
            path,
            size,
            place: Place::Dir {
                dir,
                name,
                metadata,
                existing,
            },
        }))
    }

    /// Where a file goes when the one before it is in the same directory: nearly every file of a long list, whose path
    /// then needs not be taken apart. The directory checks the name.
    fn neighbour(&self, path: &[u8]) -> Option<(Dir, Vec<u8>)> {
        let last = self.last.as_ref().filter(|_| !self.rules.files.dry_run)?;
        let name = path.strip_prefix(last.prefix.as_slice())?;
        (name.len() <= last.longest && !name.contains(&b'/'))
            .then(|| (last.dir.clone(), name.to_vec()))
    }

    /// Keeps the directory of a file for its neighbours.
    fn remember(&mut self, path: &[u8], place: &EntryPath, dir: &Dir) {
        let end = path.iter().rposition(|b| *b == b'/');
        // One at the top may have a new name, and what was asked for may be this file alone (rule P-9).
        let end = end.filter(|end| self.destination.takes_all_below(&path[..*end]));
        self.last = end.map(|end| Last {
            prefix: path[..=end].to_vec(),
            longest: MAX_PATH - place.as_bytes().len() + (path.len() - end - 1),
            dir: dir.clone(),
        });
    }

    /// Makes a directory; its own times and mode wait for the end.
    pub(super) fn directory(&mut self, path: &[u8], attributes: Attributes) {
        self.note(path);
        if self.rules.files.dry_run {
            return;
        }
        let Destination::Tree(tree) = &self.destination else {
            return;
        };
        let created = tree.place(path).and_then(|path| {
            tree.root().create_dirs(&path, DIRECTORY_MODE)?;
            Ok(path)
        });
        match created {
            Ok(path) => {
                let modes = self.rules.creation.directory_mode;
                let metadata = self.metadata(attributes, modes);
                if metadata != Metadata::default() {
                    self.directories.push((path, metadata));
                }
            }
            // What belongs inside will fail with the same error, file by file.
            Err(error) => tracing::debug!(%error, "directory not created"),
        }
    }

    /// Keeps a link for the end (rule P-5); false when links are to be left out.
    pub(super) fn symlink(
        &mut self,
        file: u32,
        path: &[u8],
        target: &[u8],
    ) -> Result<bool, docroot::Error> {
        self.note(path);
        let place = match &self.destination {
            Destination::Tree(tree) => tree.place(path)?,
            Destination::Sink => EntryPath::parse(path)?,
        };
        if self.rules.symlinks == SymlinkPolicy::Skip {
            return Ok(false);
        }
        self.links.push(Link {
            file,
            place,
            target: target.to_vec(),
        });
        Ok(true)
    }

    /// Takes the links that have waited for the end.
    pub(super) fn take_links(&mut self) -> Vec<Link> {
        std::mem::take(&mut self.links)
    }

    pub(super) fn create_link(&mut self, link: &Link) -> Result<(), docroot::Error> {
        let existing = match self.rules.symlinks {
            SymlinkPolicy::CopyForce if self.rules.may_overwrite => self.replacing(),
            _ => Existing::Refuse,
        };
        if self.rules.files.dry_run {
            return Ok(());
        }
        let Destination::Tree(tree) = &self.destination else {
            return Ok(());
        };
        let root = tree.root().clone();
        self.enter(&link.place)?;
        root.create_symlink(&link.place, &link.target, existing)
    }

    /// Gives the directories the times and modes that they should have.
    pub(super) fn finish_directories(&mut self) {
        self.dirs.clear();
        self.last = None;
        // Deepest first: setting a parent's times must come after its last change.
        let mut directories = std::mem::take(&mut self.directories);
        let Destination::Tree(tree) = &self.destination else {
            return;
        };
        directories.sort_by_key(|(path, _)| std::cmp::Reverse(path.depth()));
        for (path, metadata) in directories {
            let applied = tree
                .root()
                .dir(&path)
                .and_then(|dir| dir.set_metadata(&metadata));
            if let Err(error) = applied {
                tracing::debug!(%error, "directory attributes not kept");
            }
        }
    }

    /// Opens the directory of an entry, making it if it is missing.
    fn enter(&mut self, path: &EntryPath) -> Result<Dir, docroot::Error> {
        let parent = path.parent().unwrap_or(EntryPath::root());
        if let Some(dir) = self.dirs.get(parent.as_bytes()) {
            return Ok(dir.clone());
        }
        let Destination::Tree(tree) = &self.destination else {
            return Err(docroot::Error::NotFound);
        };
        let dir = tree.root().create_dirs(&parent, DIRECTORY_MODE)?;
        if self.dirs.len() >= MAX_DIRS {
            self.dirs.clear();
        }
        self.dirs.insert(parent.as_bytes().to_vec(), dir.clone());
        Ok(dir)
    }

    /// Applies the overwrite policy; nothing when what is there stays.
    fn existing(
        &self,
        found: Option<docroot::Attributes>,
        attributes: Attributes,
        size: u64,
    ) -> Result<Option<Existing>, docroot::Error> {
        let Some(found) = found else {
            return Ok(Some(Existing::Refuse));
        };
        if found.kind == FileKind::Directory {
            return Err(docroot::Error::IsADirectory);
        }
        let theirs = (attributes.mtime, attributes.mtime_nanos);
        let ours = (found.mtime.seconds, found.mtime.nanos);
        let is_file = found.kind == FileKind::File;
        let is_same = is_file
            && found.size == size
            && ours == theirs
            && self.rules.resume != ResumePolicy::None;
        let replace = match self.rules.overwrite {
            OverwritePolicy::Always => true,
            OverwritePolicy::Never => false,
            OverwritePolicy::Diff => !is_same,
            OverwritePolicy::Older => ours < theirs,
            OverwritePolicy::DiffOlder => !is_same && ours < theirs,
        };
        if replace && !self.rules.may_overwrite {
            return Err(docroot::Error::AlreadyExists);
        }
        Ok(replace.then_some(self.replacing()))
    }

    /// How a file is replaced.
    fn replacing(&self) -> Existing {
        match self.rules.files.save_existing {
            true => Existing::Save,
            false => Existing::Replace,
        }
    }

    fn note(&mut self, path: &[u8]) {
        if let Some(prune) = &mut self.prune {
            prune.note(path);
        }
    }

    /// The list names all of a directory. Without the wish to delete, that means nothing.
    pub(super) fn prune(&mut self, path: &[u8]) {
        if let Some(prune) = &mut self.prune {
            prune.add_directory(path);
        }
    }

    /// Deletes what the list does not name; for when it is complete.
    pub(super) fn delete_absent(&self, voice: &Voice) {
        if let (Some(prune), Destination::Tree(tree)) = (&self.prune, &self.destination) {
            prune.run(tree, voice);
        }
    }

    fn metadata(&self, attributes: Attributes, modes: ModeGrant) -> Metadata {
        let Preserve { times, mode, .. } = self.rules.preserve;
        let mtime = Timestamp {
            seconds: attributes.mtime,
            nanos: attributes.mtime_nanos,
        };
        Metadata {
            mtime: times.then_some(mtime),
            atime: None,
            mode: modes
                .bits(attributes.mode)
                .or_else(|| mode.then_some(attributes.mode)),
            group: self.rules.creation.group,
        }
    }
}
