//! Our own SSH endpoint and the client for it: the `connect` subsystem on TCP 33001.

mod attempts;
pub mod client;
pub mod credentials;
mod doubled;
pub(in crate::control) mod gate;
mod host_key;
mod identification;
mod login;
mod proof;
pub mod server;
mod transcript;
mod trust;

use std::{borrow::Cow, time::Duration};

use russh::{
    Limits, Preferred, cipher, compression, kex,
    keys::{Algorithm, EcdsaCurve, HashAlg},
    mac,
};

pub use host_key::HostKey;
pub use russh::keys::PublicKey;
#[cfg(feature = "testing")]
pub(crate) use transcript::recorded;

/// The TCP port of our endpoint.
pub const DEFAULT_PORT: u16 = 33001;
/// The only subsystem served and asked for.
const SUBSYSTEM: &str = "connect";
/// Silence after which the other side is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Unanswered questions after which the connection counts as lost.
const KEEPALIVES: usize = 3;

/// Returns what is negotiated (W-38): strict key exchange, no SHA-1, no CBC, no compression.
fn algorithms() -> Preferred {
    Preferred {
        kex: Cow::Borrowed(&[
            kex::MLKEM768X25519_SHA256,
            kex::CURVE25519,
            kex::CURVE25519_PRE_RFC_8731,
            kex::DH_G16_SHA512,
            kex::EXTENSION_SUPPORT_AS_CLIENT,
            kex::EXTENSION_SUPPORT_AS_SERVER,
            kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
            kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
        ]),
        key: Cow::Borrowed(&[
            Algorithm::Ed25519,
            Algorithm::Ecdsa {
                curve: EcdsaCurve::NistP256,
            },
            Algorithm::Ecdsa {
                curve: EcdsaCurve::NistP384,
            },
            Algorithm::Ecdsa {
                curve: EcdsaCurve::NistP521,
            },
            Algorithm::Rsa {
                hash: Some(HashAlg::Sha512),
            },
            Algorithm::Rsa {
                hash: Some(HashAlg::Sha256),
            },
        ]),
        host_key_certificates: Cow::Borrowed(&[]),
        cipher: Cow::Borrowed(&[
            cipher::CHACHA20_POLY1305,
            cipher::AES_256_GCM,
            cipher::AES_256_CTR,
            cipher::AES_128_CTR,
        ]),
        mac: Cow::Borrowed(&[
            mac::HMAC_SHA512_ETM,
            mac::HMAC_SHA256_ETM,
            mac::HMAC_SHA512,
            mac::HMAC_SHA256,
        ]),
        compression: Cow::Borrowed(&[compression::NONE]),
    }
}

/// New keys after 1 GiB or an hour (W-38).
fn rekey_limits() -> Limits {
    Limits::new(1 << 30, 1 << 30, Duration::from_secs(3600))
}
