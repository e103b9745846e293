//! Why the server could not do what it was asked.

use std::{io, path::PathBuf};

use fasp_core::ErrorCode;
use fasp_net::event::ShownText;

/// Everything that can fail in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation on one of our files.
    #[error("cannot {action} '{}'", path.display())]
    Io {
        /// What was tried, such as `open`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A file that holds credentials can be used by other accounts.
    #[error("'{}' is open to other accounts (mode {mode:03o})", path.display())]
    TooOpen {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The permission bits it should have at most.
        wanted: u32,
    },
    /// A file belongs to another account.
    #[error("'{}' belongs to another account", .0.display())]
    NotOurs(PathBuf),
    /// Something other than a regular file, or one that is far too big.
    #[error("'{}' is not a regular file of a reasonable size", .0.display())]
    NotRegular(PathBuf),
    /// Something that cannot be run as a program.
    #[error("'{}' is not an executable file with an absolute path", .0.display())]
    NotAProgram(PathBuf),
    /// Another server uses the state directory.
    #[error("another server uses the state directory '{}'", .0.display())]
    InUse(PathBuf),
    /// The users file is not one.
    #[error("'{}' is not a valid users file: {reason}", path.display())]
    UsersFile {
        /// The users file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The users file was written by a later version.
    #[error("'{}' has version {version}, this program knows version 1", path.display())]
    UsersVersion {
        /// The users file.
        path: PathBuf,
        /// Its version.
        version: u64,
    },
    /// A user with this name exists.
    #[error("user '{0}' exists already")]
    UserExists(ShownText),
    /// No user has this name.
    #[error("there is no user '{0}'")]
    UnknownUser(ShownText),
    /// A name that no user can have.
    #[error("'{0}' cannot be a user name")]
    InvalidName(ShownText),
    /// A docroot that is not a plain absolute path.
    #[error("'{0}' cannot be a docroot")]
    InvalidDocroot(ShownText),
    /// A line that is not a public key we accept.
    #[error("{reason}: '{line}'")]
    InvalidKey {
        /// The beginning of the line.
        line: ShownText,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A password that is empty or far too long.
    #[error("the password must have 1 to {} bytes", crate::users::PASSWORD_MAX)]
    InvalidPassword,
    /// A stored password hash that is not one.
    #[error("the stored password hash is not valid")]
    InvalidHash,
    /// The password could not be hashed.
    #[error("the password could not be hashed")]
    Hashing,
    /// A limit of the server is reached.
    #[error(transparent)]
    Limit(#[from] crate::limits::LimitReached),
    /// The network side could not be set up, or a key of the server could not be used.
    #[error(transparent)]
    Net(#[from] fasp_net::Error),
    /// `aspera.conf` cannot be used.
    #[error(transparent)]
    Conf(#[from] aspera_conf::Error),
    /// No server runs on the state directory, or it does not answer.
    #[error("no server answers in '{}'", .0.display())]
    NoServer(PathBuf),
    /// The server refuses what it is asked for.
    #[error("{0}")]
    Admin(ShownText),
    /// A second log was started in one process.
    #[error("the log of this process is set up already")]
    LogInstalled,
}

impl Error {
    /// Returns the public code for logs, peers and exit statuses.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Io { source, .. } => io_code(source),
            Self::TooOpen { .. }
            | Self::NotOurs(_)
            | Self::InUse(_)
            | Self::UsersFile { .. }
            | Self::UsersVersion { .. }
            | Self::InvalidHash => ErrorCode::BadConfiguration,
            Self::NotRegular(_) => ErrorCode::NotRegular,
            Self::NotAProgram(_) => ErrorCode::Usage,
            Self::UserExists(_) => ErrorCode::AlreadyExists,
            Self::UnknownUser(_)
            | Self::InvalidName(_)
            | Self::InvalidDocroot(_)
            | Self::InvalidKey { .. }
            | Self::InvalidPassword => ErrorCode::Usage,
            Self::Hashing => ErrorCode::OutOfMemory,
            Self::Limit(_) => ErrorCode::Authorization,
            Self::Net(error) => error.code(),
            Self::Conf(error) => error.code(),
            Self::NoServer(_) => ErrorCode::ControlFailed,
            Self::Admin(_) => ErrorCode::Usage,
            Self::LogInstalled => ErrorCode::Internal,
        }
    }

    /// Returns what a person can try next, if there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => Some("check the path".to_owned()),
                io::ErrorKind::PermissionDenied => {
                    Some("run the command as the account that owns it".to_owned())
                }
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Some("free space there and run the same command again".to_owned())
                }
                _ => None,
            },
            Self::TooOpen { path, wanted, .. } => {
                Some(format!("chmod {wanted:03o} '{}'", path.display()))
            }
            Self::NotOurs(path) => Some(format!(
                "run the command as its owner, or: chown \"$USER\" '{}'",
                path.display()
            )),
            Self::InUse(_) => Some("stop it, or choose another directory with --state".to_owned()),
            Self::UsersFile { .. } => {
                Some("nobody can log in until it is repaired or removed".to_owned())
            }
            Self::UsersVersion { .. } => Some("use a newer connect-cli".to_owned()),
            Self::UserExists(name) => Some(format!(
                "remove it first: connect-cli server user remove {name}"
            )),
            Self::UnknownUser(_) => Some("connect-cli server user list".to_owned()),
            Self::InvalidName(_) => Some(
                "use 1 to 64 bytes without '/', '@', ':', white space and control characters"
                    .to_owned(),
            ),
            Self::InvalidDocroot(_) => {
                Some("give an absolute path without '.' or '..', such as /srv/files".to_owned())
            }
            Self::InvalidKey { .. } => {
                Some("give an OpenSSH public key, such as ~/.ssh/id_ed25519.pub".to_owned())
            }
            Self::Net(fasp_net::Error::Listen { .. }) => Some(
                "another program may be using the port: name another address with --listen ADDR:PORT"
                    .to_owned(),
            ),
            Self::Net(error) => error.hint(),
            Self::Conf(error) => error
                .hint()
                .or_else(|| Some("connect-cli conf check --file FILE".to_owned())),
            Self::NoServer(_) => Some(
                "start it with connect-cli server start, or name its directory with --state"
                    .to_owned(),
            ),
            Self::Admin(_) => Some("connect-cli server status".to_owned()),
            Self::NotAProgram(_) => Some("chmod +x it, and name it from '/' on".to_owned()),
            Self::NotRegular(_)
            | Self::InvalidPassword
            | Self::InvalidHash
            | Self::Hashing
            | Self::Limit(_)
            | Self::LogInstalled => None,
        }
    }
}

/// Wraps an operating system error with what was tried on which file.
pub(crate) fn io_error(
    action: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(rustix::io::Errno) -> Error {
    let path = path.into();
    move |errno| Error::Io {
        action,
        path,
        source: errno.into(),
    }
}

fn io_code(error: &io::Error) -> ErrorCode {
    match error.kind() {
        io::ErrorKind::NotFound => ErrorCode::NoSuchFile,
        io::ErrorKind::PermissionDenied => ErrorCode::NoPermission,
        io::ErrorKind::NotADirectory => ErrorCode::NotADirectory,
        io::ErrorKind::IsADirectory => ErrorCode::IsADirectory,
        io::ErrorKind::AlreadyExists => ErrorCode::AlreadyExists,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorCode::NoSpace,
        io::ErrorKind::ReadOnlyFilesystem => ErrorCode::ReadOnly,
        _ => ErrorCode::DiskWrite,
    }
}
