//! The messages of the control channel (protocol §2.3).
//!
//! Texts and names in a message were chosen by the peer: escape them before they reach a terminal or a log.

use std::time::Duration;

use fasp_core::{
    DatagramCipher, ErrorCode, NotKept, Rate as BitRate, RatePolicy, SessionId, TransferId,
};
use minicbor::{Decode, Encode};
use transfer_spec::{Direction, FileRules, OverwritePolicy, Preserve, ResumePolicy, SymlinkPolicy};

use super::{file_rules, wire};
use crate::Error;
use crate::serve::RateWish;

/// The protocol version this crate speaks.
pub const VERSION: u8 = 1;
/// Longest message, kind and body together.
pub const MAX_MESSAGE: usize = 65_536;
/// Longest `Open` or `Accept`, which carry a page.
pub const MAX_PAGE_MESSAGE: usize = 1_048_576;

/// What keys of a session are bound to besides both sides' random bytes (protocol §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BindingKind {
    /// Nothing: 32 zero bytes. The external `ssh` program authenticates both ends, but shows nothing to bind to.
    None,
    /// The clear-text part of the SSH handshake.
    SshTranscript,
    /// What both ends of a resumed connection derived (protocol §2.5).
    Resumed,
}

/// How the files of an upload are protected at rest, as the client says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ContentProtection {
    /// They are not.
    #[default]
    None,
    /// They arrive as envelopes.
    Passphrase,
    /// The same, and the passphrase is a strong one (rule E-13).
    StrongPassphrase,
}

/// First message of either side.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Hello {
    /// Protocol versions offered.
    #[cbor(n(0), with = "wire::versions")]
    pub versions: Vec<u8>,
    /// Name and version of the software, for logs.
    #[cbor(n(1), with = "wire::text")]
    pub software: String,
}

/// Asks for one session of a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Open {
    /// The transfer; all its sessions name the same.
    #[cbor(n(0), with = "wire::transfer_id")]
    pub transfer_id: TransferId,
    /// Which session of the transfer this is, from 0.
    #[n(1)]
    pub session_index: u16,
    /// How many sessions the transfer may have (protocol §13.1).
    #[n(2)]
    pub session_count: u16,
    /// The client's share of the data keys.
    #[cbor(n(3), with = "wire::random")]
    pub client_random: [u8; 32],
    /// Who sends files.
    #[cbor(n(4), with = "wire::direction")]
    pub direction: Direction,
    /// What to send; for a download only.
    #[cbor(n(5), with = "wire::paths")]
    pub sources: Vec<Vec<u8>>,
    /// Where to put it, on the receiving side.
    #[cbor(n(6), with = "wire::path")]
    pub destination: Vec<u8>,
    /// Create the destination directory when it is missing; the destination then is always a directory.
    #[n(7)]
    pub create_dir: bool,
    /// How many sources the user named: more than one makes the destination a directory.
    #[n(8)]
    pub source_count: u32,
    /// When existing files are replaced.
    #[cbor(n(9), with = "wire::overwrite")]
    pub overwrite: OverwritePolicy,
    /// What must agree before a file is continued or skipped.
    #[cbor(n(10), with = "wire::resume")]
    pub resume: ResumePolicy,
    /// What becomes of symbolic links.
    #[cbor(n(11), with = "wire::symlinks")]
    pub symlinks: SymlinkPolicy,
    /// Which attributes the destination gets.
    #[cbor(n(12), with = "wire::preserve")]
    pub preserve: Preserve,
    /// Target rate wanted; without one it is found by measurement.
    #[cbor(n(13), with = "wire::optional_target_rate")]
    pub target_rate: Option<BitRate>,
    /// Minimum rate wanted; may be zero.
    #[cbor(n(14), with = "wire::rate")]
    pub min_rate: BitRate,
    /// How to share the link; without it the server's default counts.
    #[cbor(n(15), with = "wire::optional_rate_policy")]
    pub policy: Option<RatePolicy>,
    /// Ciphers the client allows, the preferred one first.
    #[cbor(n(16), with = "wire::ciphers")]
    pub ciphers: Vec<DatagramCipher>,
    /// Largest datagram the client accepts, bytes of UDP payload.
    #[n(17)]
    pub datagram_max: u16,
    /// First page of the sender's list, for an upload; may be empty.
    #[cbor(n(18), with = "wire::page")]
    pub first_page: Vec<u8>,
    /// Files of this size and more are split between sessions; absent for never (protocol §13.3).
    #[n(19)]
    pub split_threshold: Option<u64>,
    /// Which files are sent, under which names, and what becomes of those that are there; absent for the usual.
    #[cbor(n(20), with = "file_rules::optional")]
    pub files: Option<Box<FileRules>>,
    /// How the files are protected; for an upload.
    #[cbor(n(21), with = "wire::protection", default)]
    pub protection: ContentProtection,
}

