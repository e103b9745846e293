//! Files the operator names by their whole path: lists, keys, configuration (P-8).

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, fstat, openat, readlinkat, statat};
use rustix::io::Errno;

use crate::attributes::{Attributes, FileKind};
use crate::error::{Error, Result};
use crate::state::read_whole;

/// How many links such a path may pass through.
const MAX_LINKS: usize = 40;

/// Reads a file that the operator or the local user chose, of at most `limit` bytes.
///
/// Links are followed, also out of any root, but only links that root or this account made; and the
/// file has to belong to one of the two. So nobody else can put another file in its place.
///
/// # Errors
/// [`Error::Untrusted`], [`Error::NotRegular`], [`Error::NotFound`], [`Error::LinkLoop`],
/// [`Error::OverLimit`], [`Error::NoPermission`], [`Error::Read`].
pub fn read_operator_file(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = open_trusted(path)?;
    let attributes = Attributes::of(&fstat(&file).map_err(Error::stat)?);
    match attributes.kind {
        FileKind::File => {}
        FileKind::Directory => return Err(Error::IsADirectory),
        kind => return Err(Error::NotRegular(kind)),
    }
    if !is_trusted(&attributes) {
        return Err(Error::Untrusted);
    }
    read_whole(&file, attributes.size, limit)
}

fn open_trusted(path: &Path) -> Result<OwnedFd> {
    const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);
    const FILE: OFlags = OFlags::NOFOLLOW
        .union(OFlags::NONBLOCK)
        .union(OFlags::NOCTTY)
        .union(OFlags::CLOEXEC);
    #[cfg(target_os = "linux")]
    const ON_THE_WAY: OFlags = DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::PATH);
    #[cfg(not(target_os = "linux"))]
    const ON_THE_WAY: OFlags = DIRECTORY.union(OFlags::NOFOLLOW);
    let open = |errno| Error::open(errno, Error::Read);

    let start = |path: &[u8]| {
        if path.starts_with(b"/") {
            &b"/"[..]
        } else {
            b"."
        }
    };
    let split = |path: &[u8]| -> VecDeque<Vec<u8>> {
        path.split(|b| *b == b'/')
            .filter(|c| !c.is_empty())
            .map(<[u8]>::to_vec)
            .collect()
    };
    let path = path.as_os_str().as_bytes();
    let mut here = openat(CWD, start(path), DIRECTORY, Mode::empty()).map_err(open)?;
    let mut rest = split(path);
    let mut links = 0;
    while let Some(name) = rest.pop_front() {
        let is_last = rest.is_empty();
        let flags = if is_last { FILE } else { ON_THE_WAY };
        match openat(&here, &name[..], flags, Mode::empty()) {
            Ok(file) if is_last => return Ok(file),
            Ok(directory) => here = directory,
            Err(Errno::LOOP | Errno::NOTDIR | Errno::MLINK) => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Error::LinkLoop);
                }
                let target = read_trusted_link(&here, &name)?;
                if target.starts_with(b"/") {
                    here = openat(CWD, "/", DIRECTORY, Mode::empty()).map_err(open)?;
                }
                for part in split(&target).into_iter().rev() {
                    rest.push_front(part);
                }
            }
            Err(errno) => return Err(open(errno)),
        }
    }
    Err(Error::IsADirectory)
}

fn read_trusted_link(here: &OwnedFd, name: &[u8]) -> Result<Vec<u8>> {
    let look = || statat(here, name, AtFlags::SYMLINK_NOFOLLOW).map_err(Error::stat);
    let before = Attributes::of(&look()?);
    if before.kind != FileKind::Symlink {
        return Err(Error::NotADirectory);
    }
    if !is_trusted(&before) {
        return Err(Error::Untrusted);
    }
    let target = readlinkat(here, name, Vec::new())
        .map_err(|errno| Error::open(errno, Error::Read))?
        .into_bytes();
    // What a link says never changes, so the same link before and after is what was read.
    if Attributes::of(&look()?).identity() != before.identity() {
        return Err(Error::Untrusted);
    }
    Ok(target)
}

fn is_trusted(attributes: &Attributes) -> bool {
    attributes.uid == 0 || attributes.uid == rustix::process::geteuid().as_raw()
}
