//! Files the operator names by their whole path: lists, keys, configuration (P-8).

use std::collections::VecDeque;
use std::fs::DirBuilder;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use crate::sys::{fstat, openat, readlinkat, statat};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
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
    let file = locate(path)?.file.ok_or(Error::NotFound)?;
    read_trusted(&file, limit).map(|(content, _)| content)
}

/// Makes a directory of this account's own, with those above it that are missing, for nobody else's eyes (mode 0700).
/// One that is there already stays as it is.
///
/// # Errors
/// What the system says.
pub fn make_private_directory(path: &Path) -> std::io::Result<()> {
    // Above a file in the directory that one is in.
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Reads an open file of at most `limit` bytes that nobody else could have put there.
pub(crate) fn read_trusted(file: &OwnedFd, limit: u64) -> Result<(Vec<u8>, Attributes)> {
    let attributes = Attributes::of(&fstat(file).map_err(Error::stat)?);
    match attributes.kind {
        FileKind::File => {}
        FileKind::Directory => return Err(Error::IsADirectory),
        kind => return Err(Error::NotRegular(kind)),
    }
    if !is_trusted(&attributes) {
        return Err(Error::Untrusted);
    }
    read_whole(file, attributes.size, limit).map(|content| (content, attributes))
}

/// How the file itself is opened: never a link, and never waiting for a pipe's writer.
pub(crate) const FILE: OFlags = OFlags::NOFOLLOW
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// Where a path of the operator leads once its links are followed.
pub(crate) struct Located {
    /// The directory that holds the file.
    pub(crate) directory: OwnedFd,
    /// The file's name there.
    pub(crate) name: Vec<u8>,
    /// The file, open for reading; none if the name is free.
    pub(crate) file: Option<OwnedFd>,
}

pub(crate) fn locate(path: &Path) -> Result<Located> {
    const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);
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
            Ok(file) if is_last => {
                return Ok(Located {
                    directory: here,
                    name,
                    file: Some(file),
                });
            }
            Err(Errno::NOENT) if is_last => {
                return Ok(Located {
                    directory: here,
                    name,
                    file: None,
                });
            }
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
