//! The lines of a client's transfer, with the key names that log readers know.

use std::cell::RefCell;

use fasp_core::{ErrorCode, Rate};
use fasp_net::{
    Error,
    event::{Event, EventDirection, FileFailure, Outcome, Started},
    request::TransferOptions,
};
use tracing::{debug, error, info, trace};

use super::logging::TRANSFER;
use crate::{resolve::Server, ui};

/// Writes down what happens in one transfer.
#[derive(Debug)]
pub(super) struct TransferLog {
    user: String,
    tcp_port: Option<u16>,
    options: TransferOptions,
    session: RefCell<Session>,
}

/// What every line names, once it is known.
#[derive(Debug, Default)]
struct Session {
    uuid: String,
    op: &'static str,
    peer: String,
}

impl TransferLog {
    pub(super) fn new(server: &Server, options: &TransferOptions) -> Self {
        Self {
            user: server.user.clone().unwrap_or_default(),
            tcp_port: server.port,
            options: options.clone(),
            session: RefCell::default(),
        }
    }

    pub(super) fn event(&self, event: &Event) {
        if let Event::Started(started) = event {
            self.start(started);
            return;
        }
        let session = self.session.borrow();
        let (uuid, op) = (session.uuid.as_str(), session.op);
        match event {
            Event::FileDone { path, size, .. } => {
                debug!(target: TRANSFER, uuid, op, status = "success", file = path.as_str(), size, "FASP Transfer Stop");
            }
            Event::FileSkipped { path, reason } => {
                debug!(target: TRANSFER, uuid, op, status = "skipped", file = path.as_str(), errstr = reason.as_str(), "FASP Transfer Stop");
            }
            Event::FileFailed(failure) => failed(uuid, op, failure),
            Event::RateChanged(change) => {
                info!(target: TRANSFER, uuid, targetrate_kbps = change.target_rate_kbps, minrate_kbps = change.min_rate_kbps, rate_policy = change.policy.map(|policy| policy.name()), "FASP Rate Change");
            }
            Event::Retrying(retrying) => {
                info!(target: TRANSFER, uuid, op, retry = retrying.retry, retries = retrying.retries, errcode = retrying.code.number(), errstr = retrying.message.as_str(), delay_ms = retrying.delay_ms, "FASP Session Retry");
            }
            Event::NotKept { path, what } => {
                debug!(target: TRANSFER, uuid, op, file = path.as_str(), what = %what, "FASP Attributes Not Kept");
            }
            Event::Notice { message } => {
                info!(target: TRANSFER, uuid, notice = message.as_str(), "FASP Session Notice");
            }
            Event::Totals(totals) => {
                debug!(target: TRANSFER, uuid, files = totals.files, bytes = totals.bytes, complete = totals.complete, "FASP Session Totals");
            }
            Event::Progress(progress) => {
                trace!(
                    target: TRANSFER,
                    uuid,
                    bytes = progress.bytes_done,
                    rate_kbps = progress.rate_kbps,
                    targetrate_kbps = progress.target_rate_kbps,
                    rtt_us = progress.rtt_us,
                    delay_us = progress.queueing_delay_us,
                    loss = progress.loss_ratio,
                    rex_bytes = progress.retransmitted_bytes,
                    "FASP Session Statistics"
                );
            }
            // The session's end has its own line.
            _ => {}
        }
    }

    fn start(&self, started: &Started) {
        let session = Session {
            uuid: started.transfer_id.to_string(),
            op: match started.direction {
                EventDirection::Send => "send",
                EventDirection::Receive => "recv",
            },
            peer: started.peer.to_string(),
        };
        info!(
            target: TRANSFER,
            uuid = session.uuid,
            op = session.op,
            status = "started",
            user = self.user,
            peer = session.peer,
            tcp_port = self.tcp_port,
            "FASP Session Start"
        );
        info!(
            target: TRANSFER,
            uuid = session.uuid,
            user = self.user,
            // 0 stands for "by measurement".
            targetrate = started.target_rate_kbps.map_or(0, |kbps| kbps.saturating_mul(1000)),
            minrate = self.options.min_rate.bits_per_second(),
            rate_policy = started.policy.name(),
            cipher = started.cipher.name(),
            resume = self.options.resume.level(),
            ovr = self.options.overwrite.name(),
            create = self.options.create_dir,
            "FASP Session Params"
        );
        self.session.replace(session);
    }

    /// The session has ended, or never began.
    pub(super) fn stop(&self, result: Result<&Outcome, &Error>) {
        let session = self.session.borrow();
        let Session { uuid, op, peer } = &*session;
        match result {
            Ok(outcome) => {
                let code = outcome.code();
                info!(
                    target: TRANSFER,
                    uuid,
                    op,
                    status = if code.is_none() { "success" } else { "failed" },
                    errcode = code.map_or(0, ErrorCode::number),
                    user = self.user,
                    peer,
                    files = outcome.files_done,
                    skipped = outcome.files_skipped,
                    failed = outcome.files_failed,
                    bytes = outcome.bytes,
                    elapsed_ms = outcome.elapsed_ms,
                    rate = Rate::from_kbps(outcome.mean_rate_kbps).to_string(),
                    loss = outcome.loss_ratio,
                    "FASP Session Stop"
                );
            }
            Err(error) => error!(
                target: TRANSFER,
                uuid,
                op,
                status = "failed",
                errcode = error.code().number(),
                errstr = ui::error_sentence(error),
                user = self.user,
                peer,
                "FASP Session Stop"
            ),
        }
    }
}

fn failed(uuid: &str, op: &str, failure: &FileFailure) {
    error!(
        target: TRANSFER,
        uuid,
        op,
        status = "failed",
        file = failure.path.as_str(),
        errcode = failure.code.number(),
        errstr = failure.message.as_str(),
        "FASP Transfer Stop"
    );
}
