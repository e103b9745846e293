//! What can go wrong between two machines, with a code for programs and a hint for people.

use std::{io, time::Duration};

use fasp_core::ErrorCode;

use crate::control::message::ContentProtection;

/// Why a connection could not be made, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The host's name has no address.
    #[error("the host '{host}' was not found")]
    HostNotFound {
        /// The name that was looked up.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// TCP was refused or the network could not be reached.
    #[error("no connection to {host} port {port}")]
    ConnectFailed {
        /// The host as it was named.
        host: String,
        /// The TCP port.
        port: u16,
        /// What the operating system said.
        source: io::Error,
    },
    /// Nothing answered in time.
    #[error("{host} port {port} did not answer within {} s", .limit.as_secs())]
    ConnectTimeout {
        /// The host as it was named.
        host: String,
        /// The TCP port.
        port: u16,
        /// How long was waited.
        limit: Duration,
    },
    /// The other side does not speak SSH as it must, or ended the handshake.
    #[error("the secure handshake with {host} failed: {reason}")]
    Handshake {
        /// The host as it was named, or the peer's address.
        host: String,
        /// What went wrong.
        reason: String,
    },
    /// None of the user's credentials was accepted. Unknown users and wrong passwords look the same (C-8).
    #[error("{user}@{host} was not let in")]
    Authentication {
        /// The account.
        user: String,
        /// The host as it was named.
        host: String,
        /// Whether there was anything to try at all, and what.
        tried: String,
    },
    /// The host showed another key than the one on record (H-5).
    #[error("the host key of {host} is not the one on record: it shows {shown}")]
    HostKeyChanged {
        /// The host as it was named.
        host: String,
        /// Fingerprint of the key it shows.
        shown: String,
        /// Where the expected key is written down, and how to remove it.
        remedy: String,
    },
    /// The host is not known yet, and nobody confirmed its key.
    #[error("the host key of {host} ({shown}) was not confirmed")]
    HostKeyUnconfirmed {
        /// The host as it was named.
        host: String,
        /// Fingerprint of the key it shows.
        shown: String,
    },
    /// A file of the user's own could not be used: a key, or the list of known hosts.
    #[error("{path}: {reason}")]
    UserFile {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The external `ssh` program could not be started.
    #[error("the program '{program}' could not be started")]
    Program {
        /// The program.
        program: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The external `ssh` program ended before the far side spoke.
    #[error("{program} ended with status {status}: {said}")]
    ProgramEnded {
        /// The program.
        program: String,
        /// Its exit status, or `signal`.
        status: String,
        /// The last lines it wrote to its standard error.
        said: String,
    },
    /// The peer sent what the protocol does not allow.
    #[error("protocol violation by the other side: {0}")]
    Violation(String),
    /// A message of ours is longer than the protocol allows.
    #[error("a control message of {0} bytes is too long")]
    MessageTooLong(usize),
    /// The control connection is gone.
    #[error("the control connection was lost")]
    ConnectionLost(#[source] Option<io::Error>),
    /// The other side refused or gave up, with its own code and words.
    #[error("{message}")]
    Refused {
        /// The code it named.
        code: ErrorCode,
        /// Its words, escaped where they are shown.
        message: String,
        /// Its advice.
        hint: Option<String>,
        /// How files would have to be protected for it to take them.
        demands: ContentProtection,
    },
    /// The data path failed.
    #[error("{message}")]
    Session {
        /// The code of the session's end.
        code: ErrorCode,
        /// What happened.
        message: String,
        /// What to try.
        hint: Option<String>,
    },
    /// A local file could not be used.
    #[error("{path}: {source}")]
    File {
        /// The file as the user named it.
        path: String,
        /// What is wrong with it.
        source: docroot::Error,
    },
    /// The destination cannot take these sources.
    #[error("{path} is not a directory")]
    NotADirectory {
        /// The destination.
        path: String,
    },
    /// A source has no place below the destination.
    #[error("{path}: {source}")]
    Place {
        /// The source as the user named it.
        path: String,
        /// Why not.
        source: transfer_spec::PlaceError,
    },
    /// There is nothing to transfer.
    #[error("nothing to transfer")]
    Nothing,
    /// The limit of sessions is reached.
    #[error("too many sessions at once")]
    Busy,
    /// A thread could not be started.
    #[error("a thread could not be started")]
    Thread(#[source] io::Error),
    /// A socket of ours could not be set up.
    #[error("the address {address} cannot be listened on")]
    Listen {
        /// The address.
        address: String,
        /// What the operating system said.
        source: io::Error,
    },
}

impl Error {
    /// Returns the stable code that goes to peers, logs and JSON output.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::HostNotFound { .. }
            | Self::ConnectFailed { .. }
            | Self::Handshake { .. }
            | Self::ProgramEnded { .. } => ErrorCode::ControlFailed,
            Self::ConnectTimeout { .. } => ErrorCode::ControlTimeout,
            Self::Authentication { .. } => ErrorCode::Authentication,
            Self::HostKeyChanged { .. } | Self::HostKeyUnconfirmed { .. } => ErrorCode::HostKey,
            Self::UserFile { .. } | Self::Program { .. } => ErrorCode::BadConfiguration,
            Self::Violation(_) => ErrorCode::Protocol,
            Self::MessageTooLong(_) => ErrorCode::Internal,
            Self::ConnectionLost(_) => ErrorCode::ConnectionLost,
            Self::Listen { .. } => ErrorCode::SocketSetUp,
            Self::Refused { code, .. } | Self::Session { code, .. } => *code,
            Self::File { source, .. } => source.code(),
            Self::NotADirectory { .. } => ErrorCode::NotADirectory,
            Self::Place { .. } => ErrorCode::Usage,
            Self::Nothing => ErrorCode::Nothing,
            Self::Busy => ErrorCode::Authorization,
            Self::Thread(_) => ErrorCode::ThreadSpawn,
        }
    }

    /// Returns what a person can try next, if there is something.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::HostNotFound { .. } => "check the spelling of the host name".to_owned(),
            Self::ConnectFailed { port, .. } => {
                format!("check that a server runs there and that a firewall lets TCP port {port} through")
            }
            Self::ConnectTimeout { port, .. } => {
                format!("a firewall may be dropping TCP port {port} silently, or the host is down")
            }
            Self::Handshake { .. } => {
                "check that the port is the server's SSH port, 33001 by default".to_owned()
            }
            Self::Authentication { tried, .. } => {
                format!("check the user name and the credentials ({tried})")
            }
            Self::HostKeyChanged { remedy, .. } => remedy.clone(),
            Self::HostKeyUnconfirmed { .. } => {
                "compare the fingerprint with the one the server's owner gives you, then confirm or pin it"
                    .to_owned()
            }
            Self::Program { .. } => "install OpenSSH, or name the program to use".to_owned(),
            Self::ProgramEnded { .. } => {
                "try the same with ssh by hand; connect-cli must be installed on the far side".to_owned()
            }
            Self::Refused { hint, .. } | Self::Session { hint, .. } => return hint.clone(),
            Self::NotADirectory { .. } => {
                "name an existing directory, or create it with --create-dir".to_owned()
            }
            Self::Place { .. } => "name the sources as the base is named, and below it".to_owned(),
            Self::Busy => "try again when other transfers have ended".to_owned(),
            Self::File { source, .. } if source.code() == ErrorCode::NoSuchFile => {
                "check the spelling of the path".to_owned()
            }
            Self::File { .. }
            | Self::Nothing
            | Self::Thread(_)
            | Self::UserFile { .. }
            | Self::Violation(_)
            | Self::MessageTooLong(_)
            | Self::ConnectionLost(_)
            | Self::Listen { .. } => return None,
        })
    }
}
