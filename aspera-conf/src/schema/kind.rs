//! What an option may be: types, their spellings, and values.

use std::fmt;
use std::time::Duration;

use crate::effective::Schedule;

/// The longest text or list item, bytes: scripts may stand in an option.
pub const MAX_TEXT: usize = 64 << 10;

/// The type of an option.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// `true` or `false`; `yes` and `no` are read too, in any case of letters.
    Bool,
    /// A whole number that is not negative.
    Unsigned {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
        /// A word that may stand in its place.
        word: Option<Word>,
    },
    /// A whole number.
    Signed {
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
        /// A word that may stand in its place.
        word: Option<Word>,
    },
    /// A decimal number.
    Float {
        /// The smallest.
        min: f64,
    },
    /// Permission bits, such as `755`.
    Octal {
        /// A word that may stand in their place.
        word: Option<Word>,
    },
    /// A time, such as `1d 12h`, `90`, `00:10:00`.
    Duration,
    /// Bytes, such as `0B` or `16M`; a suffix counts in powers of 1024.
    Size,
    /// One of some words.
    Enum(Words),
    /// Several of some words, with commas.
    Enums(Words),
    /// What a virtual link carries: a number of kbit/s, or one for each hour of the week.
    Schedule,
    /// Anything but control characters.
    Text,
    /// Several texts, each in an element of its own.
    List {
        /// The name of that element.
        item: &'static str,
    },
}

/// The words of a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words(&'static str);

impl Words {
    /// Returns the words in their order.
    pub fn iter(self) -> impl Iterator<Item = &'static str> {
        self.0.split('|')
    }

    fn find(self, text: &str) -> Option<&'static str> {
        self.iter().find(|word| *word == text)
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.replace('|', ", "))
    }
}

/// A word that stands in the place of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// No bound.
    Unlimited,
    /// Zero: off.
    Disabled,
    /// Not set: something else decides.
    Undefined,
}

impl Word {
    /// Returns the word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unlimited => "Unlimited",
            Self::Disabled => "Disabled",
            Self::Undefined => "Undefined",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Unlimited, Self::Disabled, Self::Undefined]
            .into_iter()
            .find(|word| word.name().eq_ignore_ascii_case(name))
    }
}

