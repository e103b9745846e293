//! Several sessions of one transfer, at the client (protocol §13).

mod crew;
mod gather;
mod outcome;
mod recruit;

pub(super) use crew::{Crew, Member, Wanted};
pub(super) use gather::{Gather, News};
pub(super) use outcome::merge;
pub(super) use recruit::{Answer, Recruiter};

use crate::engine::{Assembly, Destination, Pool};

/// What the first session leaves for the others.
#[derive(Debug, Clone)]
pub(super) enum Shared {
    /// Files to send.
    Send { pool: Pool, asks_first: bool },
    /// Where to put files.
    Receive {
        destination: Destination,
        assembly: Assembly,
    },
}

impl Shared {
    /// Counts a further session in; false when there is nothing for it any more.
    fn join(&self) -> bool {
        match self {
            Self::Send { pool, .. } => pool.join(),
            Self::Receive { .. } => true,
        }
    }

    /// A further session has ended well, or never began.
    fn leave(&self) {
        if let Self::Send { pool, .. } = self {
            pool.leave();
        }
    }

    /// The transfer is over.
    fn close(&self) {
        if let Self::Send { pool, .. } = self {
            pool.close();
        }
    }
}
