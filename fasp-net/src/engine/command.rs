//! What other threads tell a session's thread, and what it tells them.

use crossbeam_channel::{Receiver, Sender};
use fasp_core::session::Statistics;
use fasp_core::{ErrorCode, PathMemory, Rate, RateLimits, RatePolicy};

use crate::event::{Event, Outcome};

/// A wish for a running session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Stop sending data, or continue.
    Pause(bool),
    /// Change rates or policy; what is absent stays.
    Rates {
        /// New target rate.
        target: Option<Rate>,
        /// New minimum rate.
        min: Option<Rate>,
        /// New policy.
        policy: Option<RatePolicy>,
    },
    /// Keep the session below this rate, whatever else is in force; `None` lifts it. Of a receiver it reaches the sender
    /// with the next report (protocol §6.3).
    Limit(Option<Rate>),
    /// End the session well: the other side has said that its work is done.
    Close,
    /// End the session now, with this reason.
    Abort {
        /// The code.
        code: ErrorCode,
        /// For people.
        message: String,
    },
}

/// What a session's thread tells its owner. Most of it is a file's result, so what is large and rare is boxed.
#[derive(Debug, Clone)]
pub enum Report {
    /// The first valid datagram of the peer arrived.
    Connected,
    /// Something for the user.
    Event(Event),
    /// The session's figures, about five times a second.
    Statistics(Box<Statistics>),
    /// Rates or policy were changed: what is in force now.
    Limits(RateLimits),
    /// The session is over; the last report.
    Finished(Box<Finish>),
}

/// How a session ended.
#[derive(Debug, Clone)]
pub struct Finish {
    /// What was done until then.
    pub outcome: Outcome,
    /// Why it ended early, if it did.
    pub error: Option<(ErrorCode, String)>,
    /// Whether the other side said so.
    pub by_peer: bool,
    /// What a sender of files saw of the path.
    pub path: Option<PathMemory>,
    /// The last figures.
    pub statistics: Statistics,
}

impl Finish {
    /// Whether the session did all of its work: one that was given up has no outcome to show, one whose files failed has.
    pub fn is_whole(&self) -> bool {
        self.error.as_ref().is_none_or(|(code, _)| {
            let mut failures = self.outcome.failures.iter();
            *code == ErrorCode::SomeFilesFailed || failures.any(|failure| failure.code == *code)
        })
    }
}

/// A running session, seen from outside its thread.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(super) commands: Sender<Command>,
    /// What the session reports.
    pub reports: Receiver<Report>,
}

impl Handle {
    /// Sends a wish without waiting; one for a session that is over, or has not looked at many others yet, is dropped.
    pub fn offer(&self, command: Command) {
        self.commands.try_send(command).ok();
    }

    /// Sends a wish; one for a session that is over is dropped.
    pub fn send(&self, command: Command) {
        self.commands.send(command).ok();
    }
}
