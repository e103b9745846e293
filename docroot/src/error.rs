//! What can go wrong with a name or a file, and the public code of each.

use std::io;

use fasp_core::ErrorCode;
use rustix::io::Errno;

use crate::attributes::FileKind;

/// A shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What is wrong with a name or a path, before any file system was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameFault {
    /// The path has no component, or two separators in a row.
    #[error("a component of the path is empty")]
    Empty,
    /// The path begins at the root of a file system, a drive or a share.
    #[error("the path is absolute")]
    Absolute,
    /// A component is `.` or `..`.
    #[error("the path has a dot component")]
    Dots,
    /// A component holds a byte that separates components on the target.
    #[error("a component holds a separator")]
    Separator,
    /// A component holds a NUL byte.
    #[error("the path holds a NUL byte")]
    Nul,
    /// A path that came as text holds a control character.
    #[error("the path holds a control character")]
    Control,
    /// A component is longer than [`MAX_COMPONENT`](crate::MAX_COMPONENT) bytes.
    #[error("a component of the path is too long")]
    ComponentTooLong,
    /// The path is longer than [`MAX_PATH`](crate::MAX_PATH) bytes.
    #[error("the path is too long")]
    PathTooLong,
    /// The path has more than [`MAX_DEPTH`](crate::MAX_DEPTH) components.
    #[error("the path is too deep")]
    TooDeep,
    /// The name cannot exist on the target, and replacing characters is switched off.
    #[error("the target refuses such a name")]
    Illegal,
    /// The account that the root was opened for may not use the path.
    #[error("the path is outside of what the account may use")]
    Hidden,
    /// The name ends like our own unfinished files.
    #[error("the name is reserved for unfinished files")]
    Reserved,
}

