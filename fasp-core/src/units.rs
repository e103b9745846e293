//! Quantities with a unit, and the small closed sets that both ends name the same way.

use std::{fmt, str::FromStr, time::Duration};

/// A data rate. One bit per second is the smallest step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Rate(u64);

impl Rate {
    /// Nothing at all.
    pub const ZERO: Self = Self(0);
    /// The highest rate accepted anywhere: 1 Tbit/s (protocol §11).
    pub const MAX: Self = Self(1_000_000_000_000);

    /// Makes a rate from bits per second, at most [`Rate::MAX`].
    pub const fn from_bits_per_second(bits: u64) -> Self {
        if bits > Self::MAX.0 {
            Self::MAX
        } else {
            Self(bits)
        }
    }

    /// Makes a rate from kilobits (1,000 bits) per second, the unit of `ascp` and of transfer specs.
    pub const fn from_kbps(kbps: u64) -> Self {
        Self::from_bits_per_second(kbps.saturating_mul(1000))
    }

    /// Makes a rate from megabits (1,000,000 bits) per second.
    pub const fn from_mbps(mbps: u64) -> Self {
        Self::from_bits_per_second(mbps.saturating_mul(1_000_000))
    }

    /// Makes the rate that moves `bytes` in `time`.
    pub fn from_bytes_in(bytes: u64, time: Duration) -> Self {
        let nanos = time.as_nanos().max(1);
        let bits = u128::from(bytes) * 8 * 1_000_000_000 / nanos;
        Self::from_bits_per_second(u64::try_from(bits).unwrap_or(u64::MAX))
    }

    /// Returns bits per second.
    pub const fn bits_per_second(self) -> u64 {
        self.0
    }

    /// Returns kilobits per second, rounded down.
    pub const fn kbps(self) -> u64 {
        self.0 / 1000
    }

    /// Returns bytes per second, rounded down.
    pub const fn bytes_per_second(self) -> u64 {
        self.0 / 8
    }

    /// Returns the bytes that pass in `time`.
    pub fn bytes_in(self, time: Duration) -> u64 {
        let bytes = u128::from(self.0).saturating_mul(time.as_nanos()) / 8_000_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// Returns the time that `bytes` take; an hour when the rate is zero.
    pub fn time_for(self, bytes: u64) -> Duration {
        if self.0 == 0 {
            return Duration::from_secs(3600);
        }
        let nanos = u128::from(bytes) * 8_000_000_000 / u128::from(self.0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Returns the rate times `factor`; negative factors and NaN give zero.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        // A float-to-integer cast saturates and maps NaN to zero, which is what is wanted.
        Self::from_bits_per_second((self.0 as f64 * factor) as u64)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0 as f64;
        match self.0 {
            0..1_000 => write!(f, "{bits} bit/s"),
            1_000..1_000_000 => write!(f, "{:.1} kbit/s", bits / 1e3),
            1_000_000..1_000_000_000 => write!(f, "{:.1} Mbit/s", bits / 1e6),
            _ => write!(f, "{:.2} Gbit/s", bits / 1e9),
        }
    }
}

/// Why a text is not a rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseRateError {
    /// Not a number with an optional suffix.
    #[error("'{0}' is not a rate: use a number with K, M or G, such as 300m")]
    Syntax(String),
    /// Zero, negative, not finite or above 1 Tbit/s.
    #[error("rate '{0}' is out of range: it must be above 0 and at most 1000g")]
    Range(String),
}

impl FromStr for Rate {
    type Err = ParseRateError;

    /// Parses `ascp`'s notation: a decimal number with `K`, `M` or `G`; without a suffix, kilobits per second.
    fn from_str(text: &str) -> Result<Self, ParseRateError> {
        let syntax = || ParseRateError::Syntax(text.to_owned());
        let (number, scale) = match text.char_indices().last() {
            Some((at, 'k' | 'K')) => (&text[..at], 1e3),
            Some((at, 'm' | 'M')) => (&text[..at], 1e6),
            Some((at, 'g' | 'G')) => (&text[..at], 1e9),
            Some((_, '0'..='9' | '.')) => (text, 1e3),
            _ => return Err(syntax()),
        };
        if !number
            .bytes()
            .all(|b| b.is_ascii_digit() || b == b'.' || b == b'-')
        {
            return Err(syntax());
        }
        let value: f64 = number.parse().map_err(|_| syntax())?;
        let bits = value * scale;
        if !(bits >= 1.0 && bits <= Self::MAX.0 as f64) {
            return Err(ParseRateError::Range(text.to_owned()));
        }
        Ok(Self(bits as u64))
    }
}

/// How a session shares a link with others, in the order of how much of it each takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum RatePolicy {
    /// Adapts, and takes only what others leave.
    Low,
    /// Adapts, with equal shares among sessions and room for TCP.
    #[default]
    Fair,
    /// Adapts, with about twice the share of a `fair` session.
    High,
    /// Sends at the target rate whatever happens, under its caps and the circuit breaker.
    Fixed,
}

