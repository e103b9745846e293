//! Public keys that open an account.

use fasp_net::event::ShownText;
use serde::{Deserialize, Serialize};
use ssh_key::{Algorithm, HashAlg, PublicKey, public::KeyData};

use crate::Error;

/// The fewest bits of an RSA key that is accepted.
const RSA_BITS_MIN: u32 = 2048;

/// How much of a bad line an error shows.
const SHOWN_BYTES: usize = 40;

/// One public key, as OpenSSH writes it into `authorized_keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AuthorizedKey {
    line: String,
    blob: Vec<u8>,
    fingerprint: String,
}

impl AuthorizedKey {
    /// Parses one line.
    ///
    /// Options in front of the key are refused: they are restrictions, and we would not enforce them.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidKey`] for anything but a sound Ed25519, ECDSA or RSA key.
    pub fn parse(line: &str) -> Result<Self, Error> {
        let line = line.trim();
        let invalid = |reason| Error::InvalidKey {
            line: ShownText::from_bytes(&line.as_bytes()[..line.len().min(SHOWN_BYTES)]),
            reason,
        };
        let key = PublicKey::from_openssh(line).map_err(|_| invalid("not a public key"))?;
        check_strength(&key).map_err(invalid)?;
        let blob = key.to_bytes().map_err(|_| invalid("not a public key"))?;
        Ok(Self {
            line: line.to_owned(),
            blob,
            fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
        })
    }

    /// Parses a whole file: one key a line, empty lines and lines that start with `#` do not count.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidKey`] for the first line that is neither, and for a file without any key.
    pub fn parse_file(text: &str) -> Result<Vec<Self>, Error> {
        let keys: Vec<Self> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(Self::parse)
            .collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err(Error::InvalidKey {
                line: ShownText::default(),
                reason: "no public key in the file",
            });
        }
        Ok(keys)
    }

    /// Returns the key in SSH wire format.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// Returns the fingerprint, `SHA256:…`.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

fn check_strength(key: &PublicKey) -> Result<(), &'static str> {
    match (key.algorithm(), key.key_data()) {
        (Algorithm::Ed25519 | Algorithm::Ecdsa { .. }, _) => Ok(()),
        (Algorithm::Rsa { .. }, KeyData::Rsa(rsa)) => {
            let bits = rsa.n().as_positive_bytes().map_or(0, bit_length);
            if bits >= RSA_BITS_MIN {
                Ok(())
            } else {
                Err("an RSA key below 2,048 bits")
            }
        }
        _ => Err("a key of a kind that is not accepted"),
    }
}

/// Counts the bits of a big-endian number without leading zero bytes.
fn bit_length(bytes: &[u8]) -> u32 {
    let Some(first) = bytes.first() else { return 0 };
    let whole = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    whole.saturating_mul(8) - first.leading_zeros()
}

impl TryFrom<String> for AuthorizedKey {
    type Error = Error;

    fn try_from(line: String) -> Result<Self, Error> {
        Self::parse(&line)
    }
}

impl From<AuthorizedKey> for String {
    fn from(key: AuthorizedKey) -> Self {
        key.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key made for this test; its private half was thrown away.
    const ED25519: &str = "ssh-ed25519 \
        AAAAC3NzaC1lZDI1NTE5AAAAIB2cP7nV2ktxsWvOKRDCJ2J5Ul7Tdt3KNg5KpdnC4Rfx lea@host";

    #[test]
    fn a_file_may_have_comments_and_several_keys() {
        let text = format!("# laptop\n\n{ED25519}\n  {ED25519}  \n");
        let keys = AuthorizedKey::parse_file(&text).unwrap();
        assert_eq!(keys.len(), 2);
        assert!(keys[0].fingerprint().starts_with("SHA256:"));
        assert_eq!(keys[0].blob(), keys[1].blob());
    }

    #[test]
    fn options_private_keys_and_noise_are_refused() {
        for line in [
            &format!("command=\"/bin/true\" {ED25519}"),
            "-----BEGIN OPENSSH PRIVATE KEY-----",
            "ssh-ed25519 AAAA",
            "ssh-dss AAAAB3NzaC1kc3M=",
            "",
            "\u{1b}[2J",
        ] {
            assert!(AuthorizedKey::parse(line).is_err(), "{line:?}");
        }
        assert!(AuthorizedKey::parse_file("# nothing\n").is_err());
    }

    #[test]
    fn the_length_of_a_modulus_is_counted_in_bits() {
        assert_eq!(bit_length(&[]), 0);
        assert_eq!(bit_length(&[1]), 1);
        assert_eq!(bit_length(&[0x80, 0]), 16);
        assert_eq!(bit_length(&[0x7f; 256]), 2047);
    }
}
