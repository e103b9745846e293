//! The transfer protocol on real networks.
//!
//! [`request`] is what goes into a transfer, [`event`] what comes out of it while it runs; both are plain data. The
//! [`control`] channel settles who is on the other side and what is agreed; the state machines of `fasp-core` carry it out.

pub mod control;
mod error;
pub mod event;
pub mod request;

pub use error::Error;
