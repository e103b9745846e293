//! The lines that say who transferred how much, with the key names that log readers know.

use std::net::SocketAddr;

use fasp_core::session::Statistics;
use fasp_core::{DatagramCipher, ErrorCode, Rate, RatePolicy, TransferId};
use fasp_net::event::{EventDirection, Outcome};
use tracing::{error, info};

use crate::users::UserName;

/// What identifies a session in the log. Paths are left out: they are the user's business.
#[derive(Debug, Clone)]
pub struct SessionRecord {
    /// The transfer, `uuid=`.
    pub transfer_id: TransferId,
    /// Which way the files go, `op=`.
    pub direction: EventDirection,
    /// Who asked, `user=`.
    pub user: UserName,
    /// Our end of the data path, `local=`.
    pub local: SocketAddr,
    /// The other end, `peer=`.
    pub peer: SocketAddr,
    /// What the sender may reach, `targetrate=`, bit/s; `None` is found by measurement.
    pub target_rate: Option<Rate>,
    /// What the sender keeps, `minrate=`, bit/s.
    pub min_rate: Rate,
    /// How the link is shared, `rate_policy=`.
    pub policy: RatePolicy,
    /// How datagrams are protected, `cipher=`.
    pub cipher: DatagramCipher,
}

/// How a session ended.
#[derive(Debug, Clone, Copy)]
pub enum SessionStatus<'a> {
    /// It ran to its end; files may have failed.
    Ended(&'a Outcome),
    /// It was given up.
    Failed(ErrorCode),
}

impl SessionRecord {
    /// Logs that the session started, and with which parameters.
    pub fn log_start(&self) {
        info!(
            uuid = %self.transfer_id,
            op = self.operation(),
            status = "started",
            user = self.user.as_str(),
            local = %self.local,
            peer = %self.peer,
            "FASP Session Start"
        );
        info!(
            uuid = %self.transfer_id,
            user = self.user.as_str(),
            // 0 stands for "by measurement", as a rate of nothing cannot be asked for.
            targetrate = self.target_rate.map_or(0, Rate::bits_per_second),
            minrate = self.min_rate.bits_per_second(),
            rate_policy = self.policy.name(),
            cipher = self.cipher.name(),
            "FASP Session Params"
        );
    }

    /// Logs how far the session is.
    pub fn log_statistics(&self, statistics: &Statistics) {
        info!(
            uuid = %self.transfer_id,
            op = self.operation(),
            user = self.user.as_str(),
            bytes = statistics.payload_delivered + statistics.payload_received,
            rate_kbps = statistics.rate.kbps(),
            rtt_us = u64::try_from(statistics.rtt.as_micros()).unwrap_or(u64::MAX),
            loss = statistics.loss,
            "FASP Session Statistics"
        );
    }

    /// Logs that the session ended, and how.
    pub fn log_stop(&self, status: SessionStatus<'_>) {
        match status {
            SessionStatus::Ended(outcome) => self.log_end(outcome),
            SessionStatus::Failed(code) => error!(
                uuid = %self.transfer_id,
                op = self.operation(),
                status = "failed",
                errcode = code.number(),
                errstr = code.meaning(),
                user = self.user.as_str(),
                local = %self.local,
                peer = %self.peer,
                "FASP Session Stop"
            ),
        }
    }

    fn log_end(&self, outcome: &Outcome) {
        info!(
            uuid = %self.transfer_id,
            op = self.operation(),
            status = if outcome.code().is_none() { "success" } else { "failed" },
            errcode = outcome.code().map_or(0, ErrorCode::number),
            user = self.user.as_str(),
            local = %self.local,
            peer = %self.peer,
            files = outcome.files_done,
            skipped = outcome.files_skipped,
            failed = outcome.files_failed,
            bytes = outcome.bytes,
            elapsed_ms = outcome.elapsed_ms,
            rate_kbps = outcome.mean_rate_kbps,
            loss = outcome.loss_ratio,
            "FASP Session Stop"
        );
    }

    fn operation(&self) -> &'static str {
        match self.direction {
            EventDirection::Send => "send",
            EventDirection::Receive => "recv",
        }
    }
}
