//! Changing a file that the operator names: under a lock, in one step, with its owner and mode (D-4).

use std::os::fd::OwnedFd;
use std::path::Path;

use crate::sys::{fchmod, fchown, flock, openat, renameat, unlinkat};
use rustix::fs::{AtFlags, FlockOperation, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::operator::{FILE, Located, locate, read_trusted};
use crate::partial::{sync_data, write_all_at};

/// Replaces a file that the operator or the local user chose by what `change` makes of it.
///
/// `change` gets the content, or nothing when there is no file yet, and returns the new content, or
/// nothing to leave the file alone. Only one process at a time is between the two: a lock file lies
/// beside the file, and stays there. The new content is written beside the old, made durable and
/// renamed over it, with the owner, group and permission bits of the old; a new file gets `mode`,
/// whatever the umask. Links on the way are followed under the rule of
/// [`read_operator_file`](crate::read_operator_file), and the file they lead to is replaced.
///
/// Returns true if the file was replaced. Access control lists and extended attributes of the old
/// file are not carried over.
///
/// # Errors
/// Those of [`read_operator_file`](crate::read_operator_file), [`Error::NotFound`] for a missing
/// directory, [`Error::NoPermission`], also when owner or mode cannot be kept; and what `change`
/// returns. The former content is still there then.
pub fn edit_operator_file<E: From<Error>>(
    path: &Path,
    limit: u64,
    mode: u32,
    change: impl FnOnce(Option<&[u8]>) -> Result<Option<Vec<u8>>, E>,
) -> Result<bool, E> {
    let Located {
        directory, name, ..
    } = locate(path)?;
    let _lock = lock_beside(&directory, &name)?;
    // Read again: somebody may have replaced it while this process waited.
    let old = match openat(&directory, &*name, FILE, Mode::empty()) {
        Ok(file) => Some(read_trusted(&file, limit)?),
        Err(Errno::NOENT) => None,
        Err(errno) => return Err(Error::open(errno, Error::Read).into()),
    };
    let content = old.as_ref().map(|(content, _)| &content[..]);
    let Some(new) = change(content)? else {
        return Ok(false);
    };
    if content == Some(&new[..]) {
        return Ok(false);
    }
    let attributes = old.as_ref().map(|(_, attributes)| attributes);
    replace(&directory, &name, &new, attributes, mode)?;
    Ok(true)
}

fn lock_beside(directory: &OwnedFd, name: &[u8]) -> Result<OwnedFd> {
    let name = [name, b".lock"].concat();
    let flags = OFlags::RDWR | OFlags::CREATE | FILE;
    let file = openat(directory, &*name, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|errno| Error::open(errno, Error::Write))?;
    loop {
        match flock(&file, FlockOperation::LockExclusive) {
            // Some network file systems have no locks; their users have one writer.
            Ok(()) | Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOLCK) => return Ok(file),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::write(errno)),
        }
    }
}

/// Writes beside, makes durable, renames, makes the name durable. The caller holds the lock.
fn replace(
    directory: &OwnedFd,
    name: &[u8],
    content: &[u8],
    old: Option<&Attributes>,
    mode: u32,
) -> Result<()> {
    let temporary = [b".", name, b".new"].concat();
    match unlinkat(directory, &*temporary, AtFlags::empty()) {
        // What an interrupted edit left behind.
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(Error::open(errno, Error::Write)),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | FILE;
    let file = openat(directory, &*temporary, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|errno| Error::open(errno, Error::Write))?;
    let done = fill(&file, content, old, mode).and_then(|()| {
        renameat(directory, &*temporary, directory, name)
            .map_err(|errno| Error::open(errno, Error::Rename))
    });
    if let Err(error) = done {
        // The first error is the one to report.
        let _ = unlinkat(directory, &*temporary, AtFlags::empty());
        return Err(error);
    }
    sync_names(directory)
}

fn fill(file: &OwnedFd, content: &[u8], old: Option<&Attributes>, mode: u32) -> Result<()> {
    write_all_at(file, content, 0)?;
    let denied = |errno| Error::open(errno, Error::Write);
    let mode = match old {
        Some(old) => {
            let made = Attributes::of(&crate::sys::fstat(file).map_err(Error::stat)?);
            if (made.uid, made.gid) != (old.uid, old.gid) {
                let (owner, group) = (Uid::from_raw(old.uid), Gid::from_raw(old.gid));
                fchown(file, Some(owner), Some(group)).map_err(denied)?;
            }
            old.mode
        }
        None => mode,
    };
    fchmod(file, Mode::from_bits_truncate(mode & 0o777)).map_err(denied)?;
    sync_data(file)
}

fn sync_names(directory: &OwnedFd) -> Result<()> {
    // The descriptor at hand may be good for looking up names only.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match openat(directory, ".", flags, Mode::empty()) {
        Ok(directory) => crate::sys::fsync(&directory).map_err(Error::write),
        // A directory that this account may write and not list cannot be synced by it.
        Err(Errno::ACCESS) => Ok(()),
        Err(errno) => Err(Error::open(errno, Error::Write)),
    }
}
