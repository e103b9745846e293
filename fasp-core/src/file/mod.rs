//! Files that travel as blocks (protocol §9.5).

mod incoming;
mod outgoing;

pub use incoming::BlockWrite;
pub(crate) use incoming::{FileState, IncomingFiles};
pub(crate) use outgoing::{Block, NotInFile, OutgoingFiles};
