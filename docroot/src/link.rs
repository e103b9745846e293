//! Symbolic links of a peer (P-5).

use std::os::fd::AsFd as _;

use crate::sys::{readlinkat, renameat, symlinkat};
use rustix::io::Errno;

use crate::attributes::FileKind;
use crate::dir::Dir;
use crate::error::{Error, Result};
use crate::path::{EntryPath, MAX_LINK_TARGET};
use crate::publish::Existing;
use crate::root::Docroot;
use crate::saved::save;

/// Returns true if a link that lies at `link` and says `target` stays beneath the root, judged by
/// the words alone (P-5).
///
/// Absolute targets, targets that climb above the root at any point, empty ones, ones with a NUL
/// byte and ones longer than [`MAX_LINK_TARGET`] do not.
pub fn symlink_target_is_beneath(link: &EntryPath, target: &[u8]) -> bool {
    if target.is_empty() || target.len() > MAX_LINK_TARGET || target.contains(&0) {
        return false;
    }
    if target[0] == b'/' || link.is_root() {
        return false;
    }
    let mut depth = link.depth() - 1;
    for part in target
        .split(|b| *b == b'/')
        .filter(|c| !c.is_empty() && *c != b".")
    {
        if part == b".." {
            match depth.checked_sub(1) {
                Some(above) => depth = above,
                None => return false,
            }
        } else {
            depth += 1;
        }
    }
    true
}

impl Docroot {
    /// Makes a symbolic link whose target stays beneath the root by its words.
    ///
    /// Links are made last, after all files, so that no file is received through one.
    ///
    /// # Errors
    /// [`Error::LinkTarget`]; else as [`Dir::create_symlink`].
    pub fn create_symlink(
        &self,
        path: &EntryPath,
        target: &[u8],
        existing: Existing,
    ) -> Result<()> {
        if !symlink_target_is_beneath(path, target) {
            return Err(Error::LinkTarget);
        }
        let (dir, name) = self.parent_dir(path)?;
        dir.create_symlink(name, target, existing)
    }

    /// Returns the target of a symbolic link, as it is written there.
    ///
    /// # Errors
    /// As [`Dir::read_link`] and [`Docroot::dir`].
    pub fn read_link(&self, path: &EntryPath) -> Result<Vec<u8>> {
        let (dir, name) = self.parent_dir(path)?;
        dir.read_link(name)
    }
}

impl Dir {
    /// Makes a symbolic link, whatever its target says: whether that is allowed, only the caller
    /// knows, who knows the whole path ([`symlink_target_is_beneath`]).
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], [`Error::IsADirectory`] for a directory in the way,
    /// [`Error::LinkTarget`] for a target that no system can hold; those of a failed write.
    pub fn create_symlink(&self, name: &[u8], target: &[u8], existing: Existing) -> Result<()> {
        self.check_final_name(name)?;
        if target.is_empty() || target.len() > MAX_LINK_TARGET || target.contains(&0) {
            return Err(Error::LinkTarget);
        }
        match (symlinkat(target, self.as_fd(), name), existing) {
            (Ok(()), _) => return Ok(()),
            (Err(Errno::EXIST), Existing::Replace | Existing::Save) => {}
            (Err(errno), _) => return Err(Error::open(errno, Error::Write)),
        }
        if self
            .stat(name)?
            .is_some_and(|a| a.kind == FileKind::Directory)
        {
            return Err(Error::IsADirectory);
        }
        if existing == Existing::Save {
            save(self, name)?;
        }
        let temporary = self.temporary_name();
        symlinkat(target, self.as_fd(), &temporary[..])
            .map_err(|errno| Error::open(errno, Error::Write))?;
        renameat(self.as_fd(), &temporary[..], self.as_fd(), name).map_err(|errno| {
            // Best effort: the rename's own error is the one to report.
            let _ = self.unlink(&temporary);
            Error::open(errno, Error::Rename)
        })
    }

    /// Returns the target of a symbolic link, as it is written there.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::LinkTarget`] if it is longer than [`MAX_LINK_TARGET`],
    /// [`Error::Read`] if it is no link.
    pub fn read_link(&self, name: &[u8]) -> Result<Vec<u8>> {
        self.check_name(name)?;
        let target = readlinkat(self.as_fd(), name, Vec::new())
            .map_err(|errno| Error::open(errno, Error::Read))?
            .into_bytes();
        if target.len() > MAX_LINK_TARGET {
            Err(Error::LinkTarget)
        } else {
            Ok(target)
        }
    }
}
