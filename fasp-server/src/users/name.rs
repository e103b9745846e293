//! The name of a user.

use std::{fmt, str::FromStr};

use fasp_net::event::ShownText;
use serde::{Deserialize, Serialize};

use crate::Error;

/// The longest user name, bytes.
const NAME_MAX: usize = 64;

/// A user name: 1 to 64 bytes, without control characters, white space, `/`, `@` and `:`.
///
/// The last three have a meaning in `user@host:path`; a leading `-` could be taken for an option and a
/// leading `.` for a hidden file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(String);

impl UserName {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let shown = ShownText::from(text);
        let allowed = (1..=NAME_MAX).contains(&text.len())
            && !text.starts_with(['-', '.'])
            // Escaping finds what could mislead the eye, such as bidi controls.
            && shown.as_str() == text
            && !text.contains(|c: char| c.is_whitespace() || matches!(c, '/' | '@' | ':'));
        if allowed {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::InvalidName(shown))
        }
    }
}

impl TryFrom<String> for UserName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> Self {
        name.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_accepted() {
        let longest = "x".repeat(64);
        for name in [
            "lea",
            "a",
            "svc_render-01",
            "jürgen",
            "user.name",
            longest.as_str(),
        ] {
            assert_eq!(name.parse::<UserName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn names_that_mislead_or_break_syntax_are_refused() {
        let long = "x".repeat(65);
        for name in [
            "",
            ".",
            "..",
            "-rf",
            "a/b",
            "a@b",
            "a:b",
            "a b",
            "a\nb",
            "a\0",
            "a\u{202e}b",
            "a\\b",
            "\u{9b}",
            long.as_str(),
        ] {
            assert!(name.parse::<UserName>().is_err(), "{name:?}");
        }
    }
}
