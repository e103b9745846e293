//! What administrators and a server say to each other.

use serde::{Deserialize, Serialize};

/// A wish of an administrator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
#[non_exhaustive]
pub enum AdminRequest {
    /// How is it?
    Status,
    /// Ends a session.
    Stop {
        /// The session's id, 16 hexadecimal digits; or a transfer's, all of whose sessions end.
        id: String,
    },
    /// Changes a session's rates.
    Rate {
        /// As for [`AdminRequest::Stop`].
        id: String,
        /// What is changed.
        #[serde(flatten)]
        steering: SessionSteering,
    },
    /// Reads the configuration again.
    Reload,
    /// Lets nobody in any more and ends when the last session has.
    Drain,
}

/// What an administrator changes about a session; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionSteering {
    /// The highest rate, kbit/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_rate_kbps: Option<u64>,
    /// The minimum rate, kbit/s; of downloads only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_rate_kbps: Option<u64>,
    /// The policy's name; of downloads only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// What a server answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
#[non_exhaustive]
pub enum AdminAnswer {
    /// To [`AdminRequest::Status`].
    Status(Box<ServerStatus>),
    /// It was done, to so many sessions.
    Done {
        /// How many.
        sessions: u64,
    },
    /// It was not done.
    Refused {
        /// Why, as a sentence without a full stop.
        message: String,
    },
}

/// How a server is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServerStatus {
    /// The version of the program.
    pub version: String,
    /// The process.
    pub pid: u32,
    /// Where it listens.
    pub listen: String,
    /// The UDP port of data.
    pub udp_port: u16,
    /// Since when it runs, seconds.
    pub uptime_s: u64,
    /// The configuration in force, if there is one.
    pub conf: Option<String>,
    /// It lets nobody in any more.
    pub is_draining: bool,
    /// All sessions together, kbit/s.
    pub rate_kbps: u64,
    /// The sessions.
    pub sessions: Vec<SessionStatusLine>,
    /// Who has sessions.
    pub users: Vec<UserStatus>,
    /// The virtual links.
    pub vlinks: Vec<LinkStatus>,
}

/// A session that runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SessionStatusLine {
    /// Its id.
    pub id: String,
    /// Its transfer.
    pub transfer_id: String,
    /// Who started it.
    pub user: String,
    /// From where.
    pub peer: String,
    /// `send` or `receive`, as the client sees it.
    pub direction: String,
    /// How it shares the link.
    pub policy: String,
    /// What it moves now, kbit/s.
    pub rate_kbps: u64,
    /// The target rate, kbit/s; absent when it is found by measurement.
    pub target_rate_kbps: Option<u64>,
    /// What it may reach now, of caps, administrators and virtual links the lowest, kbit/s; absent for no limit.
    pub limit_kbps: Option<u64>,
    /// File data so far, bytes.
    pub bytes: u64,
    /// The round-trip time, microseconds.
    pub rtt_us: u64,
    /// Loss, 0 to 1.
    pub loss_ratio: f64,
    /// Since when it runs, seconds.
    pub elapsed_s: u64,
    /// Its virtual link.
    pub vlink: Option<u8>,
}

/// An account with sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UserStatus {
    /// The account.
    pub name: String,
    /// How many sessions it has.
    pub sessions: u64,
    /// All of them together, kbit/s.
    pub rate_kbps: u64,
}

/// A virtual link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LinkStatus {
    /// Its number.
    pub id: u8,
    /// What people call it.
    pub name: String,
    /// `send` or `receive`, as clients see it, of a link that has a capacity for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    /// What it carries now, kbit/s.
    pub capacity_kbps: u64,
    /// What its sessions use, kbit/s.
    pub used_kbps: u64,
    /// How many there are.
    pub sessions: u64,
}
