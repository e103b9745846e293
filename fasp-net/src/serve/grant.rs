//! What an account may do, decided by the program around this library.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use docroot::Docroot;
use fasp_core::{DatagramCipher, ErrorCode, SessionId};

use transfer_spec::{FileChecksum, filter::FilterRule};

use super::rates::RateRules;
use crate::Error;
use crate::control::message::{ContentProtection, List, Open};
use crate::engine::Report;
use crate::port::Port;
use crate::serve::Client;

/// Hears every report of a session: logs it, counts it, holds its place until it ends.
pub type Observer = Box<dyn FnMut(SessionId, &Report) + Send>;

/// What an account may do with its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permissions {
    /// Download.
    pub read: bool,
    /// Upload.
    pub write: bool,
    /// See directory listings.
    pub list: bool,
}

/// Decides who may do what. Called on a thread that may block.
pub trait Access: fmt::Debug + Send + Sync + 'static {
    /// Grants or refuses a session, and says who watches it.
    ///
    /// # Errors
    /// What the client is told instead.
    fn session(&self, client: &Client, open: &Open) -> Result<(Grant, Observer), Refusal>;

    /// Grants or refuses a listing.
    ///
    /// # Errors
    /// What the client is told instead.
    fn listing(&self, client: &Client, list: &List) -> Result<Docroot, Refusal>;
}

/// What a session is granted.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The root that the account cannot leave.
    pub root: Docroot,
    /// What rates and policy may be.
    pub rates: RateRules,
    /// Ciphers that are allowed.
    pub ciphers: Vec<DatagramCipher>,
    /// What the server says about files.
    pub files: FileGrant,
    /// Rules about what is sent that come before those of the client; for downloads.
    pub filter: Vec<FilterRule>,
    /// Nothing valid for this long ends the session; `None` is the usual time.
    pub data_timeout: Option<Duration>,
    /// No first datagram for this long ends the session; `None` is the usual time.
    pub hello_timeout: Option<Duration>,
    /// Largest datagram, bytes of UDP payload; `None` lets the path decide.
    pub datagram_max: Option<u16>,
    /// The UDP port of the session; `None` is the server's own.
    pub port: Option<Port>,
    /// Held as long as the session lives.
    pub place: Option<Arc<dyn Any + Send + Sync>>,
}

impl Grant {
    /// Everything beneath a root, with these ciphers and nothing to say about rates and files.
    pub fn new(root: Docroot, ciphers: Vec<DatagramCipher>) -> Self {
        Self {
            root,
            rates: RateRules::default(),
            ciphers,
            files: FileGrant::default(),
            filter: Vec::new(),
            data_timeout: None,
            hello_timeout: None,
            datagram_max: None,
            port: None,
            place: None,
        }
    }
}

/// What the server says about files, whatever the client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileGrant {
    /// Files that are there may be replaced.
    pub may_overwrite: bool,
    /// The content that links point at may be sent.
    pub may_follow_links: bool,
    /// Links may be made.
    pub may_create_links: bool,
    /// Modification times are kept; `None` leaves it to the client.
    pub keep_times: Option<bool>,
    /// Clients may say to whom what they send belongs: owner and group. The system decides whether this process may do it.
    pub keep_owner: bool,
    /// Extended attributes may be kept, and sent.
    pub keep_xattrs: bool,
    /// The checksum that this side tells of every file.
    pub checksum: FileChecksum,
    /// How received files and directories come to be.
    pub creation: Creation,
}

impl Default for FileGrant {
    fn default() -> Self {
        Self {
            may_overwrite: true,
            may_follow_links: true,
            may_create_links: true,
            keep_times: None,
            keep_owner: false,
            keep_xattrs: true,
            checksum: FileChecksum::None,
            creation: Creation::default(),
        }
    }
}

/// What received files and directories get besides what the client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Creation {
    /// Permission bits of files.
    pub file_mode: ModeGrant,
    /// Permission bits of directories.
    pub directory_mode: ModeGrant,
    /// The group of both; `None` leaves it to the system, so that a set-gid directory decides.
    pub group: Option<u32>,
    /// Stands for what the target refuses in names.
    pub replacement: Option<char>,
}

/// Permission bits of what is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ModeGrant {
    /// Exactly these.
    pub exact: Option<u32>,
    /// Those of the source, and these; weaker than `exact`.
    pub granted: Option<u32>,
}

impl ModeGrant {
    /// The bits for something whose source has `source`; `None` leaves them to the client and the system.
    pub(crate) fn bits(self, source: u32) -> Option<u32> {
        self.exact
            .or_else(|| self.granted.map(|granted| source | granted))
    }
}

/// Why a wish is not granted, as the client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub code: ErrorCode,
    /// One sentence.
    pub message: String,
    /// What to try.
    pub hint: Option<String>,
    /// How files would have to be protected to come in, where that is why.
    pub demands: ContentProtection,
}

impl Refusal {
    /// A refusal without advice.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
            demands: ContentProtection::None,
        }
    }

    /// Says how files would have to be protected.
    #[must_use]
    pub fn demanding(mut self, demands: ContentProtection) -> Self {
        self.demands = demands;
        self
    }

    /// Adds advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self {
            code: error.code(),
            message: error.to_string(),
            hint: error.hint(),
            demands: ContentProtection::None,
        }
    }
}
