//! A root directory: opened once, and everything beneath it reached through its descriptor (P-1).

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use crate::sys::{fstat, fstatvfs, mkdirat, statat};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::attributes::{Attributes, FileKind, permission_bits};
use crate::dir::Dir;
use crate::error::{Error, NameFault, Result};
use crate::filesystem::Filesystems;
use crate::path::{EntryPath, Suffixes};
use crate::portable::NameRules;
use crate::resolve::{LinkRule, Resolver};
use crate::view::{Looked, View};

/// How a root is opened.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RootOptions {
    /// How paths beneath it are resolved.
    pub resolver: Resolver,
    /// How unfinished files beneath it end.
    pub suffixes: Suffixes,
    /// Which paths beneath it exist; `None` is all that are there.
    pub view: Option<View>,
    /// Which names can be made beneath it; `None` is as its file system says.
    pub names: Option<NameRules>,
}

/// A directory that nothing named afterwards can leave. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Docroot {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    fd: OwnedFd,
    options: RootOptions,
    pub(crate) filesystems: Filesystems,
    /// Part of the names of temporary files: no other root, here or elsewhere, uses the same.
    pub(crate) nonce: u64,
    pub(crate) temporaries: std::sync::atomic::AtomicU64,
}

#[cfg(target_os = "linux")]
pub(crate) const LOOK: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
pub(crate) const LOOK: OFlags = OFlags::NONBLOCK;

pub(crate) const OPEN_DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

