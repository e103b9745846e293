//! Extended attributes: read from a source, set on what is received. Only those of the namespace `user` (P-7).

use std::any::Any;
use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use fasp_core::{MAX_XATTR_BYTES, MAX_XATTR_NAME, MAX_XATTRS};

use crate::error::{Error, Result};
use crate::path::EntryPath;
use crate::resolve::LinkRule;
use crate::root::Docroot;
use crate::source::OPEN_SOURCE;

/// The only namespace whose attributes mean nothing to the system.
const NAMESPACE: &[u8] = b"user.";

/// Name and value.
type Xattr = (Box<[u8]>, Box<[u8]>);

/// Extended attributes of one object, within the limits of the protocol.
#[derive(Clone, Default)]
pub struct Xattrs {
    items: Vec<Xattr>,
    /// Held as long as any copy of them.
    charge: Option<Arc<dyn Any + Send + Sync>>,
}

impl Xattrs {
    /// Takes names and values; false with them when some were left out: those of another namespace, with a name that no
    /// file system has, or beyond the limits.
    pub fn new<'a>(items: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> (Self, bool) {
        let mut taken = Self::default();
        let mut are_all = true;
        for (name, value) in items {
            are_all &= taken.add(name, value);
        }
        (taken, are_all)
    }

    /// Adds what stands for the memory they take, and is given back with them.
    #[must_use]
    pub fn charged(mut self, charge: Arc<dyn Any + Send + Sync>) -> Self {
        self.charge = Some(charge);
        self
    }

    fn add(&mut self, name: &[u8], value: &[u8]) -> bool {
        let is_allowed = name.len() > NAMESPACE.len()
            && name.len() <= MAX_XATTR_NAME
            && name.starts_with(NAMESPACE)
            && !name.contains(&0);
        let fits = self.items.len() < MAX_XATTRS
            && self.bytes() + name.len() + value.len() <= MAX_XATTR_BYTES;
        if is_allowed && fits {
            self.items.push((name.into(), value.into()));
        }
        is_allowed && fits
    }

    /// Returns names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.items.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Returns true if there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Returns the bytes of names and values together.
    pub fn bytes(&self) -> usize {
        self.iter().map(|(n, v)| n.len() + v.len()).sum()
    }

    /// Sets them on an open object; false when one could not be set, whatever the reason: none is worth the file.
    pub(crate) fn set(&self, fd: BorrowedFd<'_>) -> bool {
        self.iter().fold(true, |are_set, (name, value)| {
            set(fd, name, value) && are_set
        })
    }
}

impl PartialEq for Xattrs {
    fn eq(&self, other: &Self) -> bool {
        self.items == other.items
    }
}

impl Eq for Xattrs {}

impl fmt::Debug for Xattrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values are somebody's data.
        f.debug_list()
            .entries(self.iter().map(|(n, v)| (crate::escape_name(n), v.len())))
            .finish()
    }
}

impl Docroot {
    /// Reads the extended attributes of a file or directory; false with them when some could not be read, or exceed the
    /// limits.
    ///
    /// # Errors
    /// As [`Docroot::open_source`], but for a directory.
    pub fn xattrs(&self, path: &EntryPath, rule: LinkRule) -> Result<(Xattrs, bool)> {
        use std::os::fd::AsFd as _;

        let flags = match rule {
            LinkRule::Refuse => OPEN_SOURCE | rustix::fs::OFlags::NOFOLLOW,
            LinkRule::FollowBeneath => OPEN_SOURCE,
        };
        let fd = self.open_beneath(path.as_bytes(), flags, rule)?;
        let kind = crate::Attributes::of(&crate::sys::fstat(&fd).map_err(Error::stat)?).kind;
        match kind {
            crate::FileKind::File | crate::FileKind::Directory => Ok(read(fd.as_fd())),
            kind => Err(Error::NotRegular(kind)),
        }
    }
}

#[cfg(target_os = "linux")]
fn read(fd: BorrowedFd<'_>) -> (Xattrs, bool) {
    use rustix::io::Errno;

    let mut names = vec![0; MAX_XATTR_BYTES];
    let names = match crate::sys::flistxattr(fd, &mut names[..]) {
        Ok(count) => &names[..count],
        // A file system without them has none.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => return (Xattrs::default(), true),
        Err(_) => return (Xattrs::default(), false),
    };
    let mut value = vec![0; MAX_XATTR_BYTES];
    let (mut found, mut are_all) = (Xattrs::default(), true);
    let of_users = |name: &&[u8]| name.starts_with(NAMESPACE);
    for name in names.split(|byte| *byte == 0).filter(of_users) {
        are_all &= match crate::sys::fgetxattr(fd, name, &mut value[..]) {
            Ok(count) => found.add(name, &value[..count]),
            // Removed meanwhile.
            Err(Errno::NODATA) => true,
            Err(_) => false,
        };
    }
    (found, are_all)
}

#[cfg(target_os = "linux")]
fn set(fd: BorrowedFd<'_>, name: &[u8], value: &[u8]) -> bool {
    crate::sys::fsetxattr(fd, name, value, rustix::fs::XattrFlags::empty()).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn read(_: BorrowedFd<'_>) -> (Xattrs, bool) {
    (Xattrs::default(), true)
}

#[cfg(not(target_os = "linux"))]
fn set(_: BorrowedFd<'_>, _: &[u8], _: &[u8]) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p7_only_attributes_that_mean_nothing_to_the_system_are_taken() {
        let asked: [(&[u8], &[u8]); 6] = [
            (b"user.a", b"1"),
            (b"security.capability", b"x"),
            (b"trusted.overlay", b"x"),
            (b"system.posix_acl_access", b"x"),
            (b"user.", b"x"),
            (b"user.a\0b", b"x"),
        ];
        let (taken, are_all) = Xattrs::new(asked);
        assert_eq!(taken.iter().collect::<Vec<_>>(), [asked[0]]);
        assert!(!are_all);
        let large = vec![0; MAX_XATTR_BYTES - 6];
        let (taken, are_all) = Xattrs::new([(&b"user.a"[..], &large[..]), (b"user.b", b"")]);
        assert_eq!((taken.bytes(), are_all), (MAX_XATTR_BYTES, false));
    }
}