/// Names sources of the next `Open` of this transfer, for a list that is too long for it (protocol §2.8).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Sources {
    /// The transfer.
    #[cbor(n(0), with = "wire::transfer_id")]
    pub transfer_id: TransferId,
    /// What to send, before what the `Open` names.
    #[cbor(n(1), with = "wire::paths")]
    pub paths: Vec<Vec<u8>>,
    /// Paths below the destination, one for each of them; empty when they keep their names.
    #[cbor(n(2), with = "wire::paths")]
    pub names: Vec<Vec<u8>>,
}

/// Grants one `Open`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Accept {
    /// The transfer of the `Open` this answers.
    #[cbor(n(0), with = "wire::transfer_id")]
    pub transfer_id: TransferId,
    /// The session index of the `Open` this answers.
    #[n(1)]
    pub session_index: u16,
    /// Names the session from now on, here and in datagrams.
    #[cbor(n(2), with = "wire::session_id")]
    pub session_id: SessionId,
    /// The server's share of the data keys.
    #[cbor(n(3), with = "wire::random")]
    pub server_random: [u8; 32],
    /// Where the server's UDP socket listens.
    #[n(4)]
    pub udp_port: u16,
    /// The cipher of this session.
    #[cbor(n(5), with = "wire::cipher")]
    pub cipher: DatagramCipher,
    /// What the keys are bound to.
    #[cbor(n(6), with = "wire::binding")]
    pub binding: BindingKind,
    /// Target rate granted, at most the cap; without one it is found by measurement.
    #[cbor(n(7), with = "wire::optional_target_rate")]
    pub target_rate: Option<BitRate>,
    /// The server's cap on the target rate, if there is one.
    #[cbor(n(8), with = "wire::optional_target_rate")]
    pub rate_cap: Option<BitRate>,
    /// Minimum rate granted.
    #[cbor(n(9), with = "wire::rate")]
    pub min_rate: BitRate,
    /// Rate policy granted.
    #[cbor(n(10), with = "wire::rate_policy")]
    pub policy: RatePolicy,
    /// Largest datagram the server accepts, bytes of UDP payload.
    #[n(11)]
    pub datagram_max: u16,
    /// The destination is empty or new, so small files need not be asked about (protocol §9.5).
    #[n(12)]
    pub destination_is_new: bool,
    /// First page: the list for a download, decisions for an upload; may be empty.
    #[cbor(n(13), with = "wire::page")]
    pub first_page: Vec<u8>,
    /// A challenge that the client's first datagram answers (protocol §8.2).
    #[cbor(n(14), with = "wire::optional_token")]
    pub address_token: Option<[u8; 8]>,
    /// What the client may not change while the session runs.
    #[cbor(n(15), with = "wire::locks", default)]
    pub locks: Locks,
    /// What of the attributes that the client wants to be kept the server does not keep, for any file.
    #[cbor(n(16), with = "wire::not_kept", default)]
    pub not_kept: NotKept,
}

/// What a client may not change while a session runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Locks {
    /// The target rate.
    pub target: bool,
    /// The minimum rate.
    pub min: bool,
    /// The policy.
    pub policy: bool,
}

impl Open {
    /// What the client asks for about rates.
    pub fn rate_wish(&self) -> RateWish {
        RateWish {
            target: self.target_rate,
            min: self.min_rate,
            policy: self.policy,
        }
    }
}

/// Refuses one `Open` or one `List`, or, naming neither, the whole connection.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Refuse {
    /// The transfer of the refused `Open`; absent for a `List` or the connection.
    #[cbor(n(0), with = "wire::optional_transfer_id")]
    pub transfer_id: Option<TransferId>,
    /// The session index of the refused `Open`; zero otherwise.
    #[n(1)]
    pub session_index: u16,
    /// Why.
    #[cbor(n(2), with = "wire::error_code")]
    pub code: ErrorCode,
    /// Why, in words.
    #[cbor(n(3), with = "wire::text")]
    pub message: String,
    /// What the user may try.
    #[cbor(n(4), with = "wire::optional_text")]
    pub hint: Option<String>,
    /// How files would have to be protected to come in, where that is why.
    #[cbor(n(5), with = "wire::protection", default)]
    pub demands: ContentProtection,
}

impl From<Refuse> for Error {
    fn from(refuse: Refuse) -> Self {
        let Refuse {
            code,
            message,
            hint,
            demands,
            ..
        } = refuse;
        Self::Refused {
            code,
            message,
            hint,
            demands,
        }
    }
}

