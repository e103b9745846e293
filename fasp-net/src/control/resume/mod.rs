//! Resumed control connections (protocol §2.5): a ticket in place of a log-in.
//!
//! `offer` is the client's first flight and the keys that follow from it, `record` the stream behind it, `store` what
//! a server remembers, `file` what a client does, `dial` and `welcome` the two ends.

pub mod dial;
mod file;
mod offer;
mod record;
mod store;
pub(super) mod welcome;

use std::time::Duration;

use ring::{hkdf, hmac};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

pub use file::TicketFile;
#[cfg(feature = "testing")]
pub(crate) use offer::{open, seal};
pub use store::{Issuer, Tickets};

/// The first byte of a resumed connection; an SSH client's is `S`.
pub(super) const FIRST_BYTE: u8 = offer::MAGIC[0];

/// Silence after which TCP asks whether the other side is there, as SSH does by itself.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Has the system find out when the other side is gone.
fn watch(stream: &TcpStream) {
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE);
    // A connection that cannot be watched is found dead when something is said on it.
    SockRef::from(stream).set_tcp_keepalive(&keepalive).ok();
}

/// A length for HKDF.
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-Extract with SHA-256, which is HMAC with the salt as key (RFC 5869 §2.2).
fn extract(salt: &[u8], secret: &[u8]) -> hkdf::Prk {
    let key = hmac::Key::new(hmac::HMAC_SHA256, salt);
    hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, hmac::sign(&key, secret).as_ref())
}

/// HKDF-Expand into `out`, which is at most 32 bytes.
fn expand(prk: &hkdf::Prk, info: &[&[u8]], out: &mut [u8]) {
    // One block of SHA-256 is never too long.
    prk.expand(info, Length(out.len()))
        .and_then(|okm| okm.fill(out))
        .expect("at most 32 bytes");
}
