//! Parsers of single values, with errors that name what is possible.

use std::{fmt::Display, str::FromStr};

use fasp_core::Rate;

/// Parses a rate as `-m` takes it: 0 means none.
pub(super) fn min_rate(text: &str) -> Result<Rate, String> {
    if text == "0" {
        return Ok(Rate::ZERO);
    }
    text.parse().map_err(|error| format!("{error}"))
}

/// Parses one of a closed set, and lists the set when the name is not in it.
pub(super) fn one_of<T: FromStr>(text: &str, names: &[&str]) -> Result<T, String>
where
    T::Err: Display,
{
    text.parse()
        .map_err(|error: T::Err| format!("{error}: use {}", list(names)))
}

/// Parses a number of bytes with an optional `K`, `M` or `G` (powers of 1,024).
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let invalid = || format!("'{text}' is not a size: use a number with K, M or G, such as 64M");
    let (digits, shift) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 10),
        Some((at, 'm' | 'M')) => (&text[..at], 20),
        Some((at, 'g' | 'G')) => (&text[..at], 30),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|_| invalid())?;
    number.checked_mul(1 << shift).ok_or_else(invalid)
}

fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_suffixes() {
        assert_eq!(bytes("64M"), Ok(64 << 20));
        assert_eq!(bytes("1500"), Ok(1500));
        for text in ["", "M", "-1", "1.5G", "99999999999G", "1T", "é"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_minimum_rate_may_be_nothing() {
        assert_eq!(min_rate("0"), Ok(Rate::ZERO));
        assert_eq!(min_rate("5m"), Ok(Rate::from_mbps(5)));
        assert!(min_rate("-1").is_err());
    }
}
