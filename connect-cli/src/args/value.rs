//! Parsers of single values, with errors that name what is possible.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr};

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

/// A point in time, as people name one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Seconds since 1970, UTC.
    At(i64),
    /// So many seconds before now.
    Ago(i64),
}

/// Parses `2026-03-01`, `2026-03-01T14:05[:30]` (UTC), `2d`, seconds since 1970, or `-SECONDS` before now.
pub(super) fn moment(text: &str) -> Result<Moment, String> {
    let wrong = || {
        format!(
            "'{text}' is no time: use 2026-03-01, 2026-03-01T14:05, an age such as 2d, or seconds"
        )
    };
    if let Ok(seconds) = text.parse::<i64>() {
        return Ok(match seconds {
            0.. => Moment::At(seconds),
            _ => Moment::Ago(seconds.saturating_neg()),
        });
    }
    let unit = match text.as_bytes().last() {
        Some(b's') => 1,
        Some(b'm') => 60,
        Some(b'h') => 3600,
        Some(b'd') => 86_400,
        _ => return date(text).map(Moment::At).ok_or_else(wrong),
    };
    let count: u32 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    Ok(Moment::Ago(i64::from(count) * unit))
}

/// Seconds since 1970 of a date with or without a time.
fn date(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "0:0"));
    let number = |text: &str| text.parse::<u32>().ok().map(i64::from);
    let mut parts = date.splitn(3, '-').map(number);
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let mut parts = time.splitn(3, ':').map(number);
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().unwrap_or(Some(0))?;
    let fits = (1970..10_000).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 61;
    // Days since 0000-03-01 (Howard Hinnant, chrono-Compatible Low-Level Date Algorithms), less those until 1970.
    let (year, month) = (year - i64::from(month <= 2), (month + 9) % 12);
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    fits.then_some((days - 719_468) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Parses a UDP port, or the first and the last of several.
pub(super) fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let invalid = || format!("'{text}' is no port or range of ports: use 33001 or 33001-33010");
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match number(first).zip(number(last)) {
        Some((first, last)) if first <= last => Ok(first..=last),
        _ => Err(invalid()),
    }
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
    fn times_are_dates_ages_and_seconds() {
        for (text, expected) in [
            ("0", Moment::At(0)),
            ("1772374500", Moment::At(1_772_374_500)),
            ("-86400", Moment::Ago(86_400)),
            ("2d", Moment::Ago(172_800)),
            ("1970-01-01", Moment::At(0)),
            ("2000-02-29T00:00:00", Moment::At(951_782_400)),
            ("2026-03-01 14:15", Moment::At(1_772_374_500)),
        ] {
            assert_eq!(moment(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "d",
            "-2d",
            "2026-13-01",
            "2026-03",
            "2026-03-01T25:00",
            "é",
        ] {
            assert!(moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ports_are_one_or_a_range() {
        assert_eq!(ports("33001"), Ok(33001..=33001));
        assert_eq!(ports("33001-33010"), Ok(33001..=33010));
        for text in ["", "0", "33010-33001", "1-", "70000", "a-b"] {
            assert!(ports(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_minimum_rate_may_be_nothing() {
        assert_eq!(min_rate("0"), Ok(Rate::ZERO));
        assert_eq!(min_rate("5m"), Ok(Rate::from_mbps(5)));
        assert!(min_rate("-1").is_err());
    }
}
