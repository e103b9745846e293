//! Small files of our own that are read and replaced as a whole: checkpoints and state (D-3, D-4).

use std::os::fd::{AsFd as _, OwnedFd};

use crate::sys::{fstat, renameat};
use rustix::fs::Mode;
use rustix::io::Errno;

use crate::attributes::{Attributes, FileKind};
use crate::dir::Dir;
use crate::error::{Error, Result};
use crate::partial::{Unpublished, create_new, sync_data, write_all_at};

impl Dir {
    /// Returns the content of a small file of ours, or nothing if there is none.
    ///
    /// # Errors
    /// [`Error::NotRegular`] for a link or anything else that is no regular file,
    /// [`Error::Untrusted`] if it belongs to another account, [`Error::OverLimit`].
    pub fn load(&self, name: &[u8], limit: u64) -> Result<Option<Vec<u8>>> {
        let file = match self.open_file(name) {
            Ok(file) => file,
            Err(Error::NotFound) => return Ok(None),
            Err(Error::OutsideRoot) => return Err(Error::NotRegular(FileKind::Symlink)),
            Err(error) => return Err(error),
        };
        let attributes = Attributes::of(&fstat(&file).map_err(Error::stat)?);
        if attributes.kind != FileKind::File {
            return Err(Error::NotRegular(attributes.kind));
        }
        if attributes.uid != rustix::process::geteuid().as_raw() {
            return Err(Error::Untrusted);
        }
        read_whole(&file, attributes.size, limit).map(Some)
    }

    /// Replaces a small file of ours in one step; when this returns, the new content is durable.
    ///
    /// Only this account may read it.
    ///
    /// # Errors
    /// Those of a failed write; the former content is still there then.
    pub fn store(&self, name: &[u8], content: &[u8]) -> Result<()> {
        self.check_name(name)?;
        self.replace(name, self.temporary_name(), content)?;
        self.sync()
    }

    /// Replaces a file by way of another name; which of the two survives is open until the directory is synced.
    fn replace(&self, name: &[u8], temporary: Vec<u8>, content: &[u8]) -> Result<()> {
        let mut unpublished = Unpublished::new(self, name, temporary);
        let file = create_new(self, &unpublished.temporary, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| Error::open(errno, Error::Write))?;
        write_all_at(&file, content, 0)?;
        sync_data(&file)?;
        renameat(self.as_fd(), &*unpublished.temporary, self.as_fd(), name).map_err(|errno| {
            match errno {
                Errno::ISDIR => Error::IsADirectory,
                errno => Error::open(errno, Error::Rename),
            }
        })?;
        unpublished.temporary = Box::default();
        Ok(())
    }

    /// Replaces a checkpoint. The former one is as true, so the directory is not synced.
    pub(crate) fn write_checkpoint(&self, name: &[u8], content: &[u8]) -> Result<()> {
        let next = self.next_checkpoint_name(name);
        match self.unlink(&next) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(Error::open(errno, Error::Write)),
        }
        self.replace(&self.checkpoint_name(name), next, content)
    }

    /// Returns the checkpoint that lies beside the partial of `name`, if there is one.
    ///
    /// # Errors
    /// As [`Dir::load`]: the caller discards the checkpoint and begins anew (D-4).
    pub fn load_checkpoint(&self, name: &[u8], limit: u64) -> Result<Option<Vec<u8>>> {
        self.load(&self.checkpoint_name(name), limit)
    }

    /// Replaces the checkpoint that lies beside the partial of `name`.
    ///
    /// It may claim only bytes that a sync made durable (D-3). While there is a [`Partial`](crate::Partial), this is the
    /// business of a [`PartialHandle`](crate::PartialHandle).
    ///
    /// # Errors
    /// As [`Dir::store`].
    pub fn store_checkpoint(&self, name: &[u8], content: &[u8]) -> Result<()> {
        self.check_final_name(name)?;
        self.store(&self.checkpoint_name(name), content)
    }

    /// Removes the checkpoint of `name`, whatever it is; none is fine as well.
    ///
    /// # Errors
    /// As [`Dir::remove_file`].
    pub fn remove_checkpoint(&self, name: &[u8]) -> Result<()> {
        match self.remove_file(&self.checkpoint_name(name)) {
            Err(Error::NotFound) => Ok(()),
            result => result,
        }
    }
}

/// Reads a file of at most `limit` bytes, and no more of it if it grows meanwhile.
pub(crate) fn read_whole(file: &OwnedFd, size: u64, limit: u64) -> Result<Vec<u8>> {
    if size > limit {
        return Err(Error::OverLimit { limit });
    }
    let mut content = Vec::new();
    let mut block = vec![0; 64 << 10];
    loop {
        let read = match crate::sys::pread(file, &mut block[..], content.len() as u64) {
            Ok(0) => return Ok(content),
            Ok(read) => read,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(Error::read(errno)),
        };
        content.extend_from_slice(&block[..read]);
        if content.len() as u64 > limit {
            return Err(Error::OverLimit { limit });
        }
    }
}
