//! How long a session waits, and what it logs.

use std::time::Duration;

use super::{Read, Sourced};
use crate::error::Result;

/// How long a session waits.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeouts {
    /// For the first datagram.
    pub connection: Sourced<Duration>,
    /// For any datagram once there was one.
    pub session: Sourced<Duration>,
}

/// What a session logs besides its start and its end.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRule {
    /// A line for every file.
    pub files: Sourced<bool>,
    /// A line with figures each time so long has passed; zero is never.
    pub interval: Sourced<Duration>,
}

impl Timeouts {
    pub(super) fn of(read: &Read<'_, '_>) -> Result<Self> {
        Ok(Self {
            connection: read
                .number("connection_timeout_sec")?
                .map(Duration::from_secs),
            session: read.number("session_timeout_sec")?.map(Duration::from_secs),
        })
    }
}

impl LogRule {
    pub(super) fn of(read: &Read<'_, '_>) -> Result<Self> {
        Ok(Self {
            files: read.bool("transfer_log_files_activity")?,
            interval: read
                .number("transfer_log_stats_interval")?
                .map(Duration::from_secs),
        })
    }
}
