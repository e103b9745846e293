//! Why a command failed, in a form that can be shown.

use std::path::PathBuf;

use fasp_core::ErrorCode;
use fasp_net::{Error as NetError, transfer::advice};

use crate::exit::ExitStatus;

/// A failed command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// Arguments that are fine one by one do not fit together, or the environment lacks something.
    #[error("{message}")]
    Arguments {
        /// What is wrong, as one sentence without a full stop.
        message: String,
        /// What to type instead.
        hint: String,
    },
    /// The server's own files.
    #[error(transparent)]
    Server(#[from] fasp_server::Error),
    /// The connection, the other side, or a file of the transfer.
    #[error(transparent)]
    Net(#[from] fasp_net::Error),
    /// The user's settings.
    #[error(transparent)]
    Settings(#[from] connect_agent::Error),
    /// The configuration in aspera.conf.
    #[error(transparent)]
    Conf(#[from] aspera_conf::Error),
    /// A check found values that cannot be used.
    #[error("{0} of the file's settings cannot be used")]
    ConfFindings(usize),
    /// A passphrase, or the one protected file that was asked for.
    #[error("{}{source}", named(.path))]
    Crypt {
        /// The file, as it is shown; `None` where it is about a passphrase.
        path: Option<String>,
        /// What is wrong.
        source: fasp_crypt::Error,
    },
    /// The one local file that was asked for.
    #[error("'{path}'")]
    File {
        /// The file, as it is shown.
        path: String,
        /// What is wrong.
        source: docroot::Error,
    },
    /// Some of several local files.
    #[error("{failed} of {total} files failed")]
    SomeFiles {
        /// How many failed.
        failed: u64,
        /// How many there were.
        total: u64,
    },
    /// Somebody stopped it before files moved.
    #[error("cancelled")]
    Cancelled,
    /// The demo's own files could not be made or read.
    #[error("the demo's files in '{}'", path.display())]
    Demo {
        /// The file or directory.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// What arrived in the demo is not what was sent.
    #[error("{0} of the demo's files arrived with other content")]
    Differs(usize),
    /// `doctor` found something that does not work.
    #[error("{}", unwell(*.failed))]
    Unwell {
        /// The code of the first failed check.
        code: ErrorCode,
        /// How many checks failed.
        failed: usize,
    },
    /// Something could not be written for the user.
    #[error("cannot write {what}")]
    Output {
        /// What it was.
        what: String,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// Something could not be read from the user.
    #[error("cannot read {what}")]
    Input {
        /// What it was.
        what: &'static str,
        /// The operating system's reason.
        source: std::io::Error,
    },
}

/// A passphrase or a key, not a file.
impl From<fasp_crypt::Error> for CommandError {
    fn from(source: fasp_crypt::Error) -> Self {
        Self::Crypt { path: None, source }
    }
}

fn named(path: &Option<String>) -> String {
    path.as_ref()
        .map(|path| format!("'{path}': "))
        .unwrap_or_default()
}

impl CommandError {
    /// Makes an error about arguments.
    pub fn arguments(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Arguments {
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// Returns the public code.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Arguments { .. } => ErrorCode::Usage,
            Self::Server(error) => error.code(),
            Self::Net(error) => error.code(),
            Self::Settings(error) => error.code(),
            Self::Conf(error) => error.code(),
            Self::ConfFindings(_) => ErrorCode::BadConfiguration,
            Self::Crypt { source, .. } => {
                ErrorCode::from_number(source.code()).unwrap_or(ErrorCode::Internal)
            }
            Self::File { source, .. } => source.code(),
            Self::SomeFiles { .. } => ErrorCode::SomeFilesFailed,
            Self::Cancelled => ErrorCode::Cancelled,
            Self::Demo { source, .. } => match source.kind() {
                std::io::ErrorKind::StorageFull => ErrorCode::NoSpace,
                _ => ErrorCode::DiskWrite,
            },
            Self::Differs(_) => ErrorCode::Internal,
            Self::Unwell { code, .. } => *code,
            Self::Output { .. } => ErrorCode::DiskWrite,
            Self::Input { .. } => ErrorCode::DiskRead,
        }
    }

    /// Returns what a person can try next, if there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Arguments { hint, .. } => Some(hint.clone()),
            Self::Server(error) => error.hint(),
            Self::Net(NetError::HostKeyUnconfirmed { .. }) => Some(
                "compare the fingerprint with the one the server's owner gives you; then answer the question on a \
                 terminal, or add --accept-new-host-key"
                    .to_owned(),
            ),
            Self::Net(NetError::Refused {
                code: ErrorCode::NoSuchFile,
                hint: None,
                ..
            }) => Some("check the path with connect-cli ls, or create it with -d".to_owned()),
            Self::Net(error) => error.hint().or_else(|| usual_advice(error.code())),
            Self::Settings(error) => error.hint().map(str::to_owned),
            Self::Conf(error) => error.hint(),
            Self::ConfFindings(_) => {
                Some("a weaker record or the built-in value counts in their place".to_owned())
            }
            Self::Crypt { source, .. } => source.hint().map(str::to_owned),
            Self::File { source: docroot::Error::AlreadyExists, .. } => {
                Some("add --overwrite to replace it".to_owned())
            }
            Self::File { .. } => None,
            Self::SomeFiles { .. } => Some("each has a line above with its reason".to_owned()),
            Self::Cancelled => Some("nothing was transferred".to_owned()),
            Self::Demo { .. } => Some(
                "the demo needs four times --size in the directory for temporary files; TMPDIR names another"
                    .to_owned(),
            ),
            Self::Differs(_) => Some("this is a defect of the program: please report it".to_owned()),
            Self::Unwell { .. } => Some(
                "do what the first failed check says, and look again: later ones may depend on it".to_owned(),
            ),
            Self::Output { .. } | Self::Input { .. } => usual_advice(self.code()),
        }
    }

    /// Returns the exit status of the command.
    pub fn exit_status(&self) -> ExitStatus {
        match self {
            // Our own disk failed, not the network: the same command will not do better.
            Self::Output { .. } | Self::Input { .. } | Self::Demo { .. } | Self::File { .. } => {
                ExitStatus::Failure
            }
            Self::Arguments { .. }
            | Self::Server(_)
            | Self::Net(_)
            | Self::Settings(_)
            | Self::Conf(_)
            | Self::ConfFindings(_)
            | Self::Crypt { .. }
            | Self::SomeFiles { .. }
            | Self::Cancelled
            | Self::Unwell { .. }
            | Self::Differs(_) => ExitStatus::from_code(self.code()),
        }
    }
}

fn unwell(failed: usize) -> String {
    match failed {
        1 => "a check failed".to_owned(),
        failed => format!("{failed} checks failed"),
    }
}

/// What helps against a code, whoever met it.
fn usual_advice(code: ErrorCode) -> Option<String> {
    advice(code).map(str::to_owned)
}
