//! What a user has chosen for all transfers, as the windows of a graphical client would show it.
//!
//! [`Settings`] is the user's own settings file. It holds no secrets. [`own_directory`] is where a program keeps what it
//! writes by itself.
#![forbid(unsafe_code)]

mod directory;
mod error;
mod settings;

pub use directory::own_directory;
pub use error::{Error, Result};
pub use settings::{ContentProtection, Settings};
