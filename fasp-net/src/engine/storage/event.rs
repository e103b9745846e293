//! What the threads that store say to the session.

use std::ops::Range;

use crossbeam_channel::Sender;
use fasp_core::{ErrorCode, NotKept};

/// What the thread and the commit thread tell the session.
#[derive(Debug)]
pub(in crate::engine) enum StorageEvent {
    /// Ask the sender for the blocks of this file.
    Request {
        file: u32,
        size: u64,
        /// Of which these are there.
        held: Vec<Range<u64>>,
    },
    /// The digest of what is there of a file.
    Present { file: u32, digest: u64 },
    /// Ask the sender whether it has these bytes.
    Check {
        file: u32,
        ranges: Vec<Range<u64>>,
        digest: u64,
    },
    /// Ask for all blocks of this file once more.
    Restart { file: u32, size: u64 },
    /// Ask for the content of this small file.
    Want { file: u32 },
    /// The sender's digest.
    Digest { file: u32, digest: u64 },
    /// Listed: how many files and bytes the page named.
    Listed {
        files: u64,
        bytes: u64,
        /// Records without a number.
        loose: u64,
    },
    /// What the list will name, counted beforehand.
    Counted { files: u64, bytes: u64 },
    /// Something that is there lacks what was to be kept of it.
    NotKept { path: Vec<u8>, what: NotKept },
    /// Something that the list does not name is gone.
    Deleted { path: Vec<u8> },
    /// Results.
    Settled(Vec<Settled>),
    /// The sender cannot send something, or left it out.
    Missing {
        path: Vec<u8>,
        /// Why it failed; nothing when it was left out on purpose.
        code: Option<ErrorCode>,
        text: String,
    },
    /// A link waits for the end.
    Link,
    /// The list is complete.
    End { files: u32, loose: u32 },
    /// A page of this many bytes is done with.
    PageDone(u64),
    /// The queue is short again, which the session wanted to know.
    Idle,
    /// Links and directories are done as well.
    TreeDone,
    /// The sender broke the protocol.
    Violation(&'static str),
}

/// A file's result.
#[derive(Debug)]
pub(in crate::engine) struct Settled {
    pub(in crate::engine) file: u32,
    pub(in crate::engine) path: Vec<u8>,
    /// Not the first part of a split file: the user hears of that one (protocol §13.4).
    pub(in crate::engine) is_further: bool,
    pub(in crate::engine) result: SettledResult,
}

#[derive(Debug, Clone)]
pub(in crate::engine) enum SettledResult {
    Done {
        /// As it was listed, bytes.
        size: u64,
        /// Of an envelope that was opened: the length of the plain file.
        plain_len: Option<u64>,
    },
    Skipped,
    Failed {
        code: ErrorCode,
        text: String,
    },
}

impl SettledResult {
    /// A file that came as it was listed.
    pub(in crate::engine) const fn done(size: u64) -> Self {
        Self::Done {
            size,
            plain_len: None,
        }
    }

    pub(in crate::engine) fn failed(error: &docroot::Error) -> Self {
        Self::Failed {
            code: error.code(),
            text: error.to_string(),
        }
    }
}

impl Settled {
    pub(super) fn done(file: u32, path: Vec<u8>, size: u64) -> Self {
        Self {
            file,
            path,
            is_further: false,
            result: SettledResult::done(size),
        }
    }

    pub(super) fn skipped(file: u32, path: Vec<u8>) -> Self {
        Self {
            file,
            path,
            is_further: false,
            result: SettledResult::Skipped,
        }
    }

    pub(super) fn failed(file: u32, path: Vec<u8>, error: &docroot::Error) -> Self {
        Self::lost(file, path, error.code(), &error.to_string())
    }

    /// One that failed for a reason that the other side gave.
    pub(super) fn lost(file: u32, path: Vec<u8>, code: ErrorCode, text: &str) -> Self {
        let result = SettledResult::Failed {
            code,
            text: text.to_owned(),
        };
        Self {
            file,
            path,
            is_further: false,
            result,
        }
    }
}

/// How the threads that store speak to the session.
#[derive(Debug, Clone)]
pub(super) struct Voice(Sender<StorageEvent>);

impl Voice {
    pub(super) const fn new(events: Sender<StorageEvent>) -> Self {
        Self(events)
    }

    pub(super) fn tell(&self, event: StorageEvent) {
        // A session that has ended needs to hear nothing more.
        self.0.send(event).ok();
    }

    pub(super) fn settle(&self, settled: Settled) {
        self.tell(StorageEvent::Settled(vec![settled]));
    }

    pub(super) fn not_kept(&self, path: &[u8], what: NotKept) {
        if !what.is_nothing() {
            let path = path.to_vec();
            self.tell(StorageEvent::NotKept { path, what });
        }
    }
}
