//! A file that is read to be sent.

use std::io::IoSliceMut;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use crate::sys::{fadvise, fstat};
use rustix::fs::{Advice, OFlags};
use rustix::io::Errno;

use crate::attributes::{Attributes, FileKind, Identity};
use crate::dir::Dir;
use crate::error::{Error, Result};
use crate::partial::clear_nonblock;
use crate::path::EntryPath;
use crate::publish::{rename_without_replacing, renaming};
use crate::resolve::LinkRule;
use crate::root::Docroot;

/// A regular file, open for reading. Reads are positioned, so threads may share it.
#[derive(Debug)]
pub struct SourceFile {
    file: OwnedFd,
    /// As it was when opened.
    attributes: Attributes,
}

/// Not waiting for the other end of a pipe, nor becoming a terminal's owner (P-6).
pub(crate) const OPEN_SOURCE: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

impl Docroot {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// [`Error::NotRegular`] and [`Error::IsADirectory`] for anything but a regular file, without
    /// ever blocking on it (P-6); [`Error::OutsideRoot`] and [`Error::LinkLoop`] as `rule` says;
    /// [`Error::NotFound`], [`Error::NoPermission`].
    pub fn open_source(&self, path: &EntryPath, rule: LinkRule) -> Result<SourceFile> {
        let flags = match rule {
            LinkRule::Refuse => OPEN_SOURCE | OFlags::NOFOLLOW,
            LinkRule::FollowBeneath => OPEN_SOURCE,
        };
        SourceFile::new(self.open_beneath(path.as_bytes(), flags, rule)?)
    }

    /// Removes a file or link after it was sent, if it still is what was sent (P-11).
    ///
    /// # Errors
    /// [`Error::SourceChanged`] if another file or another version has the name now; as
    /// [`Dir::remove_file`] otherwise.
    pub fn remove_source(&self, path: &EntryPath, sent: &Identity) -> Result<()> {
        let (dir, name) = self.sent_source(path, sent)?;
        dir.remove_file(name)
    }

    /// Moves a file or link after it was sent to `to` beneath another root, if it still is what was sent (P-11).
    /// Directories on the way are made.
    ///
    /// # Errors
    /// As [`Docroot::remove_source`]; [`Error::AlreadyExists`] when the name there is taken, [`Error::Rename`] between
    /// file systems.
    pub fn move_source(
        &self,
        path: &EntryPath,
        sent: &Identity,
        root: &Self,
        to: &EntryPath,
    ) -> Result<()> {
        let (dir, name) = self.sent_source(path, sent)?;
        let parent = to.parent().unwrap_or(EntryPath::root());
        let target = root.create_dirs(&parent, 0o777)?;
        let to = to.file_name().unwrap_or(name);
        target.check_final_name(to)?;
        rename_without_replacing((&dir, name), (&target, to)).map_err(renaming)
    }

    /// Returns directory and name of something that was sent, if it is still there.
    fn sent_source<'a>(&self, path: &'a EntryPath, sent: &Identity) -> Result<(Dir, &'a [u8])> {
        let (dir, name) = self.parent_dir(path)?;
        match dir.stat(name)? {
            None => Err(Error::NotFound),
            Some(now)
                if matches!(now.kind, FileKind::File | FileKind::Symlink)
                    && now.identity() == *sent =>
            {
                Ok((dir, name))
            }
            Some(_) => Err(Error::SourceChanged),
        }
    }
}

impl Dir {
    /// Opens a file of this directory for reading; a link is refused.
    ///
    /// # Errors
    /// As [`Docroot::open_source`].
    pub fn open_source(&self, name: &[u8]) -> Result<SourceFile> {
        SourceFile::new(self.open_file(name)?)
    }

    pub(crate) fn open_file(&self, name: &[u8]) -> Result<OwnedFd> {
        self.check_name(name)?;
        open_in(self.as_fd(), name)
    }
}

/// Opens what has this name in an open directory, but no link.
fn open_in(dir: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd> {
    let flags = OPEN_SOURCE | OFlags::NOFOLLOW;
    crate::sys::openat(dir, name, flags, rustix::fs::Mode::empty())
        .map_err(|errno| Error::open(errno, Error::Read))
}

impl SourceFile {
    fn new(file: OwnedFd) -> Result<Self> {
        let attributes = Attributes::of(&fstat(&file).map_err(Error::stat)?);
        match attributes.kind {
            FileKind::File => {}
            FileKind::Directory => return Err(Error::IsADirectory),
            kind => return Err(Error::NotRegular(kind)),
        }
        Ok(Self { file, attributes })
    }

    /// Opens a file that a directory has just named.
    pub(crate) fn open_in(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Self> {
        Self::new(open_in(dir, name)?)
    }

    /// Reads, again after an interruption. What it was opened with keeps ordinary files from waiting on no system that is
    /// known; one that takes it at its word gets a file that waits.
    fn reading<T>(&self, mut read: impl FnMut(&OwnedFd) -> Result<T, Errno>) -> Result<T> {
        let mut waits = false;
        loop {
            match read(&self.file) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if !waits => {
                    clear_nonblock(&self.file)?;
                    waits = true;
                }
                result => return result.map_err(Error::read),
            }
        }
    }

    /// Reads at `offset`; returns how many bytes there were, fewer than asked for only at the end.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            // An offset past the largest file reads nothing.
            let Some(at) = offset.checked_add(filled as u64) else {
                break;
            };
            match self.reading(|file| crate::sys::pread(file, &mut buffer[filled..], at))? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(filled)
    }

    /// Reads into one buffer after the other, in one system call; returns how many bytes came,
    /// which may be fewer than there are.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn read_vectored_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> Result<usize> {
        self.reading(|file| crate::sys::preadv(file, buffers, offset))
    }

    /// Asks the system to fetch a range of bytes ahead of its use. A hint: never fails.
    pub fn advise_willneed(&self, range: Range<u64>) {
        self.advise(
            range.start,
            range.end.saturating_sub(range.start),
            Advice::WillNeed,
        );
    }

    /// Tells the system that the file will be read from its beginning to its end.
    pub fn advise_sequential(&self) {
        self.advise(0, 0, Advice::Sequential);
    }

    /// Returns what told this file from others when it was opened.
    pub fn identity(&self) -> Identity {
        self.attributes.identity()
    }

    /// Returns the attributes when it was opened.
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// Checks that what was read since the file was opened was one version of it (D-7).
    ///
    /// # Errors
    /// [`Error::SourceChanged`] if size, time of change or the file itself differ.
    pub fn unchanged(&self) -> Result<()> {
        self.unchanged_since(&self.identity())
    }

    /// Checks that the file is what it was when it had this identity.
    ///
    /// # Errors
    /// As [`SourceFile::unchanged`].
    pub fn unchanged_since(&self, then: &Identity) -> Result<()> {
        let now = Attributes::of(&fstat(&self.file).map_err(Error::stat)?);
        if now.identity() == *then {
            Ok(())
        } else {
            Err(Error::SourceChanged)
        }
    }

    fn advise(&self, offset: u64, length: u64, advice: Advice) {
        #[cfg(not(target_vendor = "apple"))]
        let _ = fadvise(&self.file, offset, NonZeroU64::new(length), advice);
        #[cfg(target_vendor = "apple")]
        let _ = (offset, length, advice);
    }
}
