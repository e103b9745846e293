//! Passwords, kept as Argon2id hashes only.

use std::sync::LazyLock;

use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _, password_hash::phc};
use serde::{Deserialize, Serialize};

use crate::Error;

/// The longest password, bytes.
pub const PASSWORD_MAX: usize = 1024;

/// The Argon2id hash of a password, in PHC notation.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PasswordHash(String);

/// What is verified for users who do not exist, so that they take the same time (C-8).
///
/// Nobody knows its password: it is the hash of a random salt's worth of nothing, and its result is thrown away.
static NOBODY: LazyLock<Option<PasswordHash>> =
    LazyLock::new(|| PasswordHash::new(b"no account has this hash").ok());

impl PasswordHash {
    /// Hashes a password with a random salt. Takes tens of milliseconds and 19 MiB.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidPassword`] when it is empty or above [`PASSWORD_MAX`] bytes.
    pub fn new(password: &[u8]) -> Result<Self, Error> {
        if !(1..=PASSWORD_MAX).contains(&password.len()) {
            return Err(Error::InvalidPassword);
        }
        let hash = Argon2::default()
            .hash_password(password)
            .map_err(|_| Error::Hashing)?;
        Ok(Self(hash.to_string()))
    }

    /// Returns true when the password is the right one. Takes as long as [`PasswordHash::new`].
    pub fn verify(&self, password: &[u8]) -> bool {
        // An overlong password costs as much as a wrong one, but is never hashed whole.
        let (password, length_is_fine) = match password.get(..PASSWORD_MAX) {
            Some(beginning) if password.len() > PASSWORD_MAX => (beginning, false),
            _ => (password, true),
        };
        let matches = phc::PasswordHash::new(&self.0)
            .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok());
        matches && length_is_fine
    }
}

/// Does the work of a verification for a user who has no password.
pub(super) fn verify_nobody(password: &[u8]) {
    if let Some(hash) = NOBODY.as_ref() {
        std::hint::black_box(hash.verify(password));
    }
}

impl TryFrom<String> for PasswordHash {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        let hash = phc::PasswordHash::new(&text).map_err(|_| Error::InvalidHash)?;
        if hash.algorithm.as_str() == "argon2id" && hash.hash.is_some() {
            Ok(Self(text))
        } else {
            Err(Error::InvalidHash)
        }
    }
}

impl From<PasswordHash> for String {
    fn from(hash: PasswordHash) -> Self {
        hash.0
    }
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_verifies() {
        let hash = PasswordHash::new(b"correct horse").unwrap();
        assert!(hash.verify(b"correct horse"));
        assert!(!hash.verify(b"correct hors"));
        assert!(!hash.verify(b""));
        assert!(!hash.verify(&[b'x'; PASSWORD_MAX + 1]));
        assert_eq!(format!("{hash:?}"), "[redacted]");
        assert_ne!(hash, PasswordHash::new(b"correct horse").unwrap(), "salted");
    }

    #[test]
    fn lengths_at_and_above_the_limit() {
        let longest = vec![b'p'; PASSWORD_MAX];
        assert!(PasswordHash::new(&longest).unwrap().verify(&longest));
        assert!(matches!(
            PasswordHash::new(&[b'p'; PASSWORD_MAX + 1]),
            Err(Error::InvalidPassword)
        ));
        assert!(matches!(
            PasswordHash::new(b""),
            Err(Error::InvalidPassword)
        ));
    }

    #[test]
    fn stored_hashes_of_other_kinds_are_refused() {
        for text in [
            "",
            "plain",
            "$1$salt$hash",
            "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ",
        ] {
            assert!(PasswordHash::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
