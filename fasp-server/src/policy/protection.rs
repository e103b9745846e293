//! What has to be encrypted.

use aspera_conf::effective::{CipherRule, Encryption};
use fasp_core::{DatagramCipher, ErrorCode};
use fasp_net::control::message::ContentProtection;
use fasp_net::serve::Refusal;
use tracing::error;

use super::{ADMINISTRATOR, Wish};

/// The ciphers that are allowed, of those that the server offers.
pub(super) fn ciphers(
    rule: &Encryption,
    offered: &[DatagramCipher],
) -> Result<Vec<DatagramCipher>, Refusal> {
    if rule.needs_fips.value {
        // No cryptography here has been validated.
        error!("aspera.conf: fips_mode cannot be met, so every session is refused");
        let text = "the server demands validated cryptography and has none";
        return Err(Refusal::new(ErrorCode::CipherRefused, text).hint(ADMINISTRATOR));
    }
    let strict = match rule.cipher.value {
        CipherRule::Any => return Ok(offered.to_vec()),
        CipherRule::Plain => vec![DatagramCipher::None],
        CipherRule::Aes { bits } if bits <= 128 => {
            // A longer key than the server's is fine: the client asked for it.
            vec![DatagramCipher::Aes128Gcm, DatagramCipher::Aes256Gcm]
        }
        CipherRule::Aes { .. } => vec![DatagramCipher::Aes256Gcm],
    };
    if rule.is_strict.value {
        return Ok(strict);
    }
    let others = offered.iter().filter(|cipher| !strict.contains(cipher));
    Ok(strict.iter().chain(others).copied().collect())
}

/// What uploads have to be at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct AtRest {
    pub(super) is_protected: bool,
    has_strong_passphrase: bool,
}

impl AtRest {
    /// Looks whether what a client says of its files is enough. Of the passphrase it alone can know; what is no envelope
    /// by its name does not come in all the same.
    ///
    /// # Errors
    /// What the client is told.
    pub(crate) fn check(self, claim: ContentProtection) -> Result<(), Refusal> {
        let demands = match self.has_strong_passphrase {
            true => ContentProtection::StrongPassphrase,
            false => ContentProtection::Passphrase,
        };
        let refused = |text: &str, hint: &str| {
            let refusal = Refusal::new(ErrorCode::Authorization, text.to_owned());
            Err(refusal.hint(hint).demanding(demands))
        };
        match claim {
            ContentProtection::None if self.is_protected => refused(
                "the server takes protected files only",
                "add --protect to encrypt the files on their way",
            ),
            ContentProtection::Passphrase if self.has_strong_passphrase => refused(
                "the server demands a stronger passphrase",
                "use six characters or more, with a letter, a digit and a special character, and nothing usual",
            ),
            _ => Ok(()),
        }
    }
}

/// What the file demands of uploads at rest.
pub(super) fn uploads(rule: &Encryption, wish: Wish) -> Result<AtRest, Refusal> {
    if wish != Wish::Upload {
        return Ok(AtRest::default());
    }
    if rule.has_own_passphrase.value {
        error!("aspera.conf: content_protection_secret is set, and nothing is encrypted with it");
        let text = "the server has to encrypt uploads itself and cannot";
        return Err(Refusal::new(ErrorCode::BadConfiguration, text).hint(ADMINISTRATOR));
    }
    Ok(AtRest {
        is_protected: rule.content_protection_required.value,
        has_strong_passphrase: rule.strong_passphrase_required.value,
    })
}
