//! Names for terminals and logs (P-15).

use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// Returns `name` with everything that could mislead a reader written as an escape.
///
/// Control characters, line and paragraph separators, bidirectional controls and bytes that are
/// not UTF-8 are escaped (`\n`, `\u{202e}`, `\xff`), so one record stays one line and no name can
/// drive a terminal. A backslash is doubled, so no name can spell out an escape of its own.
///
/// ```
/// assert_eq!(docroot::escape_name(b"report.txt"), "report.txt");
/// assert_eq!(docroot::escape_name(b"a\x1b[2J\xff"), "a\\u{1b}[2J\\xff");
/// ```
pub fn escape_name(name: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(name) {
        // Nearly every name, told without a look at single characters.
        Ok(text) if is_plain(name) => Cow::Borrowed(text),
        Ok(text) if !text.chars().any(is_escaped) => Cow::Borrowed(text),
        _ => Cow::Owned(Escaped(name).to_string()),
    }
}

/// Does the same for a sentence, parts of which may be escaped already: a backslash stays single.
///
/// ```
/// assert_eq!(docroot::escape_message("a\\u{1b}: \u{1b}"), "a\\u{1b}: \\u{1b}");
/// ```
pub fn escape_message(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_dangerous) {
        return Cow::Borrowed(text);
    }
    let escaped = text.chars().flat_map(|c| {
        let (dangerous, plain) = match is_dangerous(c) {
            true => (Some(c.escape_default()), None),
            false => (None, Some(c)),
        };
        dangerous.into_iter().flatten().chain(plain)
    });
    Cow::Owned(escaped.collect())
}

/// Shows a name as [`escape_name`] does, without allocating.
#[derive(Debug, Clone, Copy)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    c if is_escaped(c) => write!(f, "{}", c.escape_default())?,
                    c => f.write_char(c)?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Whether there are only printable ASCII characters, and no backslash.
fn is_plain(name: &[u8]) -> bool {
    // Without an early end, so that many bytes are looked at in one step.
    name.iter().fold(true, |is_plain, byte| {
        is_plain & matches!(byte, b' '..=b'~') & (*byte != b'\\')
    })
}

fn is_escaped(c: char) -> bool {
    c == '\\' || is_dangerous(c)
}

/// What could move a cursor, hide text, reorder it or start a new line.
fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{2069}'
                | '\u{061c}'
                | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P-15.
    #[test]
    fn names_cannot_drive_a_terminal() {
        for (name, shown) in [
            (&b"plain name.txt"[..], "plain name.txt"),
            ("grün 写真".as_bytes(), "grün 写真"),
            (b"a\nb", "a\\nb"),
            (b"\x1b]0;x\x07", "\\u{1b}]0;x\\u{7}"),
            (b"\x7f", "\\u{7f}"),
            ("\u{9b}2J".as_bytes(), "\\u{9b}2J"),
            ("x\u{202e}gpj.exe".as_bytes(), "x\\u{202e}gpj.exe"),
            (
                "\u{2066}\u{2028}\u{2029}".as_bytes(),
                "\\u{2066}\\u{2028}\\u{2029}",
            ),
            (b"\xff\xfe", "\\xff\\xfe"),
            (b"\xc0\xaf", "\\xc0\\xaf"),
            (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),
            ("\u{feff}x".as_bytes(), "\\u{feff}x"),
            (b"a\\nb", "a\\\\nb"),
            (b"-rf $(x) `x` %2e; \"'", "-rf $(x) `x` %2e; \"'"),
        ] {
            assert_eq!(escape_name(name), shown);
            assert_eq!(Escaped(name).to_string(), shown);
        }
    }
}
