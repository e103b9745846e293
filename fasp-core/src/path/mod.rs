//! The network path: who is at the other end of it, and how large a datagram it carries (protocol §8).

mod mtu;
mod validation;

pub(crate) use mtu::MtuDiscovery;
pub use validation::AddressToken;
pub(crate) use validation::{Peer, Switch};
