//! The transfer protocol as sans-IO state machines.
#![forbid(unsafe_code)]

mod code;

pub use code::{ErrorCode, Fault};
