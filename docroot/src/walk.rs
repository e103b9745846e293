//! Everything beneath a source path, streamed, parents before children.

use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use crate::sys::{fstat, openat, readlinkat, statat};
use rustix::fs::{AtFlags, Mode, OFlags};

use crate::attributes::{Attributes, FileKind};
use crate::error::{Error, NameFault, Result};
use crate::escape::Escaped;
use crate::listing::NameReader;
use crate::path::{EntryPath, MAX_DEPTH, MAX_PATH};
use crate::resolve::LinkRule;
use crate::root::{Docroot, LOOK, OPEN_DIRECTORY, RootOptions};
use crate::source::SourceFile;
use crate::view::Looked;

/// What a sender does with symbolic links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SymlinkPolicy {
    /// Send what they point at, as long as that lies beneath the root.
    #[default]
    Follow,
    /// Send them as links.
    Copy,
    /// Send them as links, which replace what the receiver has.
    CopyForce,
    /// Leave them out.
    Skip,
}

/// How a tree is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WalkOptions {
    /// What happens to symbolic links.
    pub symlinks: SymlinkPolicy,
}

impl WalkOptions {
    /// Sets what happens to symbolic links.
    #[must_use]
    pub fn symlinks(mut self, policy: SymlinkPolicy) -> Self {
        self.symlinks = policy;
        self
    }
}

/// One object that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Where it is beneath the root.
    pub path: EntryPath,
    /// Its attributes; those of the object pointed at, where a link was followed.
    pub attributes: Attributes,
    /// What a link says, if it is one.
    pub target: Option<Vec<u8>>,
}

impl Entry {
    /// Returns what the object is.
    pub fn kind(&self) -> FileKind {
        self.attributes.kind
    }
}

/// One object that cannot be sent. The walk goes on behind it.
#[derive(Debug)]
pub struct EntryError {
    /// Where it is beneath the root. Not an [`EntryPath`], because it may be too long for one.
    pub path: Vec<u8>,
    /// Why not.
    pub error: Error,
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", Escaped(&self.path), self.error)
    }
}

impl std::error::Error for EntryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// The walk itself: an iterator that holds one descriptor for each level it has gone down.
///
/// Each directory comes before what is in it; its content is sorted by name unless there are very
/// many names. Pipes, sockets and devices are reported as errors, and so are directories that
/// cannot be read; neither ends the walk.
#[derive(Debug)]
pub struct Walk {
    root: Docroot,
    options: WalkOptions,
    levels: Vec<Level>,
    /// The last entry was a directory, whose names come next.
    is_before_content: bool,
    /// Files are opened as they are found.
    opens_files: bool,
    /// The last entry's.
    file: Option<SourceFile>,
}

#[derive(Debug)]
struct Level {
    /// The path of the directory, whose names come next.
    path: EntryPath,
    depth: usize,
    names: NameReader,
    /// File system and file of the directory, to notice loops; none for where the walk starts.
    id: Option<(u64, u64)>,
}

impl Docroot {
    /// Opens the directory that holds a source the local user named, and returns it with the name
    /// of the source in it. A path that ends in no name gives the directory itself.
    ///
    /// # Errors
    /// As [`Docroot::open`] and [`EntryPath::parse`].
    pub fn for_source(path: &Path) -> Result<(Self, EntryPath)> {
        Self::for_source_with(path, RootOptions::default())
    }

    /// As [`Docroot::for_source`], with options.
    ///
    /// # Errors
    /// As [`Docroot::for_source`].
    pub fn for_source_with(path: &Path, options: RootOptions) -> Result<(Self, EntryPath)> {
        use std::os::unix::ffi::OsStrExt as _;

        let Some(name) = path.file_name() else {
            return Ok((Self::open_with(path, options)?, EntryPath::root()));
        };
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        Ok((
            Self::open_with(parent, options)?,
            EntryPath::from_components([name.as_bytes()])?,
        ))
    }

