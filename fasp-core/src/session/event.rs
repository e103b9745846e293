//! What a session tells the program around it.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use crate::{ErrorCode, NotKept, PathMemory, Rate, Totals};

/// Something happened. Pull them with `Session::poll_event` until there is none.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The first valid datagram of the peer arrived.
    Connected,
    /// A page of the sender's arrived whole (receiver only): read it with [`Records`](crate::Records), then tell
    /// the session with `page_consumed`.
    Page(Vec<u8>),
    /// Send the content of these small files (sender only).
    Wanted {
        /// First file number.
        first: u32,
        /// How many.
        count: u32,
    },
    /// The receiver holds a part of this file (sender only): read it from the source and tell the session its digest
    /// with `held_digest`.
    Held {
        /// The file's number.
        file: u32,
        /// What it holds: ascending, disjoint, within the file.
        held: Vec<Range<u64>>,
    },
    /// The receiver asks whether the source has these bytes (sender only): answer with [`Record::Checked`]
    /// (protocol §14.4).
    ///
    /// [`Record::Checked`]: crate::Record::Checked
    Check {
        /// The file's number.
        file: u32,
        /// Which bytes: ascending, disjoint.
        ranges: Vec<Range<u64>>,
        /// Digest of the file with zeros outside of them.
        digest: u64,
    },
    /// The receiver has thrown away what it held of this file, and gets it whole (sender only).
    Restarted {
        /// The file's number.
        file: u32,
    },
    /// Every block of this file has been read and sent once (sender only): check that the source is still the same,
    /// then send its digest with `send_digest`, or give it up with `source_failed`.
    Sent {
        /// The file's number.
        file: u32,
        /// Digest of what was read.
        digest: u64,
    },
    /// The receiver has a result for these files (sender only).
    Settled {
        /// First file number.
        first: u32,
        /// How many.
        count: u32,
        /// What became of them.
        result: FileResult,
    },
    /// The receiver deleted something that the list does not name (sender only).
    Deleted {
        /// Path relative to the destination, as the receiver says; not checked by any rule.
        path: Vec<u8>,
    },
    /// The receiver could not keep something of a file or directory (sender only).
    NotKept {
        /// Path relative to the destination, as the receiver says; not checked by any rule.
        path: Vec<u8>,
        /// What it was.
        what: NotKept,
    },
    /// Every byte of this file is there and agrees with the sender's digest (receiver only).
    FileComplete {
        /// The file's number.
        file: u32,
    },
    /// Every byte is there but the digest differs: the source changed while it was read (receiver only).
    FileDamaged {
        /// The file's number.
        file: u32,
    },
    /// Every file has its result.
    Complete(Totals),
    /// Data goes to another address from now on.
    PeerMoved(SocketAddr),
    /// The session is over.
    Closed(Closed),
}

/// What the receiver says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileResult {
    /// Under its final name and durable.
    Done,
    /// It was there already.
    Skipped,
    /// It failed.
    Failed {
        /// Why.
        code: ErrorCode,
        /// For people.
        text: String,
    },
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Nothing for a good end.
    pub error: Option<ErrorCode>,
    /// For people; empty for a good end.
    pub text: String,
    /// Whether the peer said so.
    pub by_peer: bool,
}

/// What a session has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Statistics {
    /// Datagrams sent and received.
    pub datagrams_sent: u64,
    /// Authenticated datagrams received.
    pub datagrams_received: u64,
    /// Bytes of UDP payload sent.
    pub bytes_sent: u64,
    /// Bytes of UDP payload received and authenticated.
    pub bytes_received: u64,
    /// File bytes in blocks and pages sent for the first time.
    pub payload_sent: u64,
    /// File bytes in blocks and pages sent again.
    pub payload_resent: u64,
    /// File bytes of blocks reported delivered (sender).
    pub payload_delivered: u64,
    /// New file bytes of blocks received (receiver).
    pub payload_received: u64,
    /// File bytes of blocks received that were there already (receiver).
    pub payload_duplicate: u64,
    /// File bytes that the receiver held from an earlier transfer, so that they did not travel.
    pub payload_held: u64,
    /// Datagrams declared lost.
    pub datagrams_lost: u64,
    /// Of these, reported after all.
    pub datagrams_late: u64,
    /// Datagrams dropped: wrong length, number too old or seen, or tag.
    pub dropped: u64,
    /// Of these, tags that were wrong.
    pub failed_openings: u64,
    /// Loss lately, 0 to 1.
    pub loss: f64,
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// One-way queueing delay towards the peer.
    pub queueing_delay: Duration,
    /// Rate the pacer runs at.
    pub rate: Rate,
    /// Size of full datagrams.
    pub datagram_size: u16,
    /// What the receiver's storage takes, while that is what holds data up (protocol §6.3).
    pub storage_limit: Option<Rate>,
    /// Bytes sent and not settled.
    pub in_flight: u64,
    /// What a sender of files would tell its next session about the path.
    pub path: Option<PathMemory>,
}
