//! Files of the user's own that decide about trust: private keys and the list of known hosts.
//!
//! Their names come from the user, never from a peer, so no docroot is needed; what is needed is that nobody else could
//! have written or, for keys, read them (C-3).
#![expect(
    clippy::disallowed_methods,
    reason = "the user's own key files are named by the user and lie outside any docroot"
)]

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::Path,
};

use docroot::make_private_directory;
use rustix::fs::FlockOperation;
use zeroize::Zeroizing;

use crate::Error;

/// Larger than any sensible key file or list of hosts.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// Who else may touch a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Privacy {
    /// Nobody else may read or write it.
    Secret,
    /// Nobody else may write it.
    Public,
}

/// Reads a text file after checking its owner and mode on the open descriptor; `None` when there is no such file.
pub(super) fn read(path: &Path, privacy: Privacy) -> Result<Option<Zeroizing<String>>, Error> {
    let failed = |reason: String| user_file(path, reason);
    // Asked first because opening a pipe would wait for its writer.
    match fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e.to_string())),
        Ok(data) if !data.is_file() => return Err(failed("this is not a regular file".to_owned())),
        Ok(_) => {}
    }
    let file = File::open(path).map_err(|e| failed(e.to_string()))?;
    let data = file.metadata().map_err(|e| failed(e.to_string()))?;
    check_access(&data, privacy).map_err(failed)?;
    if data.len() > MAX_FILE {
        return Err(failed("the file is too large".to_owned()));
    }
    let mut text = Zeroizing::new(String::with_capacity(data.len() as usize + 1));
    file.take(MAX_FILE)
        .read_to_string(&mut text)
        .map_err(|e| failed(e.to_string()))?;
    Ok(Some(text))
}

/// Keeps everybody else who asks waiting, until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _directory: Option<File>,
}

/// Waits until nobody else changes files beside this one; for whoever reads a file and writes it anew.
pub(super) fn lock(path: &Path) -> Result<Lock, Error> {
    let failed = |e: io::Error| user_file(path, e.to_string());
    let directory = directory_of(path);
    make_private_directory(directory).map_err(failed)?;
    let directory = File::open(directory).map_err(failed)?;
    // Where there are no locks, as on some network file systems, the last one to write counts.
    let locked = rustix::fs::flock(&directory, FlockOperation::LockExclusive);
    Ok(Lock {
        _directory: locked.is_ok().then_some(directory),
    })
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Writes a file of mode 0600 so that a crash leaves either the old content or the new, never half of it.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    put(path, content, true)
}

/// Replaces a file of mode 0600 as a whole, without waiting for the disk: a crash may lose it.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), Error> {
    put(path, content, false)
}

fn put(path: &Path, content: &[u8], is_durable: bool) -> Result<(), Error> {
    let failed = |e: io::Error| user_file(path, e.to_string());
    let directory = directory_of(path);
    make_private_directory(directory).map_err(failed)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = directory.join(name);
    // Left behind by a crash of a process that had our number.
    if let Err(e) = fs::remove_file(&temporary)
        && e.kind() != io::ErrorKind::NotFound
    {
        return Err(failed(e));
    }
    let written = write_new(&temporary, content, is_durable)
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| match is_durable {
            true => File::open(directory)?.sync_all(),
            false => Ok(()),
        });
    if written.is_err() {
        // The first error is the one to report.
        drop(fs::remove_file(&temporary));
    }
    written.map_err(failed)
}

fn write_new(path: &Path, content: &[u8], is_durable: bool) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(content)?;
    match is_durable {
        true => file.sync_all(),
        false => Ok(()),
    }
}

#[cfg(unix)]
fn check_access(data: &fs::Metadata, privacy: Privacy) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt as _;
    let owner = data.uid();
    if owner != rustix::process::geteuid().as_raw() && owner != 0 {
        return Err("the file belongs to somebody else".to_owned());
    }
    let (forbidden, what) = match privacy {
        Privacy::Secret => (0o077, "others may read it: use chmod 600"),
        Privacy::Public => (0o022, "others may write it: use chmod 644"),
    };
    if data.mode() & forbidden != 0 {
        return Err(what.to_owned());
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_access(_: &fs::Metadata, _: Privacy) -> Result<(), String> {
    Ok(())
}

pub(super) fn user_file(path: &Path, reason: impl Into<String>) -> Error {
    Error::UserFile {
        path: path.display().to_string(),
        reason: reason.into(),
    }
}
