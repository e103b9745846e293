//! Secrets: wiped when dropped, shown as `***` (rule E-14).

use std::fmt;

use unicode_normalization::{UnicodeNormalization as _, is_nfc};
use zeroize::{Zeroize as _, Zeroizing};

use crate::error::PassphraseFault;

/// The longest passphrase, in bytes after normalisation.
pub const MAX_PASSPHRASE: usize = 1024;

/// What is looked at before normalisation: longer text cannot shrink to [`MAX_PASSPHRASE`].
const MAX_INPUT: usize = 4 * MAX_PASSPHRASE;

/// The fewest characters of a strong passphrase.
const SHORTEST_STRONG: usize = 6;

/// What meets the other rules and is among the first that anybody tries, without regard to case.
const COMMON: [&str; 32] = [
    "1qaz@wsx",
    "1qaz!qaz",
    "1q2w3e4r!",
    "abc123!",
    "abc@123",
    "abcd@1234",
    "abcd1234!",
    "admin@123",
    "admin123!",
    "aspera@123",
    "aspera123!",
    "changeme1!",
    "changeme@123",
    "hello123!",
    "letmein1!",
    "login@123",
    "monkey1!",
    "p@ssw0rd",
    "p@ssw0rd1",
    "p@ssw0rd!",
    "p@ssword1",
    "pa$$w0rd",
    "pass@123",
    "pass@word1",
    "passw0rd!",
    "password1!",
    "password@123",
    "password123!",
    "qwerty1!",
    "qwerty123!",
    "test@123",
    "welcome1!",
];

/// A passphrase in the one form that is hashed: UTF-8, NFC, every kind of space an ASCII space, nothing trimmed.
///
/// The same text typed on different systems gives the same key (docs/envelope.md, "Keys").
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes what a person typed.
    ///
    /// # Errors
    /// A [`PassphraseFault`] for nothing, for more than [`MAX_PASSPHRASE`] bytes and for a NUL.
    pub fn new(text: &str) -> Result<Self, PassphraseFault> {
        if text.len() > MAX_INPUT {
            return Err(PassphraseFault::TooLong);
        }
        if text.contains('\0') {
            return Err(PassphraseFault::Nul);
        }
        // Reserved in one go, so that growing leaves no copy behind; NFC makes some characters longer.
        let mut normal = Zeroizing::new(String::with_capacity(3 * text.len()));
        let spaces = text.chars().map(|c| if is_space(c) { ' ' } else { c });
        if is_nfc(text) {
            normal.extend(spaces);
        } else {
            normal.extend(spaces.nfc());
        }
        match normal.len() {
            0 => Err(PassphraseFault::Empty),
            1..=MAX_PASSPHRASE => Ok(Self(normal)),
            _ => Err(PassphraseFault::TooLong),
        }
    }

    /// Takes the bytes of a file or an environment variable.
    ///
    /// # Errors
    /// As [`Passphrase::new`], and [`PassphraseFault::NotUtf8`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PassphraseFault> {
        Self::new(std::str::from_utf8(bytes).map_err(|_| PassphraseFault::NotUtf8)?)
    }

    /// Returns the number of characters, to warn of short ones.
    pub fn characters(&self) -> usize {
        self.0.chars().count()
    }

    /// Whether a server that demands strong passphrases takes it: six characters or more, with a letter, a digit and
    /// another character, and none that everybody tries first (rule E-13).
    pub fn is_strong(&self) -> bool {
        let has = |kind: fn(char) -> bool| self.0.chars().any(kind);
        let is_special = |c: char| !c.is_alphanumeric();
        let is_common = || COMMON.iter().any(|word| self.0.eq_ignore_ascii_case(word));
        self.characters() >= SHORTEST_STRONG
            && has(char::is_alphabetic)
            && has(char::is_numeric)
            && has(is_special)
            && !is_common()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Compares without telling how much is equal.
impl PartialEq for Passphrase {
    fn eq(&self, other: &Self) -> bool {
        subtle::ConstantTimeEq::ct_eq(self.as_bytes(), other.as_bytes()).into()
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The space separators of Unicode besides U+0020 (RFC 8265 §4.2.2 maps them to it).
fn is_space(c: char) -> bool {
    matches!(
        c,
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
    )
}

/// A key of `N` bytes. It stays in one place, so that moving it leaves no copy.
pub(crate) struct SecretBytes<const N: usize>(Box<[u8; N]>);

impl<const N: usize> SecretBytes<N> {
    /// Makes a place for a key, to be filled through [`SecretBytes::as_mut_bytes`].
    pub(crate) fn zeroed() -> Self {
        Self(Box::new([0; N]))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; N] {
        &self.0
    }

    pub(crate) fn as_mut_bytes(&mut self) -> &mut [u8; N] {
        &mut self.0
    }
}

impl<const N: usize> Drop for SecretBytes<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> fmt::Debug for SecretBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> PassphraseFault {
        Passphrase::new(text).unwrap_err()
    }

    // Rule E-13
    #[test]
    fn e13_a_strong_passphrase_has_three_kinds_of_characters_and_is_no_usual_one() {
        let is_strong = |text: &str| Passphrase::new(text).unwrap().is_strong();
        assert!(is_strong("ab1-cd"));
        assert!(is_strong("größe 3"));
        for weak in [
            "a1-bc",
            "abcdef-",
            "123456-",
            "abc123",
            "P@ssw0rd",
            "Welcome1!",
        ] {
            assert!(!is_strong(weak), "{weak}");
        }
        assert!(COMMON.iter().all(|word| !is_strong(word)));
        assert!(COMMON.iter().all(|word| is_strong(&format!("{word}+"))));
    }

    // F100: what can be a passphrase.
    #[test]
    fn a_passphrase_has_1_to_1024_bytes_after_normalisation() {
        assert_eq!(fault(""), PassphraseFault::Empty);
        assert_eq!(fault("a\0b"), PassphraseFault::Nul);
        assert_eq!(fault(&"a".repeat(1025)), PassphraseFault::TooLong);
        assert_eq!(fault(&"a".repeat(1 << 20)), PassphraseFault::TooLong);
        assert!(Passphrase::new(&"a".repeat(1024)).is_ok());
        // 512 letters with a combining accent: 1,536 bytes typed, 1,024 in NFC.
        assert!(Passphrase::new(&"e\u{301}".repeat(512)).is_ok());
        assert_eq!(fault(&"e\u{301}".repeat(513)), PassphraseFault::TooLong);
        let latin1 = Passphrase::from_bytes(b"caf\xe9").unwrap_err();
        assert_eq!(latin1, PassphraseFault::NotUtf8);
    }

    #[test]
    fn both_ways_to_type_a_letter_are_one_passphrase() {
        let composed = Passphrase::new("\u{439} \u{fc} o").unwrap();
        let decomposed = Passphrase::new("\u{438}\u{306}\u{a0}u\u{308}\u{3000}o").unwrap();
        assert_eq!(composed.as_bytes(), decomposed.as_bytes());
    }

    #[test]
    fn nothing_is_trimmed_and_case_counts() {
        let typed = Passphrase::new(" Two  words\t").unwrap();
        assert_eq!(typed.as_bytes(), b" Two  words\t");
        assert_ne!(typed, Passphrase::new(" two  words\t").unwrap());
    }

    // Rule E-14
    #[test]
    fn secrets_are_not_shown() {
        let mut key = SecretBytes::zeroed();
        *key.as_mut_bytes() = *b"key!";
        let shown = format!("{:?} {key:?}", Passphrase::new("hidden").unwrap());
        assert_eq!(shown, "*** ***");
    }
}
