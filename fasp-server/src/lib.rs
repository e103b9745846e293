//! What a transfer server keeps and enforces: its users, its limits, its state directory and its log.
//!
//! * [`state::StateDir`] holds everything that survives a restart, readable by one account only.
//! * [`users::UserStore`] answers who may log in, where their files are and what they may do; it is what
//!   [`fasp_net::control::ssh::server::Endpoint`] asks.
//! * [`Server`] is all of it at work: both ports, logins, sessions, an orderly end.
//! * [`limits::SessionRegistry`] counts what is open and refuses what would be too much.
//! * [`log`] writes one line a fact, as `key=value` or JSON, whatever a peer called itself.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use fasp_server::{Server, ServerSettings, state::StateDir};
//!
//! # async fn run() -> Result<(), fasp_server::Error> {
//! let state = Arc::new(StateDir::open("/var/lib/connect-server".as_ref())?);
//! let server = Server::start(ServerSettings::new(state)).await?;
//! println!("listening on {}", server.local_addr());
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod access;
pub mod admin;
mod admission;
mod admit;
mod conf;
mod error;
mod external;
mod hook;
pub mod limits;
mod listen;
pub mod log;
mod manifest;
mod observer;
pub mod operator_file;
mod policy;
mod ports;
mod server;
mod sessions;
pub mod state;
#[cfg(feature = "testing")]
pub mod testing;
pub mod users;
mod vlink;

pub use conf::{ConfSource, LogSettings};
pub use error::Error;
pub use external::{ExternalSettings, USUAL_UDP_PORTS, own_name, serve_external};
pub use server::{Server, ServerSettings};
