//! A file of the local user that is changed where it stands: the header of an envelope.

use std::os::fd::{AsFd as _, OwnedFd};

use crate::sys::{flock, fstat, openat};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::attributes::{Attributes, FileKind};
use crate::dir::Dir;
use crate::error::{Error, Result};
use crate::partial::{clear_nonblock, sync_data, write_all_at};

/// A regular file, open for reading and for changing bytes in it, locked against others who do the same.
///
/// What is written is not undone by an error: whoever needs the former bytes has stored them elsewhere first.
#[derive(Debug)]
pub struct EditFile {
    file: OwnedFd,
    attributes: Attributes,
}

impl Dir {
    /// Opens a file of this directory for changes; a link is refused.
    ///
    /// # Errors
    /// [`Error::OutsideRoot`] for a link, [`Error::NotRegular`], [`Error::IsADirectory`], [`Error::InUse`] while
    /// somebody else has it open for changes, [`Error::NotFound`], [`Error::NoPermission`].
    pub fn open_edit(&self, name: &[u8]) -> Result<EditFile> {
        self.check_name(name)?;
        let flags =
            OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = openat(self.as_fd(), name, flags, Mode::empty())
            .map_err(|errno| Error::open(errno, Error::Write))?;
        let attributes = Attributes::of(&fstat(&file).map_err(Error::stat)?);
        match attributes.kind {
            FileKind::File => {}
            FileKind::Directory => return Err(Error::IsADirectory),
            kind => return Err(Error::NotRegular(kind)),
        }
        clear_nonblock(&file)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) | Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOLCK) => {}
            Err(Errno::WOULDBLOCK) => return Err(Error::InUse),
            Err(errno) => return Err(Error::write(errno)),
        }
        Ok(EditFile { file, attributes })
    }
}

impl EditFile {
    /// Reads at `offset`; returns how many bytes there were.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        loop {
            match crate::sys::pread(&self.file, &mut *buffer, offset) {
                Err(Errno::INTR) => {}
                result => return result.map_err(Error::read),
            }
        }
    }

    /// Writes all of `data` at `offset` and makes it durable.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::Write`]: any part of the bytes may be the old or the new one.
    pub fn write_durably_at(&self, data: &[u8], offset: u64) -> Result<()> {
        write_all_at(&self.file, data, offset)?;
        sync_data(&self.file)
    }

    /// Returns the attributes when it was opened.
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }
}