    /// Walks over what is at `start`: a file, or a directory with everything in it.
    ///
    /// The root itself is not among the entries. Directories on the way to `start` may be links
    /// that stay beneath the root.
    ///
    /// # Errors
    /// Those of reaching the directory that holds `start`; whether `start` itself exists is told
    /// by the first entry.
    pub fn walk(&self, start: &EntryPath, options: WalkOptions) -> Result<Walk> {
        let options = match (self.view(), options.symlinks) {
            // Where a link leads is not told by its name.
            (Some(_), SymlinkPolicy::Follow) => options.symlinks(SymlinkPolicy::Skip),
            _ => options,
        };
        let mut walk = Walk {
            root: self.clone(),
            options,
            levels: Vec::new(),
            is_before_content: false,
            opens_files: false,
            file: None,
        };
        match start.parent().zip(start.file_name()) {
            Some((parent, name)) => {
                let flags = LOOK | OFlags::DIRECTORY;
                let fd = self.open_beneath(parent.as_bytes(), flags, LinkRule::FollowBeneath)?;
                let depth = parent.depth();
                let names = NameReader::single(fd, name);
                walk.levels.push(Level {
                    path: parent,
                    depth,
                    names,
                    id: None,
                });
            }
            None => {
                let fd = self.open_beneath(b"", OPEN_DIRECTORY, LinkRule::Refuse)?;
                let stat = fstat(&fd).map_err(Error::stat)?;
                let id = Some((Attributes::of(&stat).device, Attributes::of(&stat).inode));
                let names = NameReader::new(fd);
                walk.levels.push(Level {
                    path: start.clone(),
                    depth: 0,
                    names,
                    id,
                });
            }
        }
        Ok(walk)
    }
}

impl Walk {
    /// Sets whether files are opened as they are found, for a caller that will read nearly all of them: opening one tells
    /// its attributes as well, so that nothing has to be looked up twice. A file that cannot be opened is found all the
    /// same.
    pub fn open_files(&mut self, opens_files: bool) {
        // What may be opened behind a view is decided by the whole path.
        self.opens_files = opens_files && self.root.view().is_none();
    }

    /// Takes the last entry, open, if it is a file that was opened as it was found.
    pub fn take_file(&mut self) -> Option<SourceFile> {
        self.file.take()
    }

    /// Does not look into the directory that was the last entry; without one, changes nothing.
    pub fn skip_directory(&mut self) {
        if std::mem::take(&mut self.is_before_content) {
            self.levels.pop();
        }
    }
}

impl Iterator for Walk {
    type Item = Result<Entry, EntryError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.is_before_content = false;
        self.file = None;
        loop {
            let level = self.levels.last_mut()?;
            let depth = level.depth + 1;
            let Some(next) = level.names.next_name() else {
                self.levels.pop();
                continue;
            };
            let (fd, name, kind) = match next {
                Ok(found) => found,
                Err(error) => {
                    let path = level.path.as_bytes().to_vec();
                    return Some(Err(EntryError { path, error }));
                }
            };
            let path = level.path.child(name);
            if let Err(fault) = check_limits(&path, depth) {
                return Some(Err(EntryError {
                    path: path.into_bytes(),
                    error: fault.into(),
                }));
            }
            if self
                .root
                .view()
                .is_some_and(|view| !view.admits_any(path.as_bytes()))
            {
                continue;
            }
            let place = Place {
                root: &self.root,
                dir: fd,
                name,
                path: &path,
                opens_files: self.opens_files,
            };
            let found = place.look(kind, self.options);
            if let (Some(view), Ok(found)) = (self.root.view(), &found)
                && !view.admits(path.as_bytes(), found.looked())
            {
                continue;
            }
            return Some(match found {
                Ok(Found::Nothing) => continue,
                Ok(Found::Object(attributes, target)) => Ok(Entry {
                    path,
                    attributes,
                    target,
                }),
                Ok(Found::File(file)) => {
                    let attributes = *file.attributes();
                    self.file = Some(file);
                    Ok(Entry {
                        path,
                        attributes,
                        target: None,
                    })
                }
                Ok(Found::Directory(attributes, fd)) => self.descend(path, depth, attributes, fd),
                Err(error) => Err(EntryError {
                    path: path.into_bytes(),
                    error,
                }),
            });
        }
    }
}

