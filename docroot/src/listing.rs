//! Reading directories, a bounded part at a time.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use crate::sys::{openat, statat};
use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;

use crate::attributes::{Attributes, FileKind};
use crate::dir::Dir;
use crate::error::{Error, Result};
use crate::path::EntryPath;
use crate::resolve::LinkRule;
use crate::root::{Docroot, OPEN_DIRECTORY};
use crate::view::{Looked, View};

/// One object in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The name in its directory.
    pub name: Vec<u8>,
    /// The attributes, a link's own if it is one.
    pub attributes: Attributes,
}

impl DirEntry {
    /// Returns what the object is.
    pub fn kind(&self) -> FileKind {
        self.attributes.kind
    }
}

/// The objects in a directory, sorted by name unless there are very many.
#[derive(Debug)]
pub struct Listing {
    names: NameReader,
    /// What exists of them, and where they are.
    seen: Option<(View, EntryPath)>,
}

impl Docroot {
    /// Lists a directory beneath the root.
    ///
    /// # Errors
    /// As [`Docroot::dir`]; with [`LinkRule::FollowBeneath`] also [`Error::LinkLoop`].
    pub fn list(&self, path: &EntryPath, rule: LinkRule) -> Result<Listing> {
        let fd = self.open_beneath(path.as_bytes(), OPEN_DIRECTORY, rule)?;
        Ok(Listing {
            names: NameReader::new(fd),
            seen: self.view().map(|view| (view.clone(), path.clone())),
        })
    }
}

impl Dir {
    /// Lists the directory.
    ///
    /// # Errors
    /// [`Error::NoPermission`], [`Error::TooManyOpenFiles`].
    pub fn list(&self) -> Result<Listing> {
        // A description of its own, because the position in the directory belongs to it.
        let fd = openat(self.as_fd(), ".", OPEN_DIRECTORY, Mode::empty())
            .map_err(|errno| Error::open(errno, Error::Read))?;
        let view = self.root().view();
        Ok(Listing {
            names: NameReader::new(fd),
            seen: view.map(|view| (view.clone(), self.path().clone())),
        })
    }
}

impl Iterator for Listing {
    type Item = Result<DirEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (fd, name, _) = match self.names.next_name()? {
                Ok(found) => found,
                Err(error) => return Some(Err(error)),
            };
            let stat = statat(fd, name, AtFlags::SYMLINK_NOFOLLOW);
            let name = name.to_vec();
            if let (Some((view, path)), Ok(stat)) = (&self.seen, &stat) {
                let looked = match Attributes::of(stat).kind {
                    FileKind::Directory => Looked::Directory,
                    _ => Looked::Other,
                };
                if !view.admits(path.child(&name).as_bytes(), looked) {
                    continue;
                }
            }
            return Some(match stat {
                Ok(stat) => Ok(DirEntry {
                    name,
                    attributes: Attributes::of(&stat),
                }),
                // Removed since the directory was read.
                Err(Errno::NOENT) => continue,
                Err(errno) => Err(Error::stat(errno)),
            });
        }
    }
}

/// The names in an open directory. They are read in parts of bounded size, and sorted within each:
/// an ordinary directory comes out sorted as a whole.
#[derive(Debug)]
pub(crate) struct NameReader {
    fd: OwnedFd,
    part: Part,
    is_complete: bool,
}

/// When so many bytes of names are in memory, they are handed out before more are read.
const PART_SIZE: usize = 256 << 10;

/// Names one after the other, and where each is.
#[derive(Debug, Default)]
struct Part {
    bytes: Vec<u8>,
    names: Vec<Name>,
    next: usize,
}

#[derive(Debug, Clone, Copy)]
struct Name {
    start: u32,
    length: u16,
    /// As the directory says; [`FileKind::Other`] where it does not.
    kind: FileKind,
}

impl NameReader {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self {
            fd,
            part: Part::default(),
            is_complete: false,
        }
    }

    /// One name that was given, not read: `fd` need not be readable.
    pub(crate) fn single(fd: OwnedFd, name: &[u8]) -> Self {
        let mut part = Part::default();
        part.push(name, FileKind::Other);
        Self {
            fd,
            part,
            is_complete: true,
        }
    }

    /// Returns the next name, with the directory it is in and the kind of the object if the
    /// directory tells.
    pub(crate) fn next_name(&mut self) -> Option<Result<(BorrowedFd<'_>, &[u8], FileKind)>> {
        if self.part.next == self.part.names.len() {
            if self.is_complete {
                return None;
            }
            if let Err(errno) = self.read_part() {
                self.is_complete = true;
                return Some(Err(Error::read(errno)));
            }
            if self.part.names.is_empty() {
                return None;
            }
        }
        let name = self.part.names[self.part.next];
        self.part.next += 1;
        Some(Ok((self.fd.as_fd(), self.part.bytes_of(name), name.kind)))
    }

    #[cfg(target_os = "linux")]
    fn read_part(&mut self) -> Result<(), Errno> {
        self.part.clear();
        crate::sys::before_listing()?;
        let mut buffer = Vec::<u8>::with_capacity(32 << 10);
        let mut entries = rustix::fs::RawDir::new(&self.fd, buffer.spare_capacity_mut());
        // What the kernel has put into the buffer has to be taken before stopping.
        while self.part.bytes.len() < PART_SIZE || !entries.is_buffer_empty() {
            match entries.next() {
                None => {
                    self.is_complete = true;
                    break;
                }
                Some(Err(Errno::INTR)) => {}
                // The directory was removed: it has no entries any more.
                Some(Err(Errno::NOENT)) => {
                    self.is_complete = true;
                    break;
                }
                Some(Err(errno)) => return Err(errno),
                Some(Ok(entry)) => {
                    self.part.push(
                        entry.file_name().to_bytes(),
                        FileKind::of(entry.file_type()),
                    );
                }
            }
        }
        self.part.sort();
        Ok(())
    }

    /// Reads all there is: the position of a reader cannot be kept without keeping the reader.
    #[cfg(not(target_os = "linux"))]
    fn read_part(&mut self) -> Result<(), Errno> {
        self.part.clear();
        crate::sys::before_listing()?;
        for entry in rustix::fs::Dir::read_from(&self.fd)? {
            let entry = entry?;
            self.part.push(
                entry.file_name().to_bytes(),
                FileKind::of(entry.file_type()),
            );
        }
        self.is_complete = true;
        self.part.sort();
        Ok(())
    }
}

impl Part {
    fn push(&mut self, name: &[u8], kind: FileKind) {
        if name == b"." || name == b".." {
            return;
        }
        // A part holds little more than its limit, and a name is no longer than a directory's
        // buffer; what does not fit would be a file system that lies.
        let (Ok(start), Ok(length)) = (u32::try_from(self.bytes.len()), u16::try_from(name.len()))
        else {
            return;
        };
        self.bytes.extend_from_slice(name);
        self.names.push(Name {
            start,
            length,
            kind,
        });
    }

    fn bytes_of(&self, name: Name) -> &[u8] {
        &self.bytes[name.start as usize..][..usize::from(name.length)]
    }

    fn sort(&mut self) {
        let mut names = std::mem::take(&mut self.names);
        names.sort_unstable_by(|a, b| self.bytes_of(*a).cmp(self.bytes_of(*b)));
        self.names = names;
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.names.clear();
        self.next = 0;
    }
}
