//! What the sessions of one transfer share at the server (protocol §13.1).

use std::collections::BTreeMap;

use fasp_core::{ErrorCode, SessionId};
use transfer_spec::Direction;

use super::Refusal;
use crate::control::message::Open;
use crate::engine::{Assembly, Destination, Finish, Pool};
use crate::request::MAX_SESSIONS;

/// What the first session leaves for the others.
#[derive(Debug, Clone)]
pub(super) enum Joint {
    /// Of a download with a single session: nothing.
    Alone,
    /// Of a download: the files that no session has taken.
    Send(Pool),
    /// Of an upload.
    Receive {
        destination: Destination,
        assembly: Assembly,
    },
}

impl Joint {
    fn direction(&self) -> Direction {
        match self {
            Self::Send(_) | Self::Alone => Direction::Download,
            Self::Receive { .. } => Direction::Upload,
        }
    }

    /// A session that this was given to has ended.
    fn on_end(&self, is_over: bool) {
        if let Self::Send(pool) = self {
            match is_over {
                true => pool.close(),
                false => pool.leave(),
            }
        }
    }
}

/// A session's place in its transfer, given up when the session ends.
#[derive(Debug)]
pub(super) struct Seat {
    joint: Joint,
    is_first: bool,
    end: SeatEnd,
}

/// How a session used its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SeatEnd {
    /// It never ran.
    NotBegun,
    Well,
    Badly,
}

impl Seat {
    pub(super) fn first(joint: Joint) -> Self {
        Self {
            joint,
            is_first: true,
            end: SeatEnd::NotBegun,
        }
    }

    /// A place for a further session; nothing when there is no work for it any more.
    pub(super) fn further(joint: Joint) -> Option<Self> {
        let has_work = match &joint {
            Joint::Send(pool) => pool.join(),
            Joint::Receive { .. } | Joint::Alone => true,
        };
        has_work.then_some(Self {
            joint,
            is_first: false,
            end: SeatEnd::NotBegun,
        })
    }

    pub(super) fn joint(&self) -> &Joint {
        &self.joint
    }

    /// Remembers how the session ended.
    pub(super) fn on_finish(&mut self, finish: &Finish) {
        self.end = match finish.is_whole() {
            true => SeatEnd::Well,
            false => SeatEnd::Badly,
        };
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let is_over = self.is_first || self.end == SeatEnd::Badly;
        self.joint.on_end(is_over);
    }
}

/// The transfers of one control connection that may have several sessions.
#[derive(Debug, Default)]
pub(super) struct Joints(BTreeMap<[u8; 16], (SessionId, u16, Joint)>);

impl Joints {
    /// What an `Open` for a further session uses; nothing for a first one.
    ///
    /// # Errors
    /// For indices that cannot be, and transfers that are not there.
    pub(super) fn find(&self, open: &Open) -> Result<Option<Joint>, Refusal> {
        let refused = |text: &str| Err(Refusal::new(ErrorCode::Protocol, text));
        let (index, count) = (open.session_index, open.session_count);
        if count == 0 || count > u16::from(MAX_SESSIONS) || index >= u16::from(MAX_SESSIONS) {
            return refused("a transfer has 1 to 16 sessions");
        }
        match (index, self.0.get(&open.transfer_id.0)) {
            (0, None) => Ok(None),
            (0, Some(_)) => refused("the transfer has begun already"),
            (_, None) => refused("the transfer has no first session"),
            (_, Some((_, count, joint))) => {
                if index >= *count || joint.direction() != open.direction {
                    return refused("the session does not fit its transfer");
                }
                Ok(Some(joint.clone()))
            }
        }
    }

    /// Keeps what the first session leaves for the others.
    pub(super) fn insert(&mut self, open: &Opening, id: SessionId, joint: &Joint) {
        if open.index == 0 && open.count > 1 {
            self.0
                .insert(open.transfer, (id, open.count, joint.clone()));
        }
    }

    /// A session has ended; with a first one, its transfer.
    pub(super) fn on_end(&mut self, id: SessionId) {
        self.0.retain(|_, (first, ..)| first.0 != id.0);
    }
}

/// Which session an `Open` asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opening {
    pub(super) transfer: [u8; 16],
    pub(super) index: u16,
    pub(super) count: u16,
}

impl Opening {
    pub(super) fn of(open: &Open) -> Self {
        Self {
            transfer: open.transfer_id.0,
            index: open.session_index,
            count: open.session_count,
        }
    }
}
