//! Reading small files that the operator names on the command line: keys, lists.

use std::{fs::File, io::Read as _, path::Path};

use rustix::fs::{FileType, Mode, OFlags, Stat};

use crate::error::{Error, io_error};

/// Reads a small text file that the operator named (rule P-8).
///
/// It must be a regular file of at most `limit` bytes that belongs to us or to root and that no other account can
/// write: otherwise somebody else would decide what we read.
///
/// # Errors
///
/// Any of these conditions, or the operating system's reason.
pub fn read(path: &Path, limit: u64) -> Result<String, Error> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(io_error("open", path))?;
    let stat = rustix::fs::fstat(&file).map_err(io_error("check", path))?;
    if !FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(Error::NotRegular(path.to_owned()));
    }
    require_ours(&stat, path)?;
    let mut text = String::new();
    let read = File::from(file)
        .take(limit.saturating_add(1))
        .read_to_string(&mut text)
        .map_err(|source| Error::Io {
            action: "read",
            path: path.to_owned(),
            source,
        })?;
    if read as u64 > limit {
        return Err(Error::NotRegular(path.to_owned()));
    }
    Ok(text)
}

/// Checks that a file belongs to us or to root and that no other account can write it (rule P-8).
///
/// # Errors
///
/// Either condition, or the operating system's reason.
pub fn require_unshared(path: &Path) -> Result<(), Error> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(io_error("open", path))?;
    let stat = rustix::fs::fstat(&file).map_err(io_error("check", path))?;
    require_ours(&stat, path)
}

/// Checks that a program the operator named is a regular file that can be executed, belongs to us or to root, and that no
/// other account can write (rule P-8).
///
/// # Errors
///
/// Any of these conditions, or the operating system's reason.
pub fn require_program(path: &Path) -> Result<(), Error> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(io_error("open", path))?;
    let stat = rustix::fs::fstat(&file).map_err(io_error("check", path))?;
    require_ours(&stat, path)?;
    let is_executable = stat.st_mode & 0o111 != 0;
    match FileType::from_raw_mode(stat.st_mode).is_file() && is_executable && path.is_absolute() {
        true => Ok(()),
        false => Err(Error::NotAProgram(path.to_owned())),
    }
}

/// Refuses what somebody else could have put there.
fn require_ours(stat: &Stat, path: &Path) -> Result<(), Error> {
    let ours = rustix::process::geteuid().as_raw();
    if stat.st_uid != ours && stat.st_uid != 0 {
        return Err(Error::NotOurs(path.to_owned()));
    }
    let mode = stat.st_mode & 0o777;
    if mode & 0o022 != 0 {
        return Err(Error::TooOpen {
            path: path.to_owned(),
            mode,
            wanted: mode & !0o022,
        });
    }
    Ok(())
}

/// Checks that a directory the operator named exists.
///
/// # Errors
///
/// The operating system's reason.
pub fn require_directory(path: &Path) -> Result<(), Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map(drop)
        .map_err(io_error("open the directory", path))
}

/// Returns true when this process may do everything on the machine.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
