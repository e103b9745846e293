//! The transfer protocol on real networks.
//!
//! [`request`] is what goes into a transfer, [`event`] what comes out of it while it runs: plain data, no socket, no
//! thread, nothing that blocks. [`control`] is the channel on which both sides say who they are and agree; what is
//! agreed there is carried out by the state machines of `fasp-core`.

pub mod control;
mod error;
pub mod event;
pub mod request;

pub use error::Error;
