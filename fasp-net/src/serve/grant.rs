//! What an account may do, decided by the program around this library.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use docroot::Docroot;
use fasp_core::{DatagramCipher, ErrorCode, Rate, RatePolicy};

use crate::Error;
use crate::control::message;
use crate::control::message::{List, Open};
use crate::engine::{Command, Report};
use crate::serve::Client;

/// Hears every report of a session: logs it, counts it, holds its place until it ends.
pub type Observer = Box<dyn FnMut(&Report) + Send>;

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
    /// Upper limit of the target rate.
    pub rate_cap: Option<Rate>,
    /// Upper limit of the target rate under the `fixed` policy; nothing forbids the policy (rule W-30).
    pub fixed_cap: Option<Rate>,
    /// Ciphers that are allowed.
    pub ciphers: Vec<DatagramCipher>,
    /// Held as long as the session lives.
    pub place: Option<Arc<dyn Any + Send + Sync>>,
}

impl Grant {
    /// The policy and cap in force for a wish.
    pub(super) fn policy(&self, wanted: RatePolicy) -> (RatePolicy, Option<Rate>) {
        match (wanted, self.fixed_cap) {
            (RatePolicy::Fixed, Some(fixed)) => {
                let cap = self.rate_cap.map_or(fixed, |cap| cap.min(fixed));
                (RatePolicy::Fixed, Some(cap))
            }
            (RatePolicy::Fixed, None) => (RatePolicy::Fair, self.rate_cap),
            (policy, _) => (policy, self.rate_cap),
        }
    }

    /// Clamps a change in flight to what is granted.
    pub(super) fn clamp(&self, wish: &message::Rate) -> Command {
        let policy = wish.policy.map(|policy| self.policy(policy).0);
        let cap = self.rate_cap.unwrap_or(Rate::MAX);
        Command::Rates {
            target: wish.target_rate.map(|rate| rate.min(cap)),
            min: wish.min_rate.map(|rate| rate.min(cap)),
            policy,
        }
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
}

impl Refusal {
    /// A refusal without advice.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
        }
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
        }
    }
}