impl RatePolicy {
    /// Every policy with the name that people and transfer specs use.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Fixed, "fixed"),
        (Self::High, "high"),
        (Self::Fair, "fair"),
        (Self::Low, "low"),
    ];

    /// Returns the policy's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::High => "high",
            Self::Fair => "fair",
            Self::Low => "low",
        }
    }
}

impl fmt::Display for RatePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for RatePolicy {
    type Err = UnknownName;

    /// Parses a policy's name; `regular` and `trickle` are the older names of `fair` and `low`.
    fn from_str(text: &str) -> Result<Self, UnknownName> {
        match text {
            "regular" => Ok(Self::Fair),
            "trickle" => Ok(Self::Low),
            _ => Self::ALL
                .iter()
                .find(|(_, name)| *name == text)
                .map(|(policy, _)| *policy)
                .ok_or_else(|| UnknownName(text.to_owned())),
        }
    }
}

/// A name that is not one of a closed set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not known here")]
pub struct UnknownName(pub String);

/// How the datagrams of a session are protected (protocol §3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DatagramCipher {
    /// No secrecy, but every datagram carries a keyed tag (GMAC).
    None,
    /// AES-128-GCM.
    #[default]
    Aes128Gcm,
    /// AES-256-GCM.
    Aes256Gcm,
}

impl DatagramCipher {
    /// Returns the name as transfer specs spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Aes128Gcm => "aes-128-gcm",
            Self::Aes256Gcm => "aes-256-gcm",
        }
    }
}

impl fmt::Display for DatagramCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DatagramCipher {
    type Err = UnknownName;

    /// Parses both spellings of the field: `aes128`, `aes-128`, `aes128gcm`, `aes-128-gcm`, likewise 256, and `none`.
    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let plain: String = text.chars().filter(|c| *c != '-').collect();
        match plain.as_str() {
            "none" => Ok(Self::None),
            "aes128" | "aes128gcm" => Ok(Self::Aes128Gcm),
            "aes256" | "aes256gcm" => Ok(Self::Aes256Gcm),
            _ => Err(UnknownName(text.to_owned())),
        }
    }
}

/// The 64-bit random id of a session (protocol §4.1). It is not a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The 128-bit random id of a transfer; its sessions share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransferId(pub [u8; 16]);

impl fmt::Display for TransferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_parse_as_ascp_writes_them() {
        for (text, bits) in [
            ("300m", 300_000_000),
            ("1.5G", 1_500_000_000),
            ("10000", 10_000_000),
            ("64k", 64_000),
            ("1000g", 1_000_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(Rate::from_bits_per_second(bits)), "{text}");
        }
    }

    #[test]
    fn w32_zero_negative_nan_and_huge_rates_are_refused() {
        for text in ["0", "0m", "-1", "-5m", "1001g", "99999999999g"] {
            assert!(
                matches!(text.parse::<Rate>(), Err(ParseRateError::Range(_))),
                "{text}"
            );
        }
        for text in ["", "nan", "inf", "fast", "10x", "1e9", "é", "m"] {
            assert!(
                matches!(text.parse::<Rate>(), Err(ParseRateError::Syntax(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn bytes_and_times_agree() {
        let rate = Rate::from_mbps(100);
        assert_eq!(rate.bytes_in(Duration::from_secs(2)), 25_000_000);
        assert_eq!(rate.time_for(12_500_000), Duration::from_secs(1));
        assert_eq!(
            Rate::from_bytes_in(12_500_000, Duration::from_secs(1)),
            rate
        );
        assert_eq!(Rate::MAX.bytes_in(Duration::MAX), u64::MAX);
    }
}
