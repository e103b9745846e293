//! The transfer protocol on real networks.
//!
//! [`request`] is what goes into a transfer, [`event`] what comes out of it while it runs. Both are
//! plain data: no socket, no thread, nothing that blocks.

pub mod event;
pub mod request;
