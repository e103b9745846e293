//! What is wrong with a document, and where.

use std::fmt;

use super::{MAX_ATTRIBUTES, MAX_BYTES, MAX_DEPTH, MAX_ELEMENTS, MAX_TAG};

/// A place in a file, for people: both count from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl Position {
    /// Finds the place of a byte. An offset in the middle of a character, or behind the end, is fine.
    pub(crate) fn of(text: &[u8], offset: usize) -> Self {
        let before = &text[..offset.min(text.len())];
        let line_start = before
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |at| at + 1);
        let lines = before.iter().filter(|b| **b == b'\n').count();
        // A byte-order mark is no character of the first line.
        let line = &before[line_start..];
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        // Every byte of a character but its first is 10xxxxxx.
        let characters = line.iter().filter(|b| **b & 0xc0 != 0x80).count();
        let number = |count: usize| u32::try_from(count + 1).unwrap_or(u32::MAX);
        Self {
            line: number(lines),
            column: number(characters),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why bytes are not a document that is read here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// More than [`MAX_BYTES`].
    #[error("the file is larger than {MAX_BYTES} bytes")]
    TooLarge,
    /// Elements lie too deep.
    #[error("elements lie in each other more than {MAX_DEPTH} deep")]
    TooDeep,
    /// More than [`MAX_ELEMENTS`].
    #[error("there are more than {MAX_ELEMENTS} elements")]
    TooManyElements,
    /// More than [`MAX_ATTRIBUTES`] in one element.
    #[error("the element has more than {MAX_ATTRIBUTES} attributes")]
    TooManyAttributes,
    /// A tag of more than [`MAX_TAG`] bytes.
    #[error("the tag is longer than {MAX_TAG} bytes")]
    TagTooLong,
    /// Bytes that are no UTF-8.
    #[error("the file is not UTF-8")]
    NotUtf8,
    /// The declaration names another encoding, or another version of XML.
    #[error("only XML 1.0 in UTF-8 is read")]
    Declaration,
    /// A document type, which could define entities.
    #[error("a document type is refused: it could define entities")]
    DocumentType,
    /// A processing instruction.
    #[error("a processing instruction is refused")]
    ProcessingInstruction,
    /// A reference to an entity other than the five of XML itself.
    #[error("'&{0};' is refused: only &amp; &lt; &gt; &quot; &apos; and numbers are read")]
    Entity(String),
    /// A character that XML forbids.
    #[error("the character U+{0:04X} is not allowed in XML")]
    Character(u32),
    /// A name that XML forbids.
    #[error("'{0}' is not a name")]
    Name(String),
    /// Attributes that XML forbids.
    #[error("the attributes of the element are not well-formed: {0}")]
    Attribute(String),
    /// An element without its end, found at the end of the file or of its parent.
    #[error("<{0}> is not closed")]
    NotClosed(String),
    /// Something else that XML forbids.
    #[error("the file is not well-formed XML: {0}")]
    IllFormed(String),
    /// No element at all.
    #[error("the file has no element")]
    NoRoot,
    /// Something other than comments behind or before the root element.
    #[error("only comments may stand outside the root element")]
    OutsideRoot,
    /// The root is no `CONF`.
    #[error("the root element is <{0}> and should be <CONF version=\"2\">")]
    NotConf(String),
    /// The root has another version than 2.
    #[error("version '{0}' of the format is not known; only version 2 is read")]
    Version(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_and_lines_from_one() {
        let text = "\u{feff}aé<b>\n\nü<".as_bytes();
        let at = |offset| {
            let Position { line, column } = Position::of(text, offset);
            (line, column)
        };
        assert_eq!(at(0), (1, 1));
        assert_eq!(at(3), (1, 1));
        assert_eq!(at(6), (1, 3));
        assert_eq!(at(9), (1, 6));
        assert_eq!(at(10), (2, 1));
        assert_eq!(at(13), (3, 2));
        assert_eq!(at(1000), (3, 3));
    }
}
