//! From a complete file under a temporary name to a durable one under its final name (D-2).

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::sys::{accessat, linkat, openat, renameat};
use fasp_core::NotKept;
use rustix::fs::{Access, AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::attributes::FileKind;
use crate::dir::Dir;
use crate::error::{Error, Result};
use crate::filesystem::Filesystem;
use crate::partial::{Unpublished, create_new, sync_data};
use crate::path::EntryPath;
use crate::root::Docroot;
use crate::same::is_same;
use crate::saved::save;
#[cfg(target_os = "linux")]
use crate::small::Nameless;

/// What happens when the final name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Existing {
    /// What is there stays; publishing fails with [`Error::AlreadyExists`].
    Refuse,
    /// As [`Existing::Refuse`], but a file with the same content and modification time is as good as ours: whoever
    /// published it a moment before us was at the same work.
    RefuseOther,
    /// A file is replaced in one step; so is a link, which is not followed. A file that this
    /// account may not write stays, and so does a directory.
    Replace,
    /// The same, and a file that is replaced keeps a name with the time in it.
    Save,
}

/// A complete file under its temporary name, or without one, neither durable nor published yet.
///
/// Dropping it without a commit removes it, unless its [`Partial`](crate::Partial) was kept.
#[derive(Debug)]
pub struct Finished {
    // Dropped before the descriptor, so that the name is gone before the lock is.
    unpublished: Unpublished,
    file: Held,
    existing: Existing,
    not_kept: NotKept,
}

/// What is held of a file until it is published.
#[derive(Debug)]
pub(crate) enum Held {
    /// It was a partial: open and locked.
    Locked(Arc<OwnedFd>),
    /// It was made in one go: closed already.
    Closed,
    /// It was made in one go, and has no temporary name.
    #[cfg(target_os = "linux")]
    Nameless(Nameless),
}

impl Finished {
    pub(crate) fn new(
        unpublished: Unpublished,
        file: Held,
        existing: Existing,
        not_kept: NotKept,
    ) -> Self {
        Self {
            unpublished,
            file,
            existing,
            not_kept,
        }
    }

    /// Returns what could not be kept of the metadata asked for.
    pub fn not_kept(&self) -> NotKept {
        self.not_kept
    }

    /// Returns true if it has to be made durable before it is published, which costs about the same for many as for one.
    pub fn needs_sync(&self) -> bool {
        !self.unpublished.dir.filesystem().is_in_memory
    }

    /// Makes the content durable by itself.
    fn sync(&self) -> Result<()> {
        let Unpublished { dir, temporary, .. } = &self.unpublished;
        match &self.file {
            Held::Locked(file) => sync_data(file),
            // In memory there is nothing to make durable.
            #[cfg(target_os = "linux")]
            Held::Nameless(_) => Ok(()),
            Held::Closed => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = match openat(dir.as_fd(), &**temporary, flags, Mode::empty()) {
                    Ok(file) => file,
                    Err(errno) => {
                        // A file whose own mode keeps us from reading it.
                        let together = dir.filesystem().try_sync_all();
                        return together.unwrap_or_else(|| Err(Error::open(errno, Error::Write)));
                    }
                };
                sync_data(&file)
            }
        }
    }

    /// Gives the file its final name.
    fn publish(&mut self) -> Result<()> {
        if self.unpublished.is_distrusted() {
            return Err(Error::write(Errno::IO));
        }
        #[cfg(target_os = "linux")]
        if let Held::Nameless(file) = &self.file {
            let Unpublished { dir, name, .. } = &self.unpublished;
            match file.link(dir, name) {
                Ok(()) => return Ok(()),
                Err(Errno::EXIST) if self.existing != Existing::Refuse => {
                    // A second name does not replace anything; one of its own can be renamed over what is there.
                    let temporary = dir.temporary_name();
                    file.link(dir, &temporary).map_err(renaming)?;
                    self.unpublished.temporary = temporary.into();
                }
                Err(errno) => return Err(renaming(errno)),
            }
        }
        let Unpublished {
            dir,
            name,
            temporary,
            ..
        } = &self.unpublished;
        match rename_without_replacing((dir, temporary), (dir, name)) {
            Err(Errno::EXIST) if self.existing == Existing::RefuseOther => {
                return match is_same(dir, temporary, name) {
                    // Ours is removed when dropped.
                    true => self.unpublished.forget_checkpoint(),
                    false => Err(Error::AlreadyExists),
                };
            }
            Err(Errno::EXIST) if self.existing != Existing::Refuse => {
                if self.existing == Existing::Save {
                    check_replaceable((dir, name))?;
                    save(dir, name)?;
                }
                replace((dir, temporary), (dir, name))?;
            }
            Err(errno) => return Err(renaming(errno)),
            Ok(()) => {}
        }
        #[cfg(test)]
        steps::note(steps::Step::Renamed);
        self.unpublished.temporary = Box::default();
        Ok(())
    }
}

