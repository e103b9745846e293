//! An open directory: where things are made, changed and removed by name (P-3).

use std::fmt::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sys::{fstat, statat, unlinkat};
use fasp_core::NotKept;
use rustix::fs::{AtFlags, Mode};

use crate::attributes::{Attributes, Metadata};
use crate::error::{Error, NameFault, Result};
use crate::filesystem::Filesystem;
use crate::partial::apply;
use crate::path::{EntryPath, MAX_COMPONENT, check_component};
use crate::portable::NameRules;
use crate::root::Docroot;
use crate::view::{Looked, require};

/// An open directory beneath a [`Docroot`]. Cheap to clone; holds one descriptor.
#[derive(Debug, Clone)]
pub struct Dir {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: Docroot,
    fd: OwnedFd,
    /// Where it is beneath the root, as far as a view has to know.
    path: EntryPath,
    device: u64,
    inode: u64,
    filesystem: Arc<Filesystem>,
    /// Others can see that temporary files are made here.
    is_claimed: AtomicBool,
}

impl Dir {
    pub(crate) fn new(
        root: Docroot,
        fd: OwnedFd,
        path: EntryPath,
        attributes: Attributes,
        filesystem: Arc<Filesystem>,
    ) -> Self {
        let Attributes { device, inode, .. } = attributes;
        Self {
            shared: Arc::new(Shared {
                root,
                fd,
                path,
                device,
                inode,
                filesystem,
                is_claimed: AtomicBool::new(false),
            }),
        }
    }

