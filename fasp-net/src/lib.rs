//! The transfer protocol on real networks.
//!
//! So far the [`control`] channel: who is on the other side, and the messages both exchange. What is agreed there is
//! carried out by the state machines of `fasp-core`.

pub mod control;
mod error;

pub use error::Error;