/// Files that become durable and visible together: one sync for many (group commit).
///
/// `T` is the caller's token for each file.
#[derive(Debug)]
pub struct CommitGroup<T> {
    items: Vec<(T, Item)>,
}

/// Something to make durable.
#[derive(Debug)]
enum Item {
    /// A file to publish.
    File(Finished),
    /// A directory, for the names that were made in it.
    Names(Dir),
}

impl Item {
    fn dir(&self) -> &Dir {
        match self {
            Self::File(file) => &file.unpublished.dir,
            Self::Names(dir) => dir,
        }
    }
}

/// Up to this many files, or directories, of one file system are synced one by one; more of them
/// are cheaper to sync all at once.
const SYNCED_SINGLY: usize = 8;

impl<T> Default for CommitGroup<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> CommitGroup<T> {
    /// Creates an empty group.
    pub const fn new() -> Self {
        Self { items: Vec::new() }
    }

    /// Adds a file to the next commit.
    pub fn add(&mut self, token: T, file: Finished) {
        self.items.push((token, Item::File(file)));
    }

    /// Adds a directory to the next commit: its own name, the links made in it and everything else
    /// that was made or removed by name there becomes durable.
    pub fn add_dir(&mut self, token: T, dir: &Dir) {
        self.items.push((token, Item::Names(dir.clone())));
    }

    /// Returns the number of files and directories waiting for the commit.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Returns true if nothing waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Publishes every file that was added, and empties the group.
    ///
    /// When this returns, a file reported with `Ok` has its final name, and content and name
    /// survive a loss of power. A file reported with an error has not replaced anything, except
    /// after [`Error::Write`] for its directory: then the name is there, but may not survive.
    pub fn commit(&mut self) -> Vec<(T, Result<()>)> {
        let mut items = std::mem::take(&mut self.items);
        let mut results = sync_contents(&items);
        for ((_, item), result) in items.iter_mut().zip(&mut results) {
            let Item::File(file) = item else { continue };
            match result {
                Ok(()) => *result = file.publish(),
                Err(_) => file.unpublished.distrust(),
            }
        }
        sync_names(&items, &mut results);
        for ((_, item), result) in items.iter().zip(&results) {
            if let (Item::File(file), Ok(())) = (item, result) {
                // One that stays speaks of a file that is gone: the next writer of that name removes it.
                file.unpublished.forget_checkpoint().ok();
            }
        }
        items
            .into_iter()
            .map(|(token, _)| token)
            .zip(results)
            .collect()
    }
}

/// Makes the contents durable, by file or by file system, whichever is less work.
fn sync_contents<T>(items: &[(T, Item)]) -> Vec<Result<()>> {
    let mut by_filesystem = BTreeMap::<u64, (&Filesystem, usize)>::new();
    for (_, item) in items {
        let filesystem = item.dir().filesystem();
        let (_, files) = by_filesystem
            .entry(filesystem.device)
            .or_insert((filesystem, 0));
        *files += usize::from(matches!(item, Item::File(_)));
    }
    let together: BTreeMap<u64, Result<()>> = by_filesystem
        .into_values()
        .filter(|(filesystem, files)| *files > SYNCED_SINGLY || filesystem.has_fresh_directories())
        .filter_map(|(filesystem, _)| Some((filesystem.device, filesystem.try_sync_all()?)))
        .collect();
    let sync = |item: &Item| match (together.get(&item.dir().filesystem().device), item) {
        (Some(Err(_)), _) => Err(Error::write(Errno::IO)),
        (Some(Ok(())), _) | (None, Item::Names(_)) => Ok(()),
        (None, Item::File(file)) => file.sync(),
    };
    items.iter().map(|(_, item)| sync(item)).collect()
}

/// Makes the new names durable: each directory once, or all of them at once if they are many.
fn sync_names<T>(items: &[(T, Item)], results: &mut [Result<()>]) {
    let mut dirs = BTreeMap::<u64, BTreeMap<u64, &Dir>>::new();
    for ((_, item), result) in items.iter().zip(results.iter()) {
        if result.is_ok() {
            let (device, inode) = item.dir().key();
            dirs.entry(device)
                .or_default()
                .entry(inode)
                .or_insert_with(|| item.dir());
        }
    }
    let mut failed = BTreeSet::new();
    for dirs in dirs.into_values() {
        let many = dirs.len() > SYNCED_SINGLY;
        let one = dirs.values().next().filter(|_| many);
        // Where there is no such sync, or it failed, each directory answers for itself.
        if matches!(
            one.and_then(|dir| dir.filesystem().try_sync_all()),
            Some(Ok(()))
        ) {
            continue;
        }
        failed.extend(
            dirs.values()
                .filter(|dir| dir.sync().is_err())
                .map(|dir| dir.key()),
        );
    }
    for ((_, item), result) in items.iter().zip(results) {
        if result.is_ok() && failed.contains(&item.dir().key()) {
            *result = Err(Error::write(Errno::IO));
        }
    }
}

