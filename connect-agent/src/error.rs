//! What goes wrong with a user's own files.

use std::path::{Path, PathBuf};

use fasp_core::ErrorCode;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why settings cannot be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read or written, or others could have written it.
    #[error("the settings in '{}'", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: docroot::Error,
    },
    /// A directory of the user's own cannot be made or opened.
    #[error("the directory '{}'", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        source: docroot::Error,
    },
    /// The file's text is not what settings look like.
    #[error("the settings in '{}' cannot be understood: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What the parser says, in one line.
        reason: String,
    },
}

impl From<docroot::Error> for Error {
    /// The caller of [`docroot::edit_operator_file`] puts the path in.
    fn from(source: docroot::Error) -> Self {
        Self::File {
            path: PathBuf::new(),
            source,
        }
    }
}

impl Error {
    /// Returns the public code.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::File { source, .. } | Self::Directory { source, .. } => source.code(),
            Self::Malformed { .. } => ErrorCode::BadConfiguration,
        }
    }

    /// Returns what a person can try next.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::File {
                source: docroot::Error::Untrusted,
                ..
            } => Some("the file has to belong to you"),
            Self::File { .. } | Self::Directory { .. } => None,
            Self::Malformed { .. } => {
                Some("mend the file, or remove it to begin with the defaults")
            }
        }
    }

    /// Says which file it is about.
    pub(crate) fn at(self, at: &Path) -> Self {
        match self {
            Self::File { source, .. } => Self::File {
                path: at.to_owned(),
                source,
            },
            other => other,
        }
    }
}
