//! What a transfer server keeps and enforces: its users, its limits, its state directory and its log.
//!
//! * [`state::StateDir`] holds everything that survives a restart, readable by one account only.
//! * [`users::UserStore`] answers who may log in, where their files are and what they may do; it is what
//!   [`fasp_net::control::ssh::server::Endpoint`] asks.
//! * [`limits::SessionRegistry`] counts what is open and refuses what would be too much.
//! * [`log`] writes one line a fact, as `key=value` or JSON, whatever a peer called itself.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use fasp_server::{state::StateDir, users::UserStore};
//!
//! # fn main() -> Result<(), fasp_server::Error> {
//! let state = Arc::new(StateDir::open("/var/lib/connect".as_ref())?);
//! let _lock = state.lock_server()?;
//! let store = UserStore::new(state);
//! let lea = store.current()?.verify_password("lea", b"correct horse battery");
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod admission;
mod error;
pub mod limits;
pub mod log;
pub mod operator_file;
pub mod state;
pub mod users;

pub use error::Error;
