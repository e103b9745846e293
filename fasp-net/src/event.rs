//! What a transfer tells the program that started it.
//!
//! Every front end sees the same events: the command line draws them, `--json` prints them one object
//! per line, a server logs them. Field names are therefore stable; new fields may appear.
//!
//! Names and messages that came from the other side are [`ShownText`], which cannot hold a
//! character that moves a cursor, hides text or starts a new line.

use std::{fmt, time::Duration};

use fasp_core::{DatagramCipher, ErrorCode, NotKept, RatePolicy, SessionId, TransferId};
use serde::{Serialize, Serializer};

/// How many failed files an [`Outcome`] names; the others are only counted.
pub const FAILURES_NAMED: usize = 100;

/// One fact about a running transfer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A session is agreed with the other side; data may move.
    Started(Started),
    /// How much there is to do; sent again while the list grows.
    Totals(Totals),
    /// How far the transfer is, about five times a second.
    Progress(Progress),
    /// A file is complete, under its final name and durable.
    FileDone {
        /// The file, relative to the destination.
        path: ShownText,
        /// Its size in bytes.
        size: u64,
        /// Its checksum in hexadecimal digits, if one was asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        checksum: Option<String>,
    },
    /// What would be done with a file, were this not a dry run.
    FilePlanned {
        /// What would be done.
        action: PlannedAction,
        /// The file, relative to the destination.
        path: ShownText,
        /// Its size in bytes, if it would be transferred.
        size: Option<u64>,
    },
    /// Something that the sources do not have was deleted at the destination.
    FileDeleted {
        /// The file or directory, relative to the destination.
        path: ShownText,
    },
    /// A file was left alone because of a policy or because it is there already.
    FileSkipped {
        /// The file, relative to the destination.
        path: ShownText,
        /// Why, as half a sentence.
        reason: ShownText,
    },
    /// A file or directory is there, but without something that was to be kept of it.
    NotKept {
        /// The file or directory, relative to the destination.
        path: ShownText,
        /// What it lacks.
        what: Lacking,
    },
    /// A file failed; the others go on.
    FileFailed(FileFailure),
    /// The target rate, the minimum rate or the policy changed while the transfer runs.
    RateChanged(RateChange),
    /// Something worth knowing that changes no result, such as a cap that applied.
    Notice {
        /// One sentence, lower case, without a full stop.
        message: ShownText,
    },
    /// The transfer ended early and is tried again after a while; what is there is continued.
    Retrying(Retrying),
    /// The transfer ended well, or ended with failed files; always the last event.
    Done(Outcome),
}

/// What a dry run would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlannedAction {
    /// Transfer a file.
    Transfer,
    /// Delete something at the destination.
    Delete,
}

/// Which way the files go, seen from this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventDirection {
    /// This side reads the files.
    Send,
    /// This side writes the files.
    Receive,
}

/// What was agreed with the other side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Started {
    /// The transfer; its sessions share the id.
    #[serde(serialize_with = "as_text")]
    pub transfer_id: TransferId,
    /// Which way the files go.
    pub direction: EventDirection,
    /// Who is on the other side: `user@host:port`.
    pub peer: ShownText,
    /// The session that started.
    #[serde(serialize_with = "as_text")]
    pub session_id: SessionId,
    /// How the datagrams are protected.
    #[serde(serialize_with = "as_text")]
    pub cipher: DatagramCipher,
    /// How the link is shared.
    #[serde(serialize_with = "as_text")]
    pub policy: RatePolicy,
    /// The target rate after all caps, in kbit/s; absent when it is found by measurement.
    pub target_rate_kbps: Option<u64>,
    /// What the server lets this account reach, in kbit/s; absent when it does not limit it.
    pub rate_cap_kbps: Option<u64>,
}

/// How much there is to transfer, as far as it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Files in the list.
    pub files: u64,
    /// The sum of their sizes.
    pub bytes: u64,
    /// True when the list is complete and both figures are final.
    pub complete: bool,
}

impl Totals {
    /// Counts more files. Their sizes are whatever the other side says, so the sum stops at the largest number.
    pub(crate) fn add(&mut self, files: u64, bytes: u64) {
        self.files = self.files.saturating_add(files);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// How far a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Progress {
    /// Bytes of file data that are there, each counted once: those of files that were continued among them.
    pub bytes_done: u64,
    /// Of these, bytes that were there from an earlier transfer.
    pub resumed_bytes: u64,
    /// Bytes to transfer, once the list is complete.
    pub bytes_total: Option<u64>,
    /// Files that have their result.
    pub files_done: u64,
    /// Files to transfer, once the list is complete.
    pub files_total: Option<u64>,
    /// File data in the last second, kbit/s.
    pub rate_kbps: u64,
    /// File data since the start, kbit/s.
    pub mean_rate_kbps: u64,
    /// What the sender may reach now, kbit/s.
    pub target_rate_kbps: u64,
    /// What the sender sends at now, headers included, kbit/s; more than arrives when a processor does not keep up.
    pub sending_rate_kbps: u64,
    /// Size of a full datagram that this side sends, bytes of UDP payload.
    pub datagram_size: u16,
    /// Smoothed round-trip time, microseconds.
    pub rtt_us: u64,
    /// How long datagrams wait in queues on the path, microseconds.
    pub queueing_delay_us: u64,
    /// Datagrams lost among those sent in the last seconds, 0 to 1.
    pub loss_ratio: f64,
    /// Bytes of file data sent more than once.
    pub retransmitted_bytes: u64,
    /// What keeps the transfer from going faster.
    pub limited_by: LimitedBy,
    /// Time since the session was agreed, milliseconds.
    pub elapsed_ms: u64,
}

/// What keeps a transfer from going faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitedBy {
    /// The target rate or a cap: nothing else would stop it from going faster.
    Target,
    /// The path: queues or loss.
    Network,
    /// The disk on this side.
    LocalDisk,
    /// The disk on the other side.
    RemoteDisk,
    /// Nothing yet: the path is still being measured.
    StartUp,
}

