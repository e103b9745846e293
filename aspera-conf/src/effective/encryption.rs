//! What has to be encrypted, on the way and on the disk.

use super::{Read, Sourced};
use crate::error::Result;
use crate::schema::Value;

/// How data has to be encrypted on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CipherRule {
    /// As the client asks.
    Any,
    /// Not at all.
    Plain,
    /// With AES and a key of at least so many bits.
    Aes {
        /// 128, 192 or 256.
        bits: u16,
    },
}

/// What has to be encrypted.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Encryption {
    /// On the way.
    pub cipher: Sourced<CipherRule>,
    /// A client that asks for something else is refused, not served otherwise.
    pub is_strict: Sourced<bool>,
    /// Only validated cryptography may be used.
    pub needs_fips: Sourced<bool>,
    /// Uploads have to stay encrypted on the disk.
    pub content_protection_required: Sourced<bool>,
    /// Their passphrases have to be strong.
    pub strong_passphrase_required: Sourced<bool>,
    /// The server has a passphrase of its own for what it stores.
    pub has_own_passphrase: Sourced<bool>,
}

impl Encryption {
    pub(super) fn of(read: &Read<'_, '_>) -> Result<Self> {
        let name = |part: &str| format!("transfer_encryption_{part}");
        let cipher = read.word(&name("allowed_cipher"))?;
        let fips = read.word(&name("fips_mode"))?;
        let secret = name("content_protection_secret");
        Ok(Self {
            cipher: cipher.map(|word| match word {
                "any" => CipherRule::Any,
                "none" => CipherRule::Plain,
                word if word.starts_with("aes-128") => CipherRule::Aes { bits: 128 },
                word if word.starts_with("aes-192") => CipherRule::Aes { bits: 192 },
                _ => CipherRule::Aes { bits: 256 },
            }),
            is_strict: read.bool(&name("strict_allowed_cipher"))?,
            needs_fips: fips.map(|word| !matches!(word, "no" | "false" | "disabled")),
            content_protection_required: read.bool(&name("content_protection_required"))?,
            strong_passphrase_required: read
                .bool(&name("content_protection_strong_pass_required"))?,
            // Whether there is one is all that anybody needs to know.
            has_own_passphrase: read.sourced(
                &secret,
                |value| matches!(value, Some(Value::Text(text)) if !text.is_empty()),
            )?,
        })
    }
}