impl Docroot {
    /// Opens the directory at `path`, which the operator or the local user chose.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotADirectory`] or [`Error::NoPermission`].
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, RootOptions::default())
    }

    /// Opens the directory at `path` with options.
    ///
    /// # Errors
    /// As [`Docroot::open`].
    pub fn open_with(path: &Path, options: RootOptions) -> Result<Self> {
        let fd = crate::sys::open(path, OPEN_DIRECTORY, Mode::empty())
            .map_err(|errno| Error::open(errno, Error::Read))?;
        let shared = Shared {
            fd,
            options,
            filesystems: Filesystems::default(),
            nonce: random().map_err(Error::read)?,
            temporaries: std::sync::atomic::AtomicU64::new(0),
        };
        let root = Self {
            shared: Arc::new(shared),
        };
        // The file system of the root is known from the start, before anything is written.
        root.root_dir()?;
        Ok(root)
    }

    /// Opens a directory beneath the root, reached without any link.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotADirectory`], [`Error::OutsideRoot`] for a link anywhere
    /// in the path, [`Error::NoPermission`].
    pub fn dir(&self, path: &EntryPath) -> Result<Dir> {
        self.adopt(self.open_directory(path.as_bytes())?, path.clone())
    }

    /// Opens the root itself as a directory.
    ///
    /// # Errors
    /// [`Error::NoPermission`] and the like.
    pub fn root_dir(&self) -> Result<Dir> {
        self.dir(&EntryPath::root())
    }

    /// Opens a directory beneath the root after making those parts of the path that are missing.
    ///
    /// New directories get the permission bits of `mode`, less the process's umask. Nothing is
    /// made through a link.
    ///
    /// # Errors
    /// As [`Docroot::dir`], and those of a failed write.
    pub fn create_dirs(&self, path: &EntryPath, mode: u32) -> Result<Dir> {
        match self.open_directory(path.as_bytes()) {
            Ok(fd) => return self.adopt(fd, path.clone()),
            Err(Error::NotFound) => {}
            Err(error) => return Err(error),
        }
        // The deepest part that exists, then downwards from there.
        let mut existing = path.as_bytes();
        let mut dir = loop {
            existing = existing
                .iter()
                .rposition(|b| *b == b'/')
                .map_or(&[], |at| &existing[..at]);
            match self.open_directory(existing) {
                Ok(fd) => break self.adopt(fd, EntryPath::root().child(existing))?,
                Err(Error::NotFound) if !existing.is_empty() => {}
                Err(error) => return Err(error),
            }
        };
        let missing = &path.as_bytes()[existing.len()..];
        for name in missing.split(|b| *b == b'/').filter(|c| !c.is_empty()) {
            dir = dir.create_child(name, mode)?;
        }
        Ok(dir)
    }

    /// Returns the attributes of an object, or nothing where there is none.
    ///
    /// With [`LinkRule::Refuse`] a link in the last component is described itself.
    ///
    /// # Errors
    /// [`Error::OutsideRoot`], [`Error::LinkLoop`], [`Error::NoPermission`], [`Error::Stat`].
    pub fn stat(&self, path: &EntryPath, rule: LinkRule) -> Result<Option<Attributes>> {
        if self
            .view()
            .is_some_and(|view| !view.admits_any(path.as_bytes()))
        {
            return Ok(None);
        }
        let result = match (rule, path.split_last()) {
            (LinkRule::Refuse, Some((parent, name))) => self
                .open_beneath(parent, LOOK | OFlags::DIRECTORY, rule)
                .and_then(|parent| {
                    statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(Error::stat)
                }),
            _ => self
                .open_beneath(path.as_bytes(), LOOK, rule)
                .and_then(|fd| fstat(&fd).map_err(Error::stat)),
        };
        match result {
            Ok(stat) => Ok(Some(Attributes::of(&stat))),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes a file or a link; a directory is refused.
    ///
    /// # Errors
    /// As [`Docroot::dir`] and [`Dir::remove_file`].
    pub fn remove_file(&self, path: &EntryPath) -> Result<()> {
        let (dir, name) = self.parent_dir(path)?;
        dir.remove_file(name)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// As [`Docroot::dir`] and [`Dir::remove_dir`].
    pub fn remove_dir(&self, path: &EntryPath) -> Result<()> {
        let (dir, name) = self.parent_dir(path)?;
        dir.remove_dir(name)
    }

    /// Returns the space on the root's file system, in bytes: what this account may still use, and
    /// all there is (D-12).
    ///
    /// # Errors
    /// [`Error::Stat`].
    pub fn free_space(&self) -> Result<(u64, u64)> {
        let stat = fstatvfs(self.as_fd()).map_err(Error::stat)?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok((bytes(stat.f_bavail), bytes(stat.f_blocks)))
    }

    /// Returns how unfinished files beneath this root end.
    pub fn suffixes(&self) -> &Suffixes {
        &self.shared.options.suffixes
    }

    /// Returns which names can be made beneath this root: file systems of Windows have rules of their own wherever they
    /// are mounted.
    pub fn name_rules(&self) -> NameRules {
        self.shared
            .options
            .names
            .unwrap_or_else(|| NameRules::of(self.as_fd()))
    }

    pub(crate) fn view(&self) -> Option<&View> {
        self.shared.options.view.as_ref()
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.fd.as_fd()
    }

    pub(crate) fn open_beneath(
        &self,
        path: &[u8],
        flags: OFlags,
        rule: LinkRule,
    ) -> Result<OwnedFd> {
        let rule = match self.view() {
            None => rule,
            Some(view) => {
                let is_admitted = if flags.contains(OFlags::DIRECTORY) {
                    view.admits(path, Looked::Directory)
                } else {
                    view.admits_any(path)
                };
                // As if it were not there: what is hidden is not told from what is missing.
                if !is_admitted {
                    return Err(Error::NotFound);
                }
                LinkRule::Refuse
            }
        };
        self.shared
            .options
            .resolver
            .open(self.as_fd(), path, flags, rule)
    }

    /// Opens the directory an object lies in; returns it with the object's name.
    pub(crate) fn parent_dir<'a>(&self, path: &'a EntryPath) -> Result<(Dir, &'a [u8])> {
        let (parent, name) = path.split_last().ok_or(NameFault::Empty)?;
        let fd = self.open_directory(parent)?;
        Ok((self.adopt(fd, EntryPath::root().child(parent))?, name))
    }

    fn open_directory(&self, path: &[u8]) -> Result<OwnedFd> {
        self.open_beneath(path, OPEN_DIRECTORY, LinkRule::Refuse)
    }

    /// Takes an open directory beneath this root.
    pub(crate) fn adopt(&self, fd: OwnedFd, path: EntryPath) -> Result<Dir> {
        let attributes = Attributes::of(&fstat(&fd).map_err(Error::stat)?);
        if attributes.kind != FileKind::Directory {
            return Err(Error::NotADirectory);
        }
        let filesystem = self.shared.filesystems.get(attributes.device, || {
            // A description of its own: the kernel keeps track of reported errors in it.
            crate::sys::openat(&fd, ".", OPEN_DIRECTORY, Mode::empty())
                .map_err(|errno| Error::open(errno, Error::Read))
        })?;
        Ok(Dir::new(self.clone(), fd, path, attributes, filesystem))
    }
}

#[cfg(target_os = "linux")]
fn random() -> Result<u64, Errno> {
    use rustix::rand::{GetRandomFlags, getrandom};

    let mut bytes = [0; 8];
    // So few bytes come at once, or not at all.
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(u64::from_ne_bytes(bytes))
}

#[cfg(not(target_os = "linux"))]
fn random() -> Result<u64, Errno> {
    let file = crate::sys::open(
        "/dev/urandom",
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut bytes = [0; 8];
    match rustix::io::read(&file, &mut bytes)? {
        8 => Ok(u64::from_ne_bytes(bytes)),
        _ => Err(Errno::IO),
    }
}

impl Dir {
    /// Opens the directory `name` in this one, making it when it is missing.
    ///
    /// # Errors
    /// As [`Docroot::create_dirs`].
    pub fn create_child(&self, name: &[u8], mode: u32) -> Result<Self> {
        self.check_final_directory(name)?;
        match mkdirat(self.as_fd(), name, permission_bits(mode)) {
            Ok(()) => self.note_child()?,
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(Error::write(errno)),
        }
        self.child(name)
    }

    /// Opens the directory `name` in this one; a link is refused.
    ///
    /// # Errors
    /// As [`Docroot::dir`].
    pub fn child(&self, name: &[u8]) -> Result<Self> {
        self.check_name(name)?;
        let flags = OPEN_DIRECTORY | OFlags::NOFOLLOW;
        match crate::sys::openat(self.as_fd(), name, flags, Mode::empty()) {
            Ok(fd) => self.root().adopt(fd, self.path_of(name)),
            // With both flags a link is reported as "no directory".
            Err(Errno::NOTDIR | Errno::LOOP) => Err(match self.stat(name)? {
                Some(a) if a.kind == FileKind::Symlink => Error::OutsideRoot,
                _ => Error::NotADirectory,
            }),
            Err(errno) => Err(Error::open(errno, Error::Read)),
        }
    }
}
