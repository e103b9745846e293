//! What datagrams look like: header, frames, feedback, and the records inside pages.

pub(crate) mod codec;
pub(crate) mod extra;
pub(crate) mod feedback;
pub(crate) mod frame;
pub(crate) mod header;
pub(crate) mod record;