    /// Removes a file or a link; a directory is refused.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::IsADirectory`], [`Error::NoPermission`], [`Error::Write`].
    pub fn remove_file(&self, name: &[u8]) -> Result<()> {
        self.check_name(name)?;
        self.unlink(name)
            .map_err(|errno| Error::open(errno, Error::Write))
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotADirectory`], [`Error::NoPermission`], [`Error::Write`].
    pub fn remove_dir(&self, name: &[u8]) -> Result<()> {
        self.check_name(name)?;
        unlinkat(self.as_fd(), name, AtFlags::REMOVEDIR)
            .map_err(|errno| Error::open(errno, Error::Write))
    }

    /// Sets attributes of the directory itself, and says which of them it could not keep.
    ///
    /// Its set-uid, set-gid and sticky bits stay as the administrator set them (P-7).
    ///
    /// # Errors
    /// [`Error::ReadOnly`], [`Error::Write`].
    pub fn set_metadata(&self, metadata: &Metadata) -> Result<NotKept> {
        let kept = match metadata.mode {
            Some(_) => Mode::from_bits_truncate(self.attributes()?.mode & 0o7000),
            None => Mode::empty(),
        };
        apply(self.as_fd(), metadata, kept)
    }

    /// Returns the attributes of the object `name`, a link's own if it is one; nothing if there
    /// is none.
    ///
    /// # Errors
    /// [`Error::NoPermission`] or [`Error::Stat`].
    pub fn stat(&self, name: &[u8]) -> Result<Option<Attributes>> {
        self.check_name(name)?;
        match statat(self.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Attributes::of(&stat))),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(errno) => Err(Error::stat(errno)),
        }
    }

    /// Returns the attributes of the partial of `name`; nothing if there is none.
    ///
    /// # Errors
    /// As [`Dir::stat`].
    pub fn partial_attributes(&self, name: &[u8]) -> Result<Option<Attributes>> {
        self.stat(&self.partial_name(name))
    }

    /// Returns the attributes of the directory itself.
    ///
    /// # Errors
    /// [`Error::Stat`].
    pub fn attributes(&self) -> Result<Attributes> {
        Ok(Attributes::of(&fstat(self.as_fd()).map_err(Error::stat)?))
    }

    /// Returns the root this directory lies beneath.
    pub fn root(&self) -> &Docroot {
        &self.shared.root
    }

    pub(crate) fn filesystem(&self) -> &Arc<Filesystem> {
        &self.shared.filesystem
    }

    /// Returns what tells this directory from all others.
    pub(crate) fn key(&self) -> (u64, u64) {
        (self.shared.device, self.shared.inode)
    }

    pub(crate) fn unlink(&self, name: &[u8]) -> rustix::io::Result<()> {
        unlinkat(self.as_fd(), name, AtFlags::empty())
    }

    /// Makes the names in this directory durable.
    pub(crate) fn sync(&self) -> Result<()> {
        #[cfg(test)]
        crate::publish::steps::note(crate::publish::steps::Step::DirectorySynced);
        crate::sys::fsync(self.as_fd()).map_err(Error::write)
    }

    /// Notes that a directory was made here, whose name has to become durable with the files in it.
    pub(crate) fn note_child(&self) -> Result<()> {
        #[cfg(target_os = "linux")]
        if crate::filesystem::sync_all_is_reliable() {
            self.filesystem().note_directory();
            return Ok(());
        }
        self.sync()
    }

    pub(crate) fn check_name(&self, name: &[u8]) -> Result<(), NameFault> {
        check_component(name, NameRules::HOST)?;
        match self.root().view() {
            Some(view) => require(view.admits_any(self.path_of(name).as_bytes())),
            None => Ok(()),
        }
    }

    /// Where something in this directory is beneath the root.
    pub(crate) fn path_of(&self, name: &[u8]) -> EntryPath {
        self.shared.path.child(name)
    }

    /// Returns where the directory is beneath the root.
    pub(crate) fn path(&self) -> &EntryPath {
        &self.shared.path
    }

    /// A name that something is published under may not look like an unfinished file: another
    /// writer could own a file of that name.
    pub(crate) fn check_final_name(&self, name: &[u8]) -> Result<(), NameFault> {
        self.check_name(name)?;
        self.check_unreserved(name)?;
        match self.root().view() {
            Some(view) => require(view.admits(self.path_of(name).as_bytes(), Looked::Other)),
            None => Ok(()),
        }
    }

    /// As [`check_final_name`](Self::check_final_name), for a directory.
    pub(crate) fn check_final_directory(&self, name: &[u8]) -> Result<(), NameFault> {
        self.check_name(name)?;
        self.check_unreserved(name)?;
        match self.root().view() {
            Some(view) => require(view.admits(self.path_of(name).as_bytes(), Looked::Directory)),
            None => Ok(()),
        }
    }

    fn check_unreserved(&self, name: &[u8]) -> Result<(), NameFault> {
        match self.root().suffixes().reserve(name) {
            true => Err(NameFault::Reserved),
            false => Ok(()),
        }
    }

    /// Returns a name that nobody else uses, not in this process, not in another, and that nobody takes for one that was left
    /// behind while this directory is open.
    pub(crate) fn temporary_name(&self) -> Vec<u8> {
        if !self.shared.is_claimed.load(Ordering::Relaxed) && self.claim() {
            self.shared.is_claimed.store(true, Ordering::Relaxed);
        }
        let shared = &self.root().shared;
        let number = shared.temporaries.fetch_add(1, Ordering::Relaxed);
        let mut name = String::with_capacity(48);
        // Writing to a string does not fail.
        let _ = write!(name, ".{:016x}-{number:x}", shared.nonce);
        let mut name = name.into_bytes();
        name.extend_from_slice(self.root().suffixes().partial());
        name
    }

    pub(crate) fn partial_name(&self, name: &[u8]) -> Vec<u8> {
        with_suffix(name, self.root().suffixes().partial())
    }

    /// What a checkpoint is called until it replaces the former one: the partial of a name that nothing is published
    /// under.
    pub(crate) fn next_checkpoint_name(&self, name: &[u8]) -> Vec<u8> {
        with_suffix(
            &self.checkpoint_name(name),
            self.root().suffixes().partial(),
        )
    }

    pub(crate) fn checkpoint_name(&self, name: &[u8]) -> Vec<u8> {
        with_suffix(name, self.root().suffixes().checkpoint())
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.fd.as_fd()
    }
}

/// Appends a suffix to a name. What would be too long is cut, and a hash of the whole name keeps it
/// apart from its neighbours; the same name always gives the same result, so a partial is found
/// again.
fn with_suffix(name: &[u8], suffix: &[u8]) -> Vec<u8> {
    const HASH: usize = 17;
    if name.len() + suffix.len() <= MAX_COMPONENT {
        return [name, suffix].concat();
    }
    let kept = &name[..MAX_COMPONENT - HASH - suffix.len()];
    [kept, format!("~{:016x}", fnv1a(name)).as_bytes(), suffix].concat()
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffixed_name_fits_and_stays_apart() {
        assert_eq!(with_suffix(b"a", b".partial"), b"a.partial");
        let long = [b'x'; 255];
        let mut other = long;
        other[254] = b'y';
        assert_eq!(with_suffix(&long, b".partial").len(), 255);
        assert_eq!(
            with_suffix(&long, b".partial"),
            with_suffix(&long, b".partial")
        );
        assert_ne!(
            with_suffix(&long, b".partial"),
            with_suffix(&other, b".partial")
        );
        assert_eq!(with_suffix(&long[..247], b".partial").len(), 255);
        assert_eq!(with_suffix(&long[..248], b".partial").len(), 255);
    }
}
