//! What a user has chosen for all transfers, as the windows of a graphical client would show it.
//!
//! [`Settings`] is the user's own settings file. It holds no secrets.
#![forbid(unsafe_code)]

mod error;
mod settings;

pub use error::{Error, Result};
pub use settings::{ContentProtection, Settings};
