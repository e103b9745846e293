//! A key that proves itself in one step (protocol §2.9).
//!
//! RFC 4252 asks first whether a key would do, and russh cannot be told to leave that out. The proof is a signature of the
//! form that `ssh-keygen -Y sign` makes, of its own namespace, so it is no answer to anything else that a key is asked.

use russh::keys::{HashAlg, PrivateKey, PublicKey, ssh_key::LineEnding, ssh_key::SshSig};

/// What the signature is for.
const NAMESPACE: &str = "fdc1-login";
/// Longest proof looked at; that of an RSA key of 16,384 bits has some 6,000 bytes.
const MAX_PROOF: usize = 8 * 1024;

/// Signs that this user logs in on this connection; `None` for a key that cannot.
pub(super) fn sign(key: &PrivateKey, user: &str, binding: &[u8; 32]) -> Option<String> {
    let said = said(user, binding);
    let signature = key.sign(NAMESPACE, HashAlg::Sha512, &said).ok()?;
    is_allowed(&signature)
        .then(|| signature.to_pem(LineEnding::LF).ok())
        .flatten()
}

/// Returns the key that signed that this user logs in on this connection.
pub(super) fn verify(proof: &str, user: &str, binding: &[u8; 32]) -> Option<PublicKey> {
    if proof.len() > MAX_PROOF {
        return None;
    }
    let signature = SshSig::from_pem(proof).ok()?;
    let key = PublicKey::from(signature.public_key().clone());
    let is_valid = key
        .verify(NAMESPACE, &said(user, binding), &signature)
        .is_ok();
    (is_valid && is_allowed(&signature)).then_some(key)
}

/// The binding stands for the connection with its host key, so the proof is worth nothing to anybody else.
fn said(user: &str, binding: &[u8; 32]) -> Vec<u8> {
    [&binding[..], user.as_bytes()].concat()
}

/// Keys of users may use what those of hosts may.
fn is_allowed(signature: &SshSig) -> bool {
    super::algorithms().key.contains(&signature.algorithm())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test set-up")]
mod tests {
    use data_encoding::BASE64;
    use proptest::prelude::*;
    use russh::keys::ssh_key::private::Ed25519Keypair;

    use super::*;

    const BINDING: [u8; 32] = [7; 32];

    fn key() -> PrivateKey {
        PrivateKey::from(Ed25519Keypair::from_seed(&[1; 32]))
    }

    fn signature(proof: &str) -> Vec<u8> {
        let signature = SshSig::from_pem(proof).unwrap();
        signature.signature_bytes().to_vec()
    }

    #[test]
    fn w38_a_proof_holds_for_its_user_and_connection_only() {
        let key = key();
        let proof = sign(&key, "ada", &BINDING).unwrap();
        let proven = verify(&proof, "ada", &BINDING).unwrap();
        assert_eq!(proven.key_data(), key.public_key().key_data());
        assert_eq!(verify(&proof, "eve", &BINDING), None);
        assert_eq!(verify(&proof, "ada", &[8; 32]), None);
        assert_eq!(verify(&proof, "", &BINDING), None);
    }

    #[test]
    fn signatures_for_something_else_and_damaged_ones_prove_nothing() {
        let key = key();
        let other = key.sign("file", HashAlg::Sha512, &said("ada", &BINDING));
        let other = other.unwrap().to_pem(LineEnding::LF).unwrap();
        assert_eq!(verify(&other, "ada", &BINDING), None);

        let proof = sign(&key, "ada", &BINDING).unwrap();
        for at in 0..proof.trim_end().len() {
            assert_eq!(verify(&proof[..at], "ada", &BINDING), None, "{at}");
            let mut damaged = proof.clone().into_bytes();
            damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
            let damaged = String::from_utf8(damaged).unwrap();
            if verify(&damaged, "ada", &BINDING).is_some() {
                // The version is not signed, and one below ours is taken for it.
                assert_eq!(signature(&damaged), signature(&proof), "{at}");
            }
        }
        assert_eq!(verify(&"A".repeat(MAX_PROOF + 1), "ada", &BINDING), None);
    }

    proptest! {
        /// Anybody may send these.
        #[test]
        fn f72_what_is_no_signature_proves_nothing(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            begins_well in any::<bool>(),
        ) {
            let magic: &[u8] = if begins_well { b"SSHSIG\0\0\0\x01" } else { b"" };
            let text = BASE64.encode(&[magic, &bytes].concat());
            let lines: Vec<_> = text.as_bytes().chunks(70).map(String::from_utf8_lossy).collect();
            let armoured = format!(
                "-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n",
                lines.join("\n")
            );
            for proof in [armoured, String::from_utf8_lossy(&bytes).into_owned()] {
                prop_assert_eq!(verify(&proof, "ada", &BINDING), None);
            }
        }
    }
}
