//! What becomes of a listed entry: where it goes, and whether it is wanted at all.

mod envelope;

use std::collections::{HashMap, HashSet};

use docroot::{
    Dir, EntryPath, Existing, FileKind, LinkRule, MAX_PATH, Metadata, SourceFile, Timestamp,
};
use fasp_core::{Attributes, Extra, MAX_SMALL_FILE, NotKept};
use transfer_spec::{OverwritePolicy, Preserve, ResumePolicy, SymlinkPolicy};

use self::envelope::Envelope;
pub(super) use self::envelope::Plain;
use super::checkpoint::{Checkpoint, MAX_CHECKPOINT, SourceVersion};
use super::directories::Writing;
use super::prune::Prune;
use super::{Rules, Voice};
use crate::engine::decryption::plain_name;
use crate::engine::destination::Destination;
use crate::engine::extras::{Room, Wished};
use crate::serve::ModeGrant;

/// Directories kept open.
const MAX_DIRS: usize = 128;
/// Permission bits of new directories, less the umask.
const DIRECTORY_MODE: u32 = 0o777;

/// What becomes of a listed file.
#[derive(Debug)]
pub(super) enum Decision {
    /// It is wanted.
    Take(Target),
    /// It is left alone.
    Skip,
    /// One with the same attributes is there: it is left alone if its content is the same too (protocol §14.4).
    Compare(Target),
    /// It is an envelope that is there already, as it was listed: it only has to be opened.
    Open(Target),
}

/// A listed file that is wanted.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) path: Vec<u8>,
    /// Which version of the source was listed.
    pub(super) source: SourceVersion,
    pub(super) place: Place,
}

