//! Why a configuration cannot be read, resolved, edited or written.

use fasp_core::ErrorCode;

use crate::schema::BadValue;
use crate::xml::{Fault, Position};

/// A shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something about a configuration failed.
///
/// Values of options with secrets are never part of a message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are no document that is read here.
    #[error("{position}: {fault}")]
    Document {
        /// Where.
        position: Position,
        /// What.
        fault: Fault,
    },
    /// No option of that name in that place.
    #[error("there is no option '{name}' in '{section}'")]
    UnknownOption {
        /// The name.
        name: String,
        /// Where it was looked for.
        section: String,
        /// What may have been meant.
        suggestion: Option<String>,
    },
    /// A value that the option does not allow.
    #[error("'{value}' is no value of '{option}': it {bad}")]
    BadValue {
        /// The option's name.
        option: &'static str,
        /// The value, kept back if it may be a secret.
        value: String,
        /// What is allowed.
        bad: BadValue,
    },
    /// An expression that is not in the language.
    #[error("'{expression}': {reason}")]
    Expression {
        /// The part that is wrong.
        expression: String,
        /// What is wrong with it.
        reason: String,
        /// What to write.
        hint: &'static str,
    },
    /// The record is not there.
    #[error("there is no {0}")]
    NoRecord(String),
    /// `$(...)` with a name that is not known, or without a value.
    #[error("'$({0})' cannot be replaced")]
    Variable(String),
    /// A login name or home directory that would lead somewhere else inside a path.
    #[error("'{0}' cannot stand in a path")]
    UnsafeName(String),
    /// A user has both a docroot and a restriction.
    #[error("user '{0}' has both a docroot and file restrictions")]
    DocrootAndRestriction(String),
    /// The file system.
    #[error("'{path}'")]
    File {
        /// The file.
        path: String,
        /// The reason.
        source: docroot::Error,
    },
}

impl Error {
    /// Returns the code that goes to peers, logs and JSON output.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Document { .. }
            | Self::Variable(_)
            | Self::UnsafeName(_)
            | Self::DocrootAndRestriction(_) => ErrorCode::BadConfiguration,
            Self::UnknownOption { .. }
            | Self::BadValue { .. }
            | Self::Expression { .. }
            | Self::NoRecord(_) => ErrorCode::Usage,
            Self::File { source, .. } => source.code(),
        }
    }

    /// Returns what a person can try next, if there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Document { fault, .. } => Some(match fault {
                Fault::TooLarge | Fault::TooDeep | Fault::TooManyElements => {
                    "no real configuration is that big: is this the right file?".to_owned()
                }
                Fault::NotConf(_) | Fault::NoRoot => {
                    "the smallest file is <CONF version=\"2\"/>".to_owned()
                }
                Fault::IllFormed(_) | Fault::NotClosed(_) => {
                    "look for a missing '>' or a missing end tag there or just before; '&' is written &amp;".to_owned()
                }
                _ => "mend the file, or start again from a saved copy".to_owned(),
            }),
            Self::UnknownOption {
                suggestion: Some(suggestion),
                ..
            } => Some(format!("did you mean '{suggestion}'?")),
            Self::UnknownOption { .. } => {
                Some("connect-cli conf explain lists every option".to_owned())
            }
            Self::BadValue { option, .. } => Some(format!("connect-cli conf explain {option}")),
            Self::Expression { hint, .. } => Some((*hint).to_owned()),
            Self::NoRecord(_) => Some("connect-cli conf check lists the records".to_owned()),
            Self::Variable(_) => Some("only $(name) and $(home) are known".to_owned()),
            Self::UnsafeName(_) => None,
            Self::DocrootAndRestriction(_) => Some(
                "remove one of the two: an empty 'absolute' in the user's record takes the inherited docroot away"
                    .to_owned(),
            ),
            Self::File { .. } => None,
        }
    }
}

impl From<(Position, Fault)> for Error {
    fn from((position, fault): (Position, Fault)) -> Self {
        Self::Document { position, fault }
    }
}
