//! Pages: what travels reliably besides the blocks of large files (protocol §9).

mod incoming;
mod outgoing;

pub(crate) use incoming::{IncomingPages, Part};
pub(crate) use outgoing::{OutgoingPages, PagePart};