impl LimitedBy {
    /// Returns what to show a person, as half a sentence.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Target => "the target rate",
            Self::Network => "the network",
            Self::LocalDisk => "the disk on this side",
            Self::RemoteDisk => "the disk on the other side",
            Self::StartUp => "start-up",
        }
    }
}

/// What a file lacks of the attributes that were to be kept: `times`, `mode`, `owner`, `group`, `xattrs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lacking(NotKept);

impl From<NotKept> for Lacking {
    fn from(what: NotKept) -> Self {
        Self(what)
    }
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, name) in self.0.names().enumerate() {
            f.write_str(if number == 0 { "" } else { ", " })?;
            f.write_str(name)?;
        }
        Ok(())
    }
}

impl Serialize for Lacking {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.names())
    }
}

/// How many files and directories lack something that was to be kept of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct LackingCount {
    /// How many.
    pub count: u64,
    /// What one of them lacks, or more.
    pub what: Lacking,
}

impl LackingCount {
    /// Whether all have everything.
    pub fn is_nothing(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn add(&mut self, what: NotKept) {
        self.add_all(Self {
            count: 1,
            what: what.into(),
        });
    }

    pub(crate) fn add_all(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.what.0 = self.what.0.or(other.what.0);
    }
}

/// A file that did not make it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileFailure {
    /// The file, relative to the destination.
    pub path: ShownText,
    /// Why, as a number the field knows.
    #[serde(serialize_with = "as_number")]
    pub code: ErrorCode,
    /// Why, as half a sentence.
    pub message: ShownText,
}

/// Rates and policy after a change in flight; what did not change is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct RateChange {
    /// The new target rate after all caps, kbit/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_rate_kbps: Option<u64>,
    /// The new minimum rate after all caps, kbit/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_rate_kbps: Option<u64>,
    /// The new policy.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "as_optional_text"
    )]
    pub policy: Option<RatePolicy>,
}

/// A transfer that is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Retrying {
    /// Which retry it is, from 1.
    pub retry: u32,
    /// How many there may be.
    pub retries: u32,
    /// Why the transfer ended, as a number the field knows.
    #[serde(serialize_with = "as_number")]
    pub code: ErrorCode,
    /// Why, as half a sentence.
    pub message: ShownText,
    /// The wait before it begins again, milliseconds.
    pub delay_ms: u64,
}

/// The result of a transfer that ran to its end.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Outcome {
    /// Files complete, under their final names and durable.
    pub files_done: u64,
    /// Files left alone.
    pub files_skipped: u64,
    /// Files that failed.
    pub files_failed: u64,
    /// Bytes of the files done.
    pub bytes: u64,
    /// Bytes of file data that were there from an earlier transfer and did not travel.
    pub resumed_bytes: u64,
    /// Time since the session was agreed, milliseconds.
    pub elapsed_ms: u64,
    /// File data that travelled, over that time, kbit/s.
    pub mean_rate_kbps: u64,
    /// Bytes of file data sent more than once.
    pub retransmitted_bytes: u64,
    /// Datagrams lost among all sent, 0 to 1.
    pub loss_ratio: f64,
    /// The first [`FAILURES_NAMED`] failed files.
    pub failures: Vec<FileFailure>,
    /// What files and directories lack that was to be kept of them.
    #[serde(skip_serializing_if = "LackingCount::is_nothing")]
    pub not_kept: LackingCount,
    /// Nothing was changed: files and bytes are what would have been transferred.
    #[serde(skip_serializing_if = "is_false")]
    pub dry_run: bool,
}

impl Outcome {
    /// Returns the time since the session was agreed.
    pub const fn elapsed(&self) -> Duration {
        Duration::from_millis(self.elapsed_ms)
    }

    /// Returns [`ErrorCode::SomeFilesFailed`] when a file failed.
    pub fn code(&self) -> Option<ErrorCode> {
        (self.files_failed > 0).then_some(ErrorCode::SomeFilesFailed)
    }

    /// Sets the rate from bytes and time.
    pub(crate) fn set_mean_rate(&mut self) {
        let moved = self.bytes.saturating_sub(self.resumed_bytes);
        self.mean_rate_kbps = moved.saturating_mul(8) / self.elapsed_ms.max(1);
    }