/// The value of an option.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Of [`Kind::Bool`].
    Bool(bool),
    /// Of [`Kind::Unsigned`].
    Unsigned(u64),
    /// Of [`Kind::Signed`].
    Signed(i64),
    /// Of [`Kind::Float`].
    Float(f64),
    /// Of [`Kind::Octal`]: the bits.
    Octal(u32),
    /// In the place of a number.
    Word(Word),
    /// Of [`Kind::Duration`].
    Duration(Duration),
    /// Of [`Kind::Size`]: bytes.
    Size(u64),
    /// Of [`Kind::Enum`].
    Choice(&'static str),
    /// Of [`Kind::Enums`].
    Choices(Vec<&'static str>),
    /// Of [`Kind::Text`]; may be empty.
    Text(String),
    /// Of [`Kind::List`]; may be empty.
    List(Vec<String>),
}

/// The text is no value of the type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("should be {expected}")]
pub struct BadValue {
    /// What would be one.
    pub expected: String,
}

impl Kind {
    /// Reads the type and the allowed values as the table spells them.
    pub(super) fn of(kind: &'static str, allowed: &'static str) -> Option<Self> {
        let mut range = None;
        let mut word = None;
        if !matches!(kind, "enum" | "enums" | "list") {
            for part in allowed.split_ascii_whitespace() {
                match part.strip_prefix('+') {
                    Some(name) => word = Some(Word::from_name(name)?),
                    None => range = Some(part.split_once("..")?),
                }
            }
        }
        let unsigned = |most: u64| {
            let (min, max) = match range {
                Some((min, max)) => (min.parse().ok()?, max.parse().ok()?),
                None => (0, most),
            };
            Some(Self::Unsigned { min, max, word })
        };
        let signed = |min, max| Some(Self::Signed { min, max, word });
        match kind {
            "bool" => Some(Self::Bool),
            "uint32" => unsigned(u32::MAX.into()),
            "uint64" => unsigned(u64::MAX),
            "int32" => signed(i32::MIN.into(), i32::MAX.into()),
            "int64" => signed(i64::MIN, i64::MAX),
            "float" => Some(Self::Float {
                min: if range.is_some() { 0.0 } else { f64::MIN },
            }),
            "octal" => Some(Self::Octal { word }),
            "duration" => Some(Self::Duration),
            "size" => Some(Self::Size),
            "enum" => Some(Self::Enum(Words(allowed))),
            "enums" => Some(Self::Enums(Words(allowed))),
            "schedule" => Some(Self::Schedule),
            "text" => Some(Self::Text),
            "list" => Some(Self::List { item: allowed }),
            _ => None,
        }
    }

    /// Returns true if an empty element says something; for other types it is the same as none.
    pub const fn empty_speaks(self) -> bool {
        matches!(self, Self::Text | Self::List { .. })
    }

    /// Reads a value, except of a list, whose items are read one by one.
    ///
    /// # Errors
    /// [`BadValue`] says what is allowed.
    pub fn parse(self, text: &str) -> Result<Value, BadValue> {
        let text = text.trim();
        let word = match self {
            Self::Unsigned { word, .. } | Self::Signed { word, .. } | Self::Octal { word } => word,
            _ => None,
        };
        if let Some(word) = word
            && word.name().eq_ignore_ascii_case(text)
        {
            return Ok(Value::Word(word));
        }
        self.parse_plain(text).ok_or_else(|| BadValue {
            expected: self.to_string(),
        })
    }

    fn parse_plain(self, text: &str) -> Option<Value> {
        match self {
            Self::Bool => bool_of(text).map(Value::Bool),
            Self::Unsigned { min, max, .. } => {
                // `parse` would take a plus sign.
                let number = text.starts_with(|c: char| c.is_ascii_digit());
                let value = number.then(|| text.parse().ok()).flatten()?;
                (min..=max)
                    .contains(&value)
                    .then_some(Value::Unsigned(value))
            }
            Self::Signed { min, max, .. } => {
                let value = (!text.starts_with('+')).then(|| text.parse().ok())??;
                (min..=max).contains(&value).then_some(Value::Signed(value))
            }
            Self::Float { min } => float_of(text)
                .filter(|value| *value >= min)
                .map(Value::Float),
            Self::Octal { .. } => octal_of(text).map(Value::Octal),
            Self::Duration => duration_of(text).map(Value::Duration),
            Self::Size => size_of(text).map(Value::Size),
            Self::Enum(words) => words.find(text).map(Value::Choice),
            Self::Enums(words) => text
                .split(',')
                .map(|part| words.find(part.trim()))
                .collect::<Option<_>>()
                .map(Value::Choices),
            Self::Schedule => Schedule::parse(text)
                .is_ok()
                .then(|| Value::Text(text.to_owned())),
            Self::Text => is_text(text).then(|| Value::Text(text.to_owned())),
            Self::List { .. } => {
                (is_text(text) && !text.is_empty()).then(|| Value::List(vec![text.to_owned()]))
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or = |f: &mut fmt::Formatter<'_>, word: &Option<Word>| match word {
            Some(word) => write!(f, ", or {}", word.name()),
            None => Ok(()),
        };
        match self {
            Self::Bool => f.write_str("true or false"),
            Self::Unsigned { min, max, word } => {
                write!(f, "a whole number from {min} to {max}")?;
                or(f, word)
            }
            Self::Signed { min, max, word } => {
                write!(f, "a whole number from {min} to {max}")?;
                or(f, word)
            }
            Self::Float { min: 0.0 } => f.write_str("a decimal number of at least 0"),
            Self::Float { .. } => f.write_str("a decimal number"),
            Self::Octal { word } => {
                f.write_str("permission bits such as 755")?;
                or(f, word)
            }
            Self::Duration => f.write_str("a time such as 1d 12h, 30m, 20s or 00:10:00"),
            Self::Size => f.write_str("a size such as 0B, 512K or 16M"),
            Self::Enum(words) => write!(f, "one of: {words}"),
            Self::Enums(words) => write!(f, "some of, with commas: {words}"),
            Self::Schedule => f.write_str(
                "kbit/s, or such as 'start=08 end=19 days=mon,tue capacity=900000;1000000'",
            ),
            Self::Text => f.write_str("text without control characters, of at most 64 KiB"),
            Self::List { item } => write!(f, "a list of <{item}> elements"),
        }
    }
}

impl fmt::Display for Value {
    /// The spelling that is written into a file; items of a list are separated by `|` here.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Unsigned(value) => write!(f, "{value}"),
            Self::Signed(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::Octal(bits) => write!(f, "{bits:03o}"),
            Self::Word(word) => f.write_str(word.name()),
            Self::Duration(time) => write_duration(f, *time),
            Self::Size(bytes) => write!(f, "{bytes}B"),
            Self::Choice(word) => f.write_str(word),
            Self::Choices(words) => f.write_str(&words.join(",")),
            Self::Text(text) => f.write_str(text),
            Self::List(items) => f.write_str(&items.join("|")),
        }
    }
}

fn bool_of(text: &str) -> Option<bool> {
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    if is("true") || is("yes") {
        Some(true)
    } else if is("false") || is("no") {
        Some(false)
    } else {
        None
    }
}

fn float_of(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_plain = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let value: f64 = is_plain.then(|| text.parse().ok()).flatten()?;
    value.is_finite().then_some(value)
}

fn octal_of(text: &str) -> Option<u32> {
    let is_octal = !text.is_empty() && text.bytes().all(|b| matches!(b, b'0'..=b'7'));
    let bits = is_octal
        .then(|| u32::from_str_radix(text, 8).ok())
        .flatten()?;
    (bits <= 0o7777).then_some(bits)
}

fn is_text(text: &str) -> bool {
    let is_control = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r');
    text.len() <= MAX_TEXT && !text.contains(is_control)
}

/// Reads digits and returns what follows them.
fn number_of(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

fn duration_of(text: &str) -> Option<Duration> {
    if text.contains(':') {
        return clock_of(text);
    }
    let mut seconds = 0_u64;
    let mut rest = text;
    // Units descend, so that each is named once.
    let mut last = u64::MAX;
    loop {
        let (number, after) = number_of(rest)?;
        let (unit, after) = match after.chars().next() {
            Some('d' | 'D') => (86_400, &after[1..]),
            Some('h' | 'H') => (3_600, &after[1..]),
            Some('m' | 'M') => (60, &after[1..]),
            Some('s' | 'S') => (1, &after[1..]),
            // A number alone is in seconds.
            None if last == u64::MAX => (1, after),
            _ => return None,
        };
        if unit >= last {
            return None;
        }
        last = unit;
        seconds = seconds.checked_add(number.checked_mul(unit)?)?;
        rest = after.trim_start();
        if rest.is_empty() {
            return Some(Duration::from_secs(seconds));
        }
    }
}

/// `hh:mm:ss`
fn clock_of(text: &str) -> Option<Duration> {
    let mut parts = text.split(':').map(|part| match number_of(part)? {
        (number, "") => Some(number),
        _ => None,
    });
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    let is_time = parts.next().is_none() && minutes < 60 && seconds < 60;
    let seconds = hours
        .checked_mul(3600)?
        .checked_add(minutes * 60 + seconds)?;
    is_time.then(|| Duration::from_secs(seconds))
}

fn write_duration(f: &mut fmt::Formatter<'_>, time: Duration) -> fmt::Result {
    let mut rest = time.as_secs();
    let mut separator = "";
    for (unit, letter) in [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')] {
        let number = rest / unit;
        rest %= unit;
        if number > 0 {
            write!(f, "{separator}{number}{letter}")?;
            separator = " ";
        }
    }
    if separator.is_empty() {
        f.write_str("0s")?;
    }
    Ok(())
}

fn size_of(text: &str) -> Option<u64> {
    let (number, suffix) = number_of(text)?;
    let shift = match suffix {
        "" | "B" | "b" => 0,
        "K" | "k" => 10,
        "M" | "m" => 20,
        "G" | "g" => 30,
        "T" | "t" => 40,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_spelling_and_written_in_one() {
        for (text, seconds, written) in [
            ("1h 30m", 5400, "1h 30m"),
            ("1h30m", 5400, "1h 30m"),
            ("20s", 20, "20s"),
            ("1d 12h", 129_600, "1d 12h"),
            ("00:10:05", 605, "10m 5s"),
            ("90", 90, "1m 30s"),
            ("0", 0, "0s"),
        ] {
            let value = Kind::Duration.parse(text).unwrap();
            assert_eq!(value, Value::Duration(Duration::from_secs(seconds)));
            assert_eq!(value.to_string(), written);
            assert_eq!(Kind::Duration.parse(written), Ok(value));
        }
        for text in [
            "",
            "m",
            "1m 1m",
            "1m 2h",
            "1w",
            "1:2",
            "0:60:0",
            "-1",
            "99999999999999999999d",
        ] {
            assert!(Kind::Duration.parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_modes_and_numbers_refuse_what_is_none() {
        assert_eq!(Kind::Size.parse("16M"), Ok(Value::Size(16 << 20)));
        assert!(Kind::Size.parse("99999999999T").is_err());
        let octal = Kind::Octal { word: None };
        assert_eq!(octal.parse("0755").unwrap().to_string(), "755");
        for text in ["0999", "", "77777", "-7"] {
            assert!(octal.parse(text).is_err(), "{text}");
        }
        let float = Kind::Float { min: 0.0 };
        for text in ["-1", "nan", "inf", "1e3", ".", ""] {
            assert!(float.parse(text).is_err(), "{text}");
        }
    }
}