/// Changes rates or policy in flight; what is absent stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Rate {
    /// The session.
    #[cbor(n(0), with = "wire::session_id")]
    pub session_id: SessionId,
    /// New target rate.
    #[cbor(n(1), with = "wire::optional_target_rate")]
    pub target_rate: Option<BitRate>,
    /// New minimum rate.
    #[cbor(n(2), with = "wire::optional_rate")]
    pub min_rate: Option<BitRate>,
    /// New policy.
    #[cbor(n(3), with = "wire::optional_rate_policy")]
    pub policy: Option<RatePolicy>,
}

/// Stops sending data, or continues.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Pause {
    /// The session.
    #[cbor(n(0), with = "wire::session_id")]
    pub session_id: SessionId,
    /// True to stop, false to continue.
    #[n(1)]
    pub paused: bool,
}

/// Gives a session up.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Cancel {
    /// The session; absent for all of the connection.
    #[cbor(n(0), with = "wire::optional_session_id")]
    pub session_id: Option<SessionId>,
    /// Why.
    #[cbor(n(1), with = "wire::error_code")]
    pub code: ErrorCode,
    /// Why, in words.
    #[cbor(n(2), with = "wire::text")]
    pub message: String,
    /// What the user may try.
    #[cbor(n(3), with = "wire::optional_text")]
    pub hint: Option<String>,
}

/// What the sender of files sees, about once a second.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Statistics {
    /// The session.
    #[cbor(n(0), with = "wire::session_id")]
    pub session_id: SessionId,
    /// Rate of sending.
    #[cbor(n(1), with = "wire::rate")]
    pub rate: BitRate,
    /// Lost datagrams per million sent, lately.
    #[n(2)]
    pub loss_ppm: u32,
    /// Queueing delay on the way to the receiver; whole microseconds travel.
    #[cbor(n(3), with = "wire::micros")]
    pub queueing_delay: Duration,
    /// Round-trip time; whole microseconds travel.
    #[cbor(n(4), with = "wire::micros")]
    pub rtt: Duration,
}

/// The first valid datagram of a session arrived.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Heard {
    /// The session.
    #[cbor(n(0), with = "wire::session_id")]
    pub session_id: SessionId,
}

/// Asks what is in a directory. Answered by [`Listing`] or [`Refuse`], in the order of asking.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct List {
    /// The directory.
    #[cbor(n(0), with = "wire::path")]
    pub path: Vec<u8>,
    /// Continue behind this name.
    #[cbor(n(1), with = "wire::optional_name")]
    pub after: Option<Vec<u8>>,
}

/// What an entry of a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Anything else: a device, a pipe, a socket.
    Other,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Entry {
    /// Its name, one component.
    #[cbor(n(0), with = "wire::name")]
    pub name: Vec<u8>,
    /// What it is.
    #[cbor(n(1), with = "wire::entry_kind")]
    pub kind: EntryKind,
    /// Size in bytes; zero for anything but a file.
    #[n(2)]
    pub size: u64,
    /// Modification time, seconds since 1970.
    #[n(3)]
    pub mtime: i64,
    /// Permission bits.
    #[n(4)]
    pub mode: u32,
}

/// A part of a directory, in the order of names as bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Listing {
    /// The entries; see [`Listing::push`].
    #[cbor(n(0), with = "wire::entries")]
    pub entries: Vec<Entry>,
    /// More follow: ask again with `after` set to the last name.
    #[n(1)]
    pub more: bool,
}

impl Listing {
    /// Most entries in one message.
    pub const MAX_ENTRIES: usize = 1000;
    /// More than an entry takes besides its name.
    const ENTRY_OVERHEAD: usize = 40;

    /// Adds an entry; gives it back, and sets `more`, when the message would become too long.
    pub fn push(&mut self, entry: Entry) -> Result<(), Entry> {
        let takes = |e: &Entry| e.name.len() + Self::ENTRY_OVERHEAD;
        let used: usize = self.entries.iter().map(takes).sum();
        if self.entries.len() == Self::MAX_ENTRIES || used + takes(&entry) > MAX_MESSAGE - 64 {
            self.more = true;
            return Err(entry);
        }
        self.entries.push(entry);
        Ok(())
    }
}

/// Asks how the server is. Answered by [`Facts`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Inquiry {
    /// The directory whose file system's space is asked for; empty for the start directory.
    #[cbor(n(0), with = "wire::path")]
    pub path: Vec<u8>,
}

/// How the server is.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Facts {
    /// The server's clock, milliseconds since 1970.
    #[n(0)]
    pub time_ms: u64,
    /// Bytes that may still be written there; absent when the account may not know.
    #[n(1)]
    pub free: Option<u64>,
    /// Bytes that there are in all; absent like `free`.
    #[n(2)]
    pub total: Option<u64>,
}

