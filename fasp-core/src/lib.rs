//! The transfer protocol as sans-IO state machines.
#![forbid(unsafe_code)]

mod code;
mod units;

pub use code::{ErrorCode, Fault};
pub use units::{
    DatagramCipher, ParseRateError, Rate, RatePolicy, SessionId, TransferId, UnknownName,
};
