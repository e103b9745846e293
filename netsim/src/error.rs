//! What can be wrong with a network under construction.

use std::net::SocketAddr;

/// A network that cannot be built as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address belongs, or once belonged, to another host.
    #[error("address {0} belongs to another host")]
    AddressInUse(SocketAddr),
}
