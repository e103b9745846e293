//! The control channel (protocol §2): an authenticated, ordered stream of messages between client and server.

pub mod external;
mod file_rules;
mod framing;
pub mod known_hosts;
pub mod message;
pub mod resume;
pub(crate) mod source_pages;
pub mod ssh;
mod user_file;
mod wire;

pub use framing::{Control, ControlReceiver, ControlSender};
pub use message::Message;
pub use source_pages::{MAX_SOURCE_BYTES, MAX_SOURCES};
