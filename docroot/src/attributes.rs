//! What is known about an object, and what may be set on one.

use std::fmt;
use std::ops::RangeInclusive;

use crate::xattr::Xattrs;
use rustix::fs::{FileType, Mode, Stat, Timespec, Timestamps, UTIME_OMIT};

/// The kind of an object in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A block or character device.
    Device,
    /// Something this crate has no word for.
    Other,
}

impl FileKind {
    pub(crate) fn of(file_type: FileType) -> Self {
        match file_type {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
            FileType::BlockDevice | FileType::CharacterDevice => Self::Device,
            FileType::Unknown => Self::Other,
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "regular file",
            Self::Directory => "directory",
            Self::Symlink => "symbolic link",
            Self::Fifo => "named pipe",
            Self::Socket => "socket",
            Self::Device => "device",
            Self::Other => "special file",
        })
    }
}

/// A point in time as files carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp {
    /// Seconds since 1970 began, negative before.
    pub seconds: i64,
    /// Nanoseconds after that second; what exceeds 999,999,999 is cut when set on a file.
    pub nanos: u32,
}

impl Timestamp {
    fn to_timespec(self) -> Timespec {
        // Larger values have special meanings to the system call.
        Timespec {
            tv_sec: self.seconds,
            tv_nsec: self.nanos.min(999_999_999).into(),
        }
    }
}

/// What distinguishes one version of one file from every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The file system.
    pub device: u64,
    /// The file within it.
    pub inode: u64,
    /// The length in bytes.
    pub size: u64,
    /// When the content last changed.
    pub mtime: Timestamp,
}

/// The attributes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// What it is.
    pub kind: FileKind,
    /// The length in bytes; of a link, the length of its target.
    pub size: u64,
    /// When the content last changed.
    pub mtime: Timestamp,
    /// When it was last read, as far as the system keeps track.
    pub atime: Timestamp,
    /// Permission bits with set-uid, set-gid and sticky: 12 bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The file system.
    pub device: u64,
    /// The object within it.
    pub inode: u64,
    /// The number of names it has.
    pub links: u64,
}

impl Attributes {
    /// Returns what tells this version of the object from others.
    pub fn identity(&self) -> Identity {
        Identity {
            device: self.device,
            inode: self.inode,
            size: self.size,
            mtime: self.mtime,
        }
    }

    pub(crate) fn is_same_object(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    #[allow(
        trivial_numeric_casts,
        clippy::unnecessary_cast,
        clippy::cast_sign_loss,
        reason = "the fields have other widths on every system"
    )]
    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            kind: FileKind::of(FileType::from_raw_mode(stat.st_mode)),
            size: stat.st_size as u64,
            mtime: Timestamp {
                seconds: stat.st_mtime as i64,
                nanos: stat.st_mtime_nsec as u32,
            },
            atime: Timestamp {
                seconds: stat.st_atime as i64,
                nanos: stat.st_atime_nsec as u32,
            },
            mode: stat.st_mode as u32 & 0o7777,
            uid: stat.st_uid as u32,
            gid: stat.st_gid as u32,
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            links: stat.st_nlink as u64,
        }
    }
}

/// Seconds since 1970 that every file system has room for: from 1980, where FAT begins, to 2038, where 32 bits end.
const USUAL: RangeInclusive<i64> = 315_532_800..=i32::MAX as i64;
/// What FAT rounds times to, seconds.
const COARSEST: u64 = 2;

/// What to set on a received object; what is absent stays as the system made it.
///
/// Who may decide about owner and group is the caller's business (P-7).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// When the content last changed.
    pub mtime: Option<Timestamp>,
    /// When it was last read.
    pub atime: Option<Timestamp>,
    /// Permission bits; set-uid, set-gid and sticky are masked off (P-7).
    pub mode: Option<u32>,
    /// The owner; only a privileged process may give files away.
    pub owner: Option<u32>,
    /// The group; without privileges one that this account belongs to.
    pub group: Option<u32>,
    /// Extended attributes.
    pub xattrs: Xattrs,
}

impl Metadata {
    pub(crate) fn timestamps(&self) -> Option<Timestamps> {
        let omit = Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        };
        if self.mtime.is_none() && self.atime.is_none() {
            return None;
        }
        Some(Timestamps {
            last_access: self.atime.map_or(omit, Timestamp::to_timespec),
            last_modification: self.mtime.map_or(omit, Timestamp::to_timespec),
        })
    }

    /// Whether there are file systems that have no room for these times.
    pub(crate) fn has_odd_times(&self) -> bool {
        let times = self.mtime.iter().chain(&self.atime);
        times.into_iter().any(|time| !USUAL.contains(&time.seconds))
    }

    /// Whether something has these times, but for what is rounded where times are coarse.
    pub(crate) fn has_times_of(&self, found: &Attributes) -> bool {
        let is_near = |wanted: Option<Timestamp>, found: Timestamp| {
            wanted.is_none_or(|wanted| wanted.seconds.abs_diff(found.seconds) <= COARSEST)
        };
        is_near(self.mtime, found.mtime) && is_near(self.atime, found.atime)
    }

    pub(crate) fn permissions(&self) -> Option<Mode> {
        self.mode.map(permission_bits)
    }
}

/// Returns the nine permission bits of a mode a peer or a caller asked for (P-7).
pub(crate) fn permission_bits(mode: u32) -> Mode {
    Mode::from_bits_truncate(mode & 0o777)
}
