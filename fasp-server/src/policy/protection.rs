//! What has to be encrypted.

use aspera_conf::effective::{CipherRule, Encryption};
use fasp_core::{DatagramCipher, ErrorCode};
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

/// What the file demands of uploads at rest. Nothing here can see whether a file arrives protected, so what has to be
/// protected cannot arrive.
pub(super) fn uploads(rule: &Encryption, wish: Wish) -> Result<(), Refusal> {
    if wish != Wish::Upload {
        return Ok(());
    }
    if rule.content_protection_required.value {
        let text = "the server demands that uploads stay encrypted, which this version cannot do on the way";
        return Err(Refusal::new(ErrorCode::Authorization, text).hint(ADMINISTRATOR));
    }
    if rule.strong_passphrase_required.value {
        // Without protection there is no passphrase that could be a strong one.
        let text = "the server demands strong passphrases of uploads, which it cannot check";
        return Err(Refusal::new(ErrorCode::Authorization, text).hint(ADMINISTRATOR));
    }
    if rule.has_own_passphrase.value {
        error!("aspera.conf: content_protection_secret is set, and nothing is encrypted with it");
        let text = "the server has to encrypt uploads itself and cannot";
        return Err(Refusal::new(ErrorCode::BadConfiguration, text).hint(ADMINISTRATOR));
    }
    Ok(())
}
