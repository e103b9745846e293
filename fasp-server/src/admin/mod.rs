//! The administrators' way into a running server: a Unix socket in the state directory, one line of JSON each way.
//!
//! Only the account that runs the server, and root, can use it: the directory is 0700, the socket 0600, and the peer's
//! credentials are looked at besides.

mod client;
mod message;
mod socket;

use serde::{Serialize, de::DeserializeOwned};

pub use client::AdminClient;
pub use message::{
    AdminAnswer, AdminRequest, LinkStatus, ServerStatus, SessionStatusLine, SessionSteering,
    UserStatus,
};
pub(crate) use socket::{AdminSocket, serve};

/// Reads what the other side says in a line.
pub(crate) fn read<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    serde_json::from_slice(line).ok()
}

/// Writes a line.
pub(crate) fn written(said: &impl Serialize) -> std::io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(said).map_err(std::io::Error::other)?;
    line.push(b'\n');
    Ok(line)
}

/// The longest request, bytes.
const MAX_REQUEST: u64 = 64 << 10;
/// The longest answer, bytes: 1,024 sessions with a line of a few hundred bytes each have room in it many times over.
const MAX_ANSWER: u64 = 4 << 20;
/// How long the other side may take to say its line.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