    /// Counts a failed file, and names it while there is room.
    pub fn add_failure(&mut self, failure: FileFailure) {
        self.files_failed = self.files_failed.saturating_add(1);
        if self.failures.len() < FAILURES_NAMED {
            self.failures.push(failure);
        }
    }
}

/// Text that is safe on a terminal, in a log line and in a window, whoever wrote it.
///
/// One value is one line. What the other side can choose (names, messages, users) reaches people only in
/// this form; the only ways to make one escape it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize)]
#[serde(transparent)]
pub struct ShownText(String);

impl ShownText {
    /// Escapes bytes of any origin.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(docroot::escape_name(bytes).into_owned())
    }

    /// Makes a message safe whose parts may be escaped already: backslashes stay single.
    pub fn from_message(text: &str) -> Self {
        Self(docroot::escape_message(text).into_owned())
    }

    /// Returns the escaped text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ShownText {
    fn from(text: &str) -> Self {
        Self::from_bytes(text.as_bytes())
    }
}

impl fmt::Display for ShownText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

fn as_text<T: fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn as_optional_text<T: fmt::Display, S: Serializer>(
    value: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

fn as_number<S: Serializer>(code: &ErrorCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u8(code.number())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn p15_hostile_names_stay_on_one_harmless_line() {
        for (bytes, shown) in [
            (&b"plain name.txt"[..], "plain name.txt"),
            (b"two\nlines\t\r", "two\\nlines\\t\\r"),
            (b"\x1b[2Jgone", "\\u{1b}[2Jgone"),
            (b"\xff\xfe.bin", "\\xff\\xfe.bin"),
            ("a\u{202e}gpj.exe".as_bytes(), "a\\u{202e}gpj.exe"),
            ("c1\u{9b}31m".as_bytes(), "c1\\u{9b}31m"),
            ("del\u{7f}".as_bytes(), "del\\u{7f}"),
            (
                "sep\u{2028}\u{2029}\u{2066}\u{2069}".as_bytes(),
                "sep\\u{2028}\\u{2029}\\u{2066}\\u{2069}",
            ),
            ("Grüße 你好".as_bytes(), "Grüße 你好"),
        ] {
            assert_eq!(docroot::escape_name(bytes), shown);
        }
    }

    #[test]
    fn p15_an_escaped_name_cannot_be_imitated_by_a_literal_one() {
        assert_ne!(
            docroot::escape_name(b"\xff"),
            docroot::escape_name(b"\\xff")
        );
        assert_ne!(
            docroot::escape_name("\u{202e}".as_bytes()),
            docroot::escape_name(b"\\u{202e}")
        );
    }

    #[test]
    fn p15_a_message_with_an_escaped_name_in_it_is_not_escaped_twice() {
        let name = ShownText::from("a\u{202e}b");
        let message = format!("no file '{name}'\nhere");
        assert_eq!(
            ShownText::from_message(&message).as_str(),
            "no file 'a\\u{202e}b'\\nhere"
        );
    }

    #[test]
    fn events_have_stable_names() {
        let started = Event::Started(Started {
            transfer_id: TransferId([1; 16]),
            direction: EventDirection::Send,
            peer: "lea@host:33001".into(),
            session_id: SessionId(0x2a),
            cipher: DatagramCipher::Aes256Gcm,
            policy: RatePolicy::Fair,
            target_rate_kbps: None,
            rate_cap_kbps: Some(20_000),
        });
        assert_eq!(
            serde_json::to_value(&started).unwrap(),
            json!({
                "event": "started",
                "transfer_id": "01010101010101010101010101010101",
                "direction": "send",
                "peer": "lea@host:33001",
                "session_id": "000000000000002a",
                "cipher": "aes-256-gcm",
                "policy": "fair",
                "target_rate_kbps": null,
                "rate_cap_kbps": 20_000,
            })
        );
        let failed = Event::FileFailed(FileFailure {
            path: "a/b".into(),
            code: ErrorCode::NoSpace,
            message: "no space left".into(),
        });
        assert_eq!(
            serde_json::to_value(&failed).unwrap(),
            json!({"event": "file_failed", "path": "a/b", "code": 25, "message": "no space left"})
        );
        let changed = Event::RateChanged(RateChange {
            policy: Some(RatePolicy::High),
            ..RateChange::default()
        });
        assert_eq!(
            serde_json::to_value(&changed).unwrap(),
            json!({"event": "rate_changed", "policy": "high"})
        );
    }

    #[test]
    fn an_outcome_names_the_first_failures_and_counts_them_all() {
        let mut outcome = Outcome::default();
        assert_eq!(outcome.code(), None);
        for _ in 0..FAILURES_NAMED + 5 {
            outcome.add_failure(FileFailure {
                path: "x".into(),
                code: ErrorCode::DiskRead,
                message: "unreadable".into(),
            });
        }
        assert_eq!(outcome.failures.len(), FAILURES_NAMED);
        assert_eq!(outcome.files_failed, FAILURES_NAMED as u64 + 5);
        assert_eq!(outcome.code(), Some(ErrorCode::SomeFilesFailed));
    }
}