/// A session ended well on this side.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Closed {
    /// The session.
    #[cbor(n(0), with = "wire::session_id")]
    pub session_id: SessionId,
    /// Files delivered.
    #[n(1)]
    pub files_done: u64,
    /// Files that were there already.
    #[n(2)]
    pub files_skipped: u64,
    /// Files that failed.
    #[n(3)]
    pub files_failed: u64,
    /// Bytes of content delivered.
    #[n(4)]
    pub bytes: u64,
}

/// What the next connection may begin with (protocol §2.5). Prints no secret.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Ticket {
    /// Names it to the server.
    #[cbor(n(0), with = "wire::ticket_id")]
    pub id: [u8; 16],
    /// What both ends know.
    #[cbor(n(1), with = "wire::random")]
    pub secret: [u8; 32],
    /// Seconds it lasts once this connection has ended.
    #[n(2)]
    pub lifetime: u32,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket")
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.secret);
    }
}

/// Makes the enum of all messages with its kinds, encoder and decoder.
macro_rules! messages {
    ($($kind:literal $name:ident $doc:literal,)*) => {
        /// Any message of the control channel.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Message {
            $(#[doc = $doc] $name($name),)*
        }

        impl Message {
            /// Returns the kind that stands in the frame.
            pub fn kind(&self) -> u8 {
                match self { $(Self::$name(_) => $kind,)* }
            }

            /// Returns the message's name, for logs and errors.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => stringify!($name),)* }
            }

            fn encode_body(&self, out: &mut Vec<u8>) {
                // Writing to a `Vec` cannot fail, and no encoder here reports errors of its own.
                let written = match self { $(Self::$name(body) => minicbor::encode(body, out),)* };
                debug_assert!(written.is_ok());
            }

            /// Decodes a message; `None` for a kind this version does not know.
            ///
            /// # Errors
            /// [`Error::Violation`] when the body is not what its kind demands, or exceeds a limit of protocol §12.
            pub fn decode(kind: u8, body: &[u8]) -> Result<Option<Self>, Error> {
                let violation = |name: &str, e: minicbor::decode::Error| {
                    Error::Violation(format!("bad {name} message: {e}"))
                };
                if body.len() >= max_length(kind) {
                    return Err(Error::Violation("message too long".to_owned()));
                }
                match kind {
                    $($kind => {
                        wire::check_shape(body).map_err(|e| violation(stringify!($name), e))?;
                        let message = minicbor::decode::<$name>(body)
                            .map_err(|e| violation(stringify!($name), e))?;
                        Ok(Some(Self::$name(message)))
                    })*
                    _ => Ok(None),
                }
            }
        }

        $(impl From<$name> for Message {
            fn from(message: $name) -> Self {
                Self::$name(message)
            }
        })*
    };
}

messages! {
    1 Hello "Versions and software of a side.",
    2 Open "Asks for a session.",
    3 Accept "Grants a session.",
    4 Refuse "Refuses a session.",
    5 Rate "Changes rates.",
    6 Pause "Stops or continues.",
    7 Cancel "Gives up.",
    8 Statistics "What the sender sees.",
    9 Heard "The first datagram arrived.",
    10 List "Asks for a directory.",
    11 Listing "Part of a directory.",
    12 Closed "A good end.",
    13 Inquiry "Asks how the server is.",
    14 Facts "How the server is.",
    15 Ticket "What the next connection may begin with.",
    16 Sources "Names sources of the next session.",
}

impl Message {
    /// Returns the whole frame: length, kind, body (protocol §2.2).
    ///
    /// # Errors
    /// [`Error::MessageTooLong`] when the peer would have to refuse it.
    pub fn to_frame(&self) -> Result<Vec<u8>, Error> {
        let mut frame = vec![0, 0, 0, 0, self.kind()];
        self.encode_body(&mut frame);
        let length = frame.len() - 4;
        if length > max_length(self.kind()) {
            return Err(Error::MessageTooLong(length));
        }
        // The largest limit fits 32 bits.
        frame[..4].copy_from_slice(&(length as u32).to_be_bytes());
        Ok(frame)
    }
}

/// Returns the greatest length field of a kind (protocol §2.2).
pub(crate) fn max_length(kind: u8) -> usize {
    match kind {
        2 | 3 => MAX_PAGE_MESSAGE,
        _ => MAX_MESSAGE,
    }
}

/// Picks the version both sides offer (protocol §2.4).
///
/// # Errors
/// [`Error::Violation`] when there is none in common.
pub fn agree_version(peer: &Hello) -> Result<u8, Error> {
    if peer.versions.contains(&VERSION) {
        return Ok(VERSION);
    }
    Err(Error::Violation(format!(
        "no protocol version in common: the other side ({}) offers {:?}, this side {VERSION}",
        peer.software.escape_debug(),
        peer.versions
    )))
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
