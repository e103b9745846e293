//! A seeded network simulator on virtual time.
//!
//! Nothing here reads a clock, opens a socket or starts a thread: the caller says what time it is
//! with every call, asks for the next moment at which something happens, and jumps there. A day of
//! traffic on a slow link takes as long as its packets take to move through a queue in memory,
//! and the same seed gives the same run. The crate moves packets and knows no protocol.
//!
//! * [`Link`] is one direction of a path: it may police, queue, serialise, lose, corrupt, copy, delay
//!   and reorder, as its [`LinkConfig`] says.
//! * [`Network`] joins hosts by routes over links. Several routes may share a link, which makes it
//!   their common bottleneck.
//! * [`presets`] holds links people know.
//!
//! What it is not: a model of routers with several queues, of ECN, or of any transport.
//!
//! ```
//! use std::time::Instant;
//! use netsim::{Network, presets};
//!
//! let epoch = Instant::now(); // any origin: only differences count
//! let mut network = Network::new(epoch, 7);
//! let alice = network.add_host("10.0.0.1:1000".parse()?)?;
//! let bob = network.add_host("10.0.0.2:2000".parse()?)?;
//! network.connect(alice, bob, presets::satellite(), presets::satellite());
//!
//! network.send(epoch, network.address(alice), network.address(bob), vec![0_u8; 1200]);
//! while let Some(now) = network.next_event() {
//!     while let Some(delivery) = network.poll(now) {
//!         assert_eq!(delivery.host, bob);
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod agenda;
mod clock;
mod config;
mod counters;
mod error;
mod flight;
mod jitter;
mod link;
mod loss;
mod network;
mod payload;
mod policer;
pub mod presets;
mod rng;
mod serialiser;

pub use config::{ArrivalOrder, BlackHole, Flapping, Jitter, LinkConfig, Loss, Policer, Reorder};
pub use counters::{LinkCounters, NetworkCounters};
pub use error::Error;
pub use link::Link;
pub use network::{Delivery, HostId, LinkId, Network};
pub use payload::{Payload, SizeOnly};
pub use rng::Rng;