impl Docroot {
    /// Renames or moves an object beneath the root; neither way there passes a link.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] or [`Error::IsADirectory`] as `existing` says,
    /// [`Error::NotFound`], [`Error::Rename`], those of [`Docroot::dir`].
    pub fn rename(&self, from: &EntryPath, to: &EntryPath, existing: Existing) -> Result<()> {
        let (from_dir, from) = self.parent_dir(from)?;
        let (to_dir, to) = self.parent_dir(to)?;
        to_dir.check_final_name(to)?;
        match rename_without_replacing((&from_dir, from), (&to_dir, to)) {
            Err(Errno::EXIST) if matches!(existing, Existing::Replace | Existing::Save) => {
                if existing == Existing::Save {
                    save(&to_dir, to)?;
                }
                replace((&from_dir, from), (&to_dir, to))
            }
            result => result.map_err(renaming),
        }
    }
}

/// A name in an open directory.
type Place<'a> = (&'a Dir, &'a [u8]);

/// Renames unless the new name is taken.
pub(crate) fn rename_without_replacing(from: Place<'_>, to: Place<'_>) -> Result<(), Errno> {
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    if to
        .0
        .filesystem()
        .renames_without_replacing
        .load(Ordering::Relaxed)
    {
        use crate::sys::renameat_with;
        use rustix::fs::RenameFlags;
        match renameat_with(from.0, from.1, to.0, to.1, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                // Between directories the answer may as well mean "not into itself".
                if from.0.key() == to.0.key() {
                    to.0.filesystem()
                        .renames_without_replacing
                        .store(false, Ordering::Relaxed);
                }
            }
            result => return result,
        }
    }
    link_and_unlink(from, to)
}

/// The same with older means: a second name is made, which fails if it is taken, and the first
/// removed.
fn link_and_unlink(from: Place<'_>, to: Place<'_>) -> Result<(), Errno> {
    match linkat(from.0, from.1, to.0, to.1, AtFlags::empty()) {
        Ok(()) => from.0.unlink(from.1),
        // Something that has no second names, or a file system without them: an empty file of ours
        // holds the name for the moment between, so that nothing of anybody else's is replaced.
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {
            drop(create_new(to.0, to.1, Mode::from_bits_truncate(0o600))?);
            renameat(from.0, from.1, to.0, to.1).inspect_err(|_| {
                // The name was free before, so it is free again.
                let _ = to.0.unlink(to.1);
            })
        }
        Err(errno) => Err(errno),
    }
}

/// Renames over what is there, if that is a file this account may write, or a link.
fn replace(from: Place<'_>, to: Place<'_>) -> Result<()> {
    check_replaceable(to)?;
    renameat(from.0, from.1, to.0, to.1).map_err(renaming)
}

fn check_replaceable(to: Place<'_>) -> Result<()> {
    match to.0.stat(to.1)?.map(|attributes| attributes.kind) {
        Some(FileKind::Directory) => return Err(Error::IsADirectory),
        Some(FileKind::File) => {
            if let Err(errno @ (Errno::ACCESS | Errno::PERM | Errno::ROFS)) =
                accessat(to.0, to.1, Access::WRITE_OK, AtFlags::EACCESS)
            {
                return Err(Error::open(errno, Error::Write));
            }
        }
        _ => {}
    }
    Ok(())
}

pub(crate) fn renaming(errno: Errno) -> Error {
    match errno {
        Errno::EXIST | Errno::NOTEMPTY => Error::AlreadyExists,
        Errno::ISDIR => Error::IsADirectory,
        Errno::NOENT => Error::NotFound,
        Errno::NOSPC | Errno::DQUOT | Errno::ROFS | Errno::ACCESS | Errno::PERM => {
            Error::write(errno)
        }
        _ => Error::Rename(errno.into()),
    }
}

/// The order of what a commit does, recorded for the tests.
#[cfg(test)]
pub(crate) mod steps {
    use std::cell::RefCell;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Step {
        FileSynced,
        FilesystemSynced,
        Renamed,
        DirectorySynced,
    }

    thread_local! {
        static STEPS: RefCell<Vec<Step>> = const { RefCell::new(Vec::new()) };
    }

    pub(crate) fn note(step: Step) {
        STEPS.with_borrow_mut(|steps| steps.push(step));
    }

    pub(crate) fn take() -> Vec<Step> {
        STEPS.take()
    }
}

#[cfg(test)]
#[path = "publish/tests.rs"]
mod tests;
