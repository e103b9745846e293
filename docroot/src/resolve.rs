//! From a validated path to a descriptor, without leaving the root on the way (P-2).

use std::collections::VecDeque;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use crate::sys::{readlinkat, statat};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::attributes::{Attributes, FileKind};
use crate::error::{Error, Result};
use crate::path::MAX_DEPTH;

/// What happens to symbolic links on the way to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkRule {
    /// None is followed, not even in the last component (the receiver's rule).
    Refuse,
    /// Links are followed as long as they stay beneath the root (the sender's, if allowed).
    FollowBeneath,
}

/// How paths are resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Resolver {
    /// The kernel's confined resolution where there is one, else the walk.
    #[default]
    Automatic,
    /// The walk over the components, everywhere.
    ComponentWalk,
}

/// How often the kernel may ask to try again before that is an error.
#[cfg(target_os = "linux")]
const MAX_RETRIES: usize = 16;
/// How many links a path may pass through: the kernel's own limit.
const MAX_LINKS: usize = 40;

impl Resolver {
    /// Opens `path` beneath `root`.
    ///
    /// `flags` are those of the last component; `O_CLOEXEC` is added. The root itself is opened
    /// anew for an empty path.
    pub(crate) fn open(
        self,
        root: BorrowedFd<'_>,
        path: &[u8],
        flags: OFlags,
        rule: LinkRule,
    ) -> Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        #[cfg(target_os = "linux")]
        if self == Self::Automatic
            && let Some(result) = open_by_kernel(root, path, flags, rule)
        {
            return result.map_err(|errno| match (errno, rule) {
                (Errno::LOOP, LinkRule::FollowBeneath) => Error::LinkLoop,
                _ => Error::open(errno, std_read),
            });
        }
        open_by_walk(root, path, flags, rule)
    }
}

fn std_read(error: std::io::Error) -> Error {
    Error::Read(error)
}

/// Returns nothing where the kernel has no such call, or a sandbox refuses it.
#[cfg(target_os = "linux")]
fn open_by_kernel(
    root: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    rule: LinkRule,
) -> Option<Result<OwnedFd, Errno>> {
    use crate::sys::openat2;
    use rustix::fs::ResolveFlags;

    let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    if rule == LinkRule::Refuse {
        resolve |= ResolveFlags::NO_SYMLINKS;
    }
    let path = if path.is_empty() { b"." } else { path };
    let mut retries = 0;
    loop {
        match openat2(root, path, flags, Mode::empty(), resolve) {
            // Something was renamed while the kernel looked.
            Err(Errno::AGAIN) if retries < MAX_RETRIES => retries += 1,
            Err(Errno::INTR) => {}
            // A refused call and a refused file look the same: the walk tells them apart.
            Err(Errno::NOSYS | Errno::PERM) => return None,
            result => return Some(result),
        }
    }
}

/// Opens component by component. Links are read and expanded here, never by the kernel, and `..`
/// in a link's target goes back over the descriptors that were walked, so it cannot pass the root.
fn open_by_walk(
    root: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    rule: LinkRule,
) -> Result<OwnedFd> {
    let mut ancestors: Vec<OwnedFd> = Vec::new();
    let mut rest: VecDeque<Vec<u8>> = split(path).map(<[u8]>::to_vec).collect();
    let mut links = 0;
    while let Some(component) = rest.pop_front() {
        if component == b".." {
            ancestors.pop().ok_or(Error::OutsideRoot)?;
            continue;
        }
        let here = ancestors.last().map_or(root, |fd| fd.as_fd());
        let is_last = rest.is_empty();
        let opened = if is_last {
            open_component(here, &component, flags | OFlags::NOFOLLOW)
        } else {
            open_component(here, &component, DIRECTORY_ON_THE_WAY)
        };
        match opened {
            Ok(fd) if is_last && is_followed_link(&fd, flags, rule)? => {}
            Ok(fd) if is_last => return Ok(fd),
            Ok(fd) => {
                if ancestors.len() >= 2 * MAX_DEPTH {
                    return Err(Error::LinkLoop);
                }
                ancestors.push(fd);
                continue;
            }
            Err(Errno::LOOP | Errno::NOTDIR | Errno::MLINK) => {
                let stat = statat(here, &component[..], AtFlags::SYMLINK_NOFOLLOW);
                let kind = Attributes::of(&stat.map_err(Error::stat)?).kind;
                match (kind, rule) {
                    (FileKind::Symlink, LinkRule::FollowBeneath) => {}
                    (FileKind::Symlink, LinkRule::Refuse) => return Err(Error::OutsideRoot),
                    _ => return Err(Error::NotADirectory),
                }
            }
            Err(errno) => return Err(Error::open(errno, std_read)),
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(Error::LinkLoop);
        }
        let target = readlinkat(here, &component[..], Vec::new())
            .map_err(|errno| Error::open(errno, std_read))?;
        if target.as_bytes().starts_with(b"/") {
            return Err(Error::OutsideRoot);
        }
        for part in split(target.as_bytes()).rev() {
            rest.push_front(part.to_vec());
        }
    }
    // The path ended in the root, or in `..` of a link's target: open that directory anew.
    let here = ancestors.last().map_or(root, |fd| fd.as_fd());
    open_component(here, b".", flags).map_err(|errno| Error::open(errno, std_read))
}

#[cfg(target_os = "linux")]
const DIRECTORY_ON_THE_WAY: OFlags = OFlags::PATH
    .union(OFlags::NOFOLLOW)
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const DIRECTORY_ON_THE_WAY: OFlags = OFlags::NOFOLLOW
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// `O_PATH` opens a link itself instead of failing, so it has to be looked at.
fn is_followed_link(fd: &OwnedFd, flags: OFlags, rule: LinkRule) -> Result<bool> {
    #[cfg(target_os = "linux")]
    if flags.contains(OFlags::PATH) {
        let stat = crate::sys::fstat(fd).map_err(Error::stat)?;
        return match (Attributes::of(&stat).kind, rule) {
            (FileKind::Symlink, LinkRule::FollowBeneath) => Ok(!flags.contains(OFlags::NOFOLLOW)),
            _ => Ok(false),
        };
    }
    let _ = (fd, flags, rule);
    Ok(false)
}

fn open_component(here: BorrowedFd<'_>, name: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    loop {
        match crate::sys::openat(here, name, flags, Mode::empty()) {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

fn split(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|b| *b == b'/')
        .filter(|c| !c.is_empty() && *c != b".")
}
