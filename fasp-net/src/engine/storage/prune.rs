//! Deleting what the sources do not have (protocol §9.3, `Prune`).

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use docroot::{Dir, FileKind};
use transfer_spec::{FileRules, SymlinkPolicy};

use super::{StorageEvent, Voice, join};
use crate::engine::destination::Tree;

/// What the list names, and which directories it names completely.
#[derive(Debug)]
pub(super) struct Prune {
    rules: Arc<FileRules>,
    /// Links are left out of the list, so that one that is there says nothing.
    spares_links: bool,
    /// Hashes of the paths that are listed. Two paths with one hash spare a file, which harms nothing.
    listed: HashSet<u64>,
    hasher: RandomState,
    directories: Vec<Vec<u8>>,
}

impl Prune {
    pub(super) fn new(rules: &Arc<FileRules>, symlinks: SymlinkPolicy) -> Self {
        Self {
            rules: Arc::clone(rules),
            spares_links: symlinks == SymlinkPolicy::Skip,
            listed: HashSet::new(),
            hasher: RandomState::new(),
            directories: Vec::new(),
        }
    }

    /// The list names this path.
    pub(super) fn note(&mut self, path: &[u8]) {
        self.listed.insert(self.hasher.hash_one(path));
    }

    /// The list names everything in this directory.
    pub(super) fn add_directory(&mut self, path: &[u8]) {
        self.directories.push(path.to_vec());
    }

    /// Deletes, once the list is known to be complete (rule P-13). What cannot be deleted stays and is told.
    pub(super) fn run(&self, tree: &Tree, voice: &Voice) {
        for path in &self.directories {
            let dir = tree.place(path).and_then(|place| tree.root().dir(&place));
            match dir {
                Ok(dir) => self.clear(&dir, path, voice),
                // Nothing of it has come, and nothing was there.
                Err(docroot::Error::NotFound) => {}
                Err(error) => tell_kept(voice, path, &error),
            }
        }
    }

    /// Looks through one directory. Its depth is that of paths beneath a root, which is limited.
    fn clear(&self, dir: &Dir, path: &[u8], voice: &Voice) {
        let entries = match dir.list() {
            Ok(entries) => entries,
            Err(error) => return tell_kept(voice, path, &error),
        };
        let suffixes = dir.root().suffixes();
        for entry in entries {
            let Ok(entry) = entry else { continue };
            let path = join(path, &entry.name);
            let is_listed = self.listed.contains(&self.hasher.hash_one(&path[..]));
            let kind = entry.kind();
            if kind == FileKind::Directory {
                if is_listed || self.rules.filter.admits_directory(&path) {
                    match dir.child(&entry.name) {
                        Ok(child) => self.clear(&child, &path, voice),
                        Err(error) => tell_kept(voice, &path, &error),
                    }
                }
                if !is_listed && self.rules.filter.admits_directory(&path) {
                    self.delete(dir, &entry.name, kind, path, voice);
                }
                continue;
            }
            let is_spared = is_listed
                || (self.spares_links && kind == FileKind::Symlink)
                || suffixes.is_unfinished(&entry.name)
                || !self
                    .rules
                    .filter
                    .admits_file(&path, entry.attributes.mtime.seconds);
            if !is_spared {
                self.delete(dir, &entry.name, kind, path, voice);
            }
        }
    }

    fn delete(&self, dir: &Dir, name: &[u8], kind: FileKind, path: Vec<u8>, voice: &Voice) {
        let deleted = match kind {
            _ if self.rules.dry_run => Ok(()),
            FileKind::Directory => dir.remove_dir(name),
            _ => dir.remove_file(name),
        };
        match deleted {
            Ok(()) => voice.tell(StorageEvent::Deleted { path }),
            // Something in it is spared.
            Err(_) if kind == FileKind::Directory => {}
            Err(error) => tell_kept(voice, &path, &error),
        }
    }
}

fn tell_kept(voice: &Voice, path: &[u8], error: &docroot::Error) {
    voice.tell(StorageEvent::Missing {
        path: path.to_vec(),
        code: None,
        text: format!("it was not deleted: {error}"),
    });
}
