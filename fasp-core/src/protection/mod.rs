//! Datagram protection: key schedule, AEAD, replay window (protocol §3, §4.3).

mod aead;
mod cipher;
mod keys;
mod library;
mod replay;

pub(crate) use cipher::Opener;
pub(crate) use cipher::Sealer;
pub(crate) use keys::Flow;
pub use keys::KeyMaterial;
pub(crate) use replay::ReplayWindow;