fn check_limits(path: &EntryPath, depth: usize) -> Result<(), NameFault> {
    if path.as_bytes().len() > MAX_PATH {
        Err(NameFault::PathTooLong)
    } else if depth > MAX_DEPTH {
        Err(NameFault::TooDeep)
    } else {
        Ok(())
    }
}

/// What was found under a name.
enum Found {
    /// A link that is left out.
    Nothing,
    /// A file, or a link with its target.
    Object(Attributes, Option<Vec<u8>>),
    /// A file, open for reading.
    File(SourceFile),
    /// A directory, open for reading.
    Directory(Attributes, OwnedFd),
}

impl Found {
    fn looked(&self) -> Looked {
        match self {
            Self::Directory(..) => Looked::Directory,
            Self::Nothing | Self::Object(..) | Self::File(_) => Looked::Other,
        }
    }
}

impl Walk {
    /// Goes down into a directory, unless the walk is inside it already.
    fn descend(
        &mut self,
        path: EntryPath,
        depth: usize,
        attributes: Attributes,
        fd: OwnedFd,
    ) -> Result<Entry, EntryError> {
        let id = (attributes.device, attributes.inode);
        if self.levels.iter().any(|level| level.id == Some(id)) {
            return Err(EntryError {
                path: path.into_bytes(),
                error: Error::LinkLoop,
            });
        }
        let names = NameReader::new(fd);
        self.levels.push(Level {
            path: path.clone(),
            depth,
            names,
            id: Some(id),
        });
        self.is_before_content = true;
        Ok(Entry {
            path,
            attributes,
            target: None,
        })
    }
}

/// A name in an open directory, and its path from the root.
struct Place<'a> {
    root: &'a Docroot,
    dir: BorrowedFd<'a>,
    name: &'a [u8],
    path: &'a EntryPath,
    opens_files: bool,
}

impl Place<'_> {
    /// Finds out what the name stands for. `kind` is what the directory said.
    fn look(&self, kind: FileKind, options: WalkOptions) -> Result<Found> {
        if kind == FileKind::Directory {
            // Opened at once: that tells the attributes as well.
            return self.open_directory();
        }
        if kind == FileKind::File
            && self.opens_files
            && let Ok(file) = SourceFile::open_in(self.dir, self.name)
        {
            return Ok(Found::File(file));
        }
        let attributes = match statat(self.dir, self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Attributes::of(&stat),
            Err(errno) => return Err(Error::stat(errno)),
        };
        match attributes.kind {
            FileKind::File => Ok(Found::Object(attributes, None)),
            FileKind::Directory => self.open_directory(),
            FileKind::Symlink => match options.symlinks {
                SymlinkPolicy::Skip => Ok(Found::Nothing),
                SymlinkPolicy::Follow => self.follow(),
                SymlinkPolicy::Copy | SymlinkPolicy::CopyForce => {
                    let target = readlinkat(self.dir, self.name, Vec::new())
                        .map_err(|errno| Error::open(errno, Error::Read))?;
                    Ok(Found::Object(attributes, Some(target.into_bytes())))
                }
            },
            kind => Err(Error::NotRegular(kind)),
        }
    }

    fn open_directory(&self) -> Result<Found> {
        let flags = OPEN_DIRECTORY | OFlags::NOFOLLOW;
        let fd = openat(self.dir, self.name, flags, Mode::empty())
            .map_err(|errno| Error::open(errno, Error::Read))?;
        let attributes = Attributes::of(&fstat(&fd).map_err(Error::stat)?);
        Ok(Found::Directory(attributes, fd))
    }

    /// Follows a link by its whole path, because it may point anywhere beneath the root.
    fn follow(&self) -> Result<Found> {
        let path = self.path.as_bytes();
        let fd = self
            .root
            .open_beneath(path, LOOK, LinkRule::FollowBeneath)?;
        let attributes = Attributes::of(&fstat(&fd).map_err(Error::stat)?);
        match attributes.kind {
            FileKind::File => Ok(Found::Object(attributes, None)),
            FileKind::Directory => {
                let fd = openat(&fd, ".", OPEN_DIRECTORY, Mode::empty())
                    .map_err(|errno| Error::open(errno, Error::Read))?;
                Ok(Found::Directory(attributes, fd))
            }
            kind => Err(Error::NotRegular(kind)),
        }
    }
}