impl Target {
    /// Opens the file that is there, to compare it.
    pub(super) fn open_existing(&self) -> Result<SourceFile, docroot::Error> {
        match &self.place {
            Place::Dir { dir, name, .. } => dir.open_source(name),
            Place::Sink => Err(docroot::Error::NotFound),
        }
    }
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
        /// What it is opened into, if it is an envelope that is to be.
        plain: Option<Plain>,
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
    directories: Writing,
    /// What else is to be kept of the file or directory that comes next.
    wished: Wished,
    room: Room,
    /// Directories that were looked through for what killed processes left, and those that have some.
    looked_through: HashSet<EntryPath>,
    littered: Vec<EntryPath>,
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

/// What is in the way of a file, as the overwrite policy sees it.
enum Found {
    Nothing,
    /// It is to be replaced.
    Other,
    /// It stays if the content agrees.
    Same,
    Stays,
}

/// Removes the checkpoint of a file that is complete: its writer died before it could.
fn forget_checkpoint(dir: &Dir, name: &[u8], size: u64) {
    if size > MAX_SMALL_FILE
        && let Ok(Some(bytes)) = dir.load_checkpoint(name, MAX_CHECKPOINT)
        && Checkpoint::decode(&bytes).is_some()
    {
        // One that stays is removed by the next writer of the file.
        dir.remove_checkpoint(name).ok();
    }
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
    pub(super) fn new(destination: Destination, rules: Rules, directories: Writing) -> Self {
        let prune = (rules.files.delete_absent).then(|| Prune::new(&rules.files, rules.symlinks));
        Self {
            prune,
            destination,
            rules,
            dirs: HashMap::new(),
            last: None,
            links: Vec::new(),
            directories,
            wished: Wished::default(),
            room: Room::default(),
            looked_through: HashSet::new(),
            littered: Vec::new(),
        }
    }

    /// Takes what else is to be kept of the file or directory that comes next.
    pub(super) fn wish(&mut self, extra: &Extra<'_>) {
        self.wished = Wished::new(self.rules.preserve, extra, &self.room);
    }

    pub(super) fn forget_wish(&mut self) {
        self.wished = Wished::default();
    }

    /// What of it is known not to be kept before anything was tried.
    pub(super) fn lost(&self) -> NotKept {
        self.wished.lost
    }

    /// Decides about a file.
    pub(super) fn file(
        &mut self,
        path: &[u8],
        attributes: Attributes,
        size: u64,
    ) -> Result<Decision, docroot::Error> {
        let source = SourceVersion::listed(attributes, size);
        let path_in_list = path.to_vec();
        self.note(path);
        if self.destination.decryption().is_some()
            && let Some(plain) = plain_name(path)
        {
            self.note(plain);
        }
        let Destination::Tree(tree) = &self.destination else {
            return Ok(Decision::Take(Target {
                path: path_in_list,
                source,
                place: Place::Sink,
            }));
        };
        let is_new = tree.is_new();
        if let Some((dir, name)) = self.neighbour(path) {
            return self.target(path_in_list, source, attributes, (dir, name), is_new);
        }
        let place = tree.place(path)?;
        if self.rules.files.dry_run {
            let (place, size) = self.planned(path, place, size)?;
            // No directory is made to look into.
            let found = match tree.root().stat(&place, LinkRule::Refuse) {
                Err(docroot::Error::NotFound) => None,
                found => found?,
            };
            // Nor is content compared: what seems to be the same counts as such.
            return Ok(match self.find(found, attributes, size)? {
                Found::Stays | Found::Same => Decision::Skip,
                Found::Nothing | Found::Other => Decision::Take(Target {
                    path: path_in_list,
                    source,
                    place: Place::Sink,
                }),
            });
        }
        let dir = self.enter(&place)?;
        let name = place.file_name().unwrap_or_default().to_vec();
        self.remember(path, &place, &dir);
        self.target(path_in_list, source, attributes, (dir, name), is_new)
    }

    /// Decides about a file by the directory and the name that it has.
    fn target(
        &self,
        path: Vec<u8>,
        source: SourceVersion,
        attributes: Attributes,
        (dir, name): (Dir, Vec<u8>),
        is_new: bool,
    ) -> Result<Decision, docroot::Error> {
        if let Some(opened) = self.opened(&path, &name) {
            let listed = Envelope {
                path,
                source,
                attributes,
                dir,
                is_new,
            };
            return self.envelope(listed, opened);
        }
        let found = match is_new {
            true => Found::Nothing,
            false => self.find(dir.stat(&name)?, attributes, source.size)?,
        };
        let existing = match found {
            Found::Nothing => Existing::RefuseOther,
            Found::Other | Found::Same => self.replacing(),
            Found::Stays => {
                forget_checkpoint(&dir, &name, source.size);
                return Ok(Decision::Skip);
            }
        };
        let metadata = self.file_metadata(attributes);
        let target = Target {
            path,
            source,
            place: Place::Dir {
                dir,
                name,
                metadata,
                existing,
                plain: None,
            },
        };
        Ok(match found {
            Found::Same => Decision::Compare(target),
            _ => Decision::Take(target),
        })
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

    /// Makes a directory; its own times, mode and owner wait for the end. Returns what is known not to be kept.
    pub(super) fn directory(&mut self, path: &[u8], attributes: Attributes) -> NotKept {
        self.note(path);
        if self.rules.files.dry_run {
            return NotKept::default();
        }
        let Destination::Tree(tree) = &self.destination else {
            return NotKept::default();
        };
        let modes = self.rules.creation.directory_mode;
        let mut metadata = self.metadata(attributes, modes);
        // At once, so that nothing large waits.
        let xattrs = Metadata {
            xattrs: std::mem::take(&mut metadata.xattrs),
            ..Metadata::default()
        };
        let created = tree.place(path).and_then(|path| {
            let dir = tree.root().create_dirs(&path, DIRECTORY_MODE)?;
            Ok((path, dir.set_metadata(&xattrs)?))
        });
        match created {
            Ok((path, lost)) => {
                if metadata != Metadata::default() {
                    self.directories.want(path, metadata);
                }
                lost.or(self.wished.lost)
            }
            // What belongs inside will fail with the same error, file by file.
            Err(error) => {
                tracing::debug!(%error, "directory not created");
                NotKept::default()
            }
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

    /// Gives the directories the times and modes that they should have, unless another session puts files into them yet.
    pub(super) fn finish_directories(&mut self, voice: &Voice) {
        let Destination::Tree(tree) = &self.destination else {
            return;
        };
        self.directories.finish(|wanted| {
            let dir = tree.root().dir(&wanted.path);
            match dir.and_then(|dir| dir.set_metadata(&wanted.metadata)) {
                Ok(_) if wanted.is_known => {}
                // Times that are kept anyway: of a directory nothing depends on them, and it may be somebody else's.
                Ok(lost) => voice.not_kept(
                    tree.path_of(&wanted.path),
                    NotKept {
                        times: lost.times && wanted.metadata.atime.is_some(),
                        ..lost
                    },
                ),
                Err(error) => tracing::debug!(%error, "directory attributes not kept"),
            }
        });
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
        if !tree.is_new() && self.looked_through.insert(parent.clone()) {
            // One that cannot be read is left as it is.
            if dir.has_temporaries_of_others().unwrap_or(false) {
                self.littered.push(parent);
            }
        }
        Ok(dir)
    }

    /// Removes what killed processes left in the directories that files went into. For when every file has its result: this
    /// session makes nothing there any more, and the last one to come here finds nobody else who does.
    pub(super) fn clear_up(&mut self) {
        self.dirs.clear();
        self.last = None;
        let Destination::Tree(tree) = &self.destination else {
            return;
        };
        for path in std::mem::take(&mut self.littered) {
            let removed = tree
                .root()
                .dir(&path)
                .and_then(|dir| dir.remove_abandoned());
            match removed {
                Ok(0) => {}
                Ok(count) => tracing::debug!(count, "removed what a killed process had left"),
                Err(error) => tracing::debug!(%error, "directory not cleared up"),
            }
        }
    }

    /// Applies the overwrite policy to what is there.
    fn find(
        &self,
        found: Option<docroot::Attributes>,
        attributes: Attributes,
        size: u64,
    ) -> Result<Found, docroot::Error> {
        let Some(found) = found else {
            return Ok(Found::Nothing);
        };
        if found.kind == FileKind::Directory {
            return Err(docroot::Error::IsADirectory);
        }
        let (theirs, ours) = (
            (attributes.mtime, attributes.mtime_nanos),
            (found.mtime.seconds, found.mtime.nanos),
        );
        let is_same = self.is_same(&found, attributes, size);
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
        let is_compared = is_same
            && size > 0
            && self.rules.may_overwrite
            && self.rules.overwrite == OverwritePolicy::Diff
            && self.rules.resume > ResumePolicy::Attributes;
        Ok(match (replace, is_compared) {
            (_, true) => Found::Same,
            (true, false) => Found::Other,
            (false, false) => Found::Stays,
        })
    }

    /// Whether what is there has the kind, size and time of what was listed.
    fn is_same(&self, found: &docroot::Attributes, attributes: Attributes, size: u64) -> bool {
        let theirs = (attributes.mtime, attributes.mtime_nanos);
        let ours = (found.mtime.seconds, found.mtime.nanos);
        let is_file = found.kind == FileKind::File;
        is_file && found.size == size && ours == theirs && self.rules.resume != ResumePolicy::None
    }

    /// How a file is replaced.
    fn replacing(&self) -> Existing {
        match self.rules.files.save_existing {
            true => Existing::Save,
            false => Existing::Replace,
        }
    }

    /// The source has something of this name, so that it is not deleted.
    pub(super) fn note(&mut self, path: &[u8]) {
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

    /// What the file that comes next is to have besides its bytes.
    pub(super) fn file_metadata(&self, attributes: Attributes) -> Metadata {
        self.metadata(attributes, self.rules.creation.file_mode)
    }

    fn metadata(&self, attributes: Attributes, modes: ModeGrant) -> Metadata {
        let Preserve { times, mode, .. } = self.rules.preserve;
        let mtime = Timestamp {
            seconds: attributes.mtime,
            nanos: attributes.mtime_nanos,
        };
        let mut metadata = Metadata {
            mtime: times.then_some(mtime),
            mode: modes
                .bits(attributes.mode)
                .or_else(|| mode.then_some(attributes.mode)),
            group: self.rules.creation.group,
            ..Metadata::default()
        };
        self.wished.add_to(&mut metadata);
        metadata
    }
}