/// Why a file operation beneath a root failed.
///
/// The path is not part of the error: who asked knows it, and shows it through
/// [`escape_name`](crate::escape_name).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The name itself is refused.
    #[error(transparent)]
    Name(#[from] NameFault),
    /// The way to the object leaves the root, or passes a link where none may be followed.
    #[error("the path leads outside the root or through a symbolic link")]
    OutsideRoot,
    /// Links point at each other, or at a directory above themselves.
    #[error("symbolic links form a loop")]
    LinkLoop,
    /// No such object.
    #[error("no such file or directory")]
    NotFound,
    /// The operating system denied access.
    #[error("permission denied")]
    NoPermission(#[source] io::Error),
    /// A directory was needed.
    #[error("not a directory")]
    NotADirectory,
    /// A file was needed.
    #[error("is a directory")]
    IsADirectory,
    /// Only regular files are read, received or made.
    #[error("not a regular file but a {0}")]
    NotRegular(FileKind),
    /// The final name is taken and the policy keeps what is there.
    #[error("exists already")]
    AlreadyExists,
    /// Another writer is receiving the same file.
    #[error("another transfer is writing this file")]
    InUse,
    /// The target of a link would lie outside the root, or is longer than the limit.
    #[error("the link's target is absolute, too long or leads outside the root")]
    LinkTarget,
    /// The process or the system has no descriptor left.
    #[error("too many open files")]
    TooManyOpenFiles(#[source] io::Error),
    /// The file system does not hold files of this size.
    #[error("too big for the file system")]
    TooBig(#[source] io::Error),
    /// The disk or the quota is full.
    #[error("no space left")]
    NoSpace(#[source] io::Error),
    /// The file system is mounted read-only.
    #[error("read-only file system")]
    ReadOnly(#[source] io::Error),
    /// The system is short of memory.
    #[error("out of memory")]
    OutOfMemory(#[source] io::Error),
    /// Reading failed.
    #[error("cannot read")]
    Read(#[source] io::Error),
    /// The source is not the file it was when the transfer began.
    #[error("source changed")]
    SourceChanged,
    /// Writing, or making durable, failed: what was written is not to be trusted.
    #[error("cannot write")]
    Write(#[source] io::Error),
    /// Attributes could not be read.
    #[error("cannot read the attributes")]
    Stat(#[source] io::Error),
    /// A complete file could not be given its final name.
    #[error("cannot rename the finished file")]
    Rename(#[source] io::Error),
    /// A file the operator named may be changed by somebody else.
    #[error("owned by another user, or reached through a link of another user")]
    Untrusted,
    /// A file that is read as a whole is bigger than its limit.
    #[error("the file is bigger than {limit} bytes")]
    OverLimit {
        /// The limit, in bytes.
        limit: u64,
    },
}

impl Error {
    /// Returns the code that goes to the peer, to logs and into JSON output.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Name(fault) => fault.code(),
            Self::OutsideRoot => ErrorCode::BadPath,
            Self::LinkLoop => ErrorCode::LinkLoop,
            Self::NotFound => ErrorCode::NoSuchFile,
            Self::NoPermission(_) | Self::Untrusted => ErrorCode::NoPermission,
            Self::NotADirectory => ErrorCode::NotADirectory,
            Self::IsADirectory => ErrorCode::IsADirectory,
            Self::NotRegular(_) => ErrorCode::NotRegular,
            Self::AlreadyExists | Self::InUse => ErrorCode::AlreadyExists,
            Self::LinkTarget => ErrorCode::SomeFilesFailed,
            Self::TooManyOpenFiles(_) => ErrorCode::TooManyOpenFiles,
            Self::TooBig(_) => ErrorCode::FileTooBig,
            Self::NoSpace(_) => ErrorCode::NoSpace,
            Self::ReadOnly(_) => ErrorCode::ReadOnly,
            Self::OutOfMemory(_) => ErrorCode::OutOfMemory,
            Self::Read(_) | Self::SourceChanged => ErrorCode::DiskRead,
            Self::Write(_) => ErrorCode::DiskWrite,
            Self::Stat(_) => ErrorCode::StatFailed,
            Self::Rename(_) => ErrorCode::CannotRenamePartial,
            Self::OverLimit { .. } => ErrorCode::BadConfiguration,
        }
    }

    /// Maps a failure to find or open something, for which `otherwise` is the remaining case.
    pub(crate) fn open(errno: Errno, otherwise: fn(io::Error) -> Self) -> Self {
        match errno {
            Errno::NOENT => Self::NotFound,
            Errno::NOTDIR => Self::NotADirectory,
            Errno::ISDIR => Self::IsADirectory,
            Errno::LOOP | Errno::XDEV => Self::OutsideRoot,
            Errno::EXIST => Self::AlreadyExists,
            Errno::NAMETOOLONG => Self::Name(NameFault::PathTooLong),
            // Sockets, and device nodes without a driver, cannot be opened at all.
            Errno::NXIO | Errno::NODEV => Self::NotRegular(FileKind::Other),
            _ => Self::common(errno, otherwise),
        }
    }

    /// Maps a failure to write.
    pub(crate) fn write(errno: Errno) -> Self {
        Self::common(errno, Self::Write)
    }

    /// Maps a failure to read.
    pub(crate) fn read(errno: Errno) -> Self {
        Self::common(errno, Self::Read)
    }

    /// Maps a failure to read attributes.
    pub(crate) fn stat(errno: Errno) -> Self {
        Self::open(errno, Self::Stat)
    }

    fn common(errno: Errno, otherwise: fn(io::Error) -> Self) -> Self {
        let wrap = match errno {
            Errno::ACCESS | Errno::PERM => Self::NoPermission,
            Errno::NOSPC | Errno::DQUOT => Self::NoSpace,
            Errno::ROFS => Self::ReadOnly,
            Errno::FBIG => Self::TooBig,
            Errno::MFILE | Errno::NFILE => Self::TooManyOpenFiles,
            Errno::NOMEM => Self::OutOfMemory,
            // The directory that was held is gone.
            Errno::NOENT => return Self::NotFound,
            _ => otherwise,
        };
        wrap(errno.into())
    }
}

impl NameFault {
    /// Returns the public code: outside the root, too long, or illegal.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Empty
            | Self::Absolute
            | Self::Dots
            | Self::Separator
            | Self::Nul
            | Self::Control
            | Self::Hidden => ErrorCode::BadPath,
            Self::ComponentTooLong | Self::PathTooLong | Self::TooDeep => ErrorCode::PathTooLong,
            Self::Illegal | Self::Reserved => ErrorCode::IllegalName,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// F12, F22, F29: what cannot be brought about everywhere, by the number that the system gives for it.
    #[test]
    fn what_the_system_reports_has_its_code() {
        let maps: [fn(Errno) -> Error; 4] = [Error::read, Error::write, Error::stat, |errno| {
            Error::open(errno, Error::Rename)
        }];
        for (errno, codes) in [
            (Errno::NOMEM, [ErrorCode::OutOfMemory; 4]),
            (Errno::DQUOT, [ErrorCode::NoSpace; 4]),
            (Errno::NOSPC, [ErrorCode::NoSpace; 4]),
            (Errno::ROFS, [ErrorCode::ReadOnly; 4]),
            (Errno::FBIG, [ErrorCode::FileTooBig; 4]),
            (Errno::MFILE, [ErrorCode::TooManyOpenFiles; 4]),
            (Errno::NFILE, [ErrorCode::TooManyOpenFiles; 4]),
            (Errno::ACCESS, [ErrorCode::NoPermission; 4]),
            (
                Errno::IO,
                [
                    ErrorCode::DiskRead,
                    ErrorCode::DiskWrite,
                    ErrorCode::StatFailed,
                    ErrorCode::CannotRenamePartial,
                ],
            ),
        ] {
            assert_eq!(maps.map(|map| map(errno).code()), codes, "{errno:?}");
        }
    }
}
