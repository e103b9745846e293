//! Putting packets on the wire one after the other, without drift.

/// A transmitter that sends at a fixed rate; times in nanoseconds.
///
/// Fractions of a nanosecond are carried from packet to packet, so a million packets take exactly a million
/// times as long as one.
#[derive(Debug, Clone)]
pub(crate) struct Serialiser {
    rate: Option<u64>,
    free_at: u64,
    /// Part of a nanosecond past `free_at`, in units of 1 / `rate`.
    fraction: u64,
}

impl Serialiser {
    pub(crate) fn new(rate: Option<u64>) -> Self {
        Self {
            rate: rate.map(|rate| rate.max(1)),
            free_at: 0,
            fraction: 0,
        }
    }

    /// Returns how long a packet handed over at `now` waits before its first bit leaves.
    #[inline]
    pub(crate) fn wait(&self, now: u64) -> u64 {
        self.free_at.saturating_sub(now)
    }

    /// Appends a packet; returns when its last bit leaves.
    #[inline]
    pub(crate) fn occupy(&mut self, now: u64, bytes: usize) -> u64 {
        let Some(rate) = self.rate else {
            return now;
        };
        if now > self.free_at {
            self.free_at = now;
            self.fraction = 0;
        }
        let (taken, fraction) = divide(bytes, self.fraction, rate);
        self.free_at = self.free_at.saturating_add(taken);
        self.fraction = fraction;
        self.free_at
    }

    /// Changes the rate at `now` while a packet that would have left at `leaves` is on the wire; returns when it
    /// leaves now that the rest of it goes at the new rate.
    pub(crate) fn change_rate(&mut self, now: u64, rate: Option<u64>, leaves: u64) -> u64 {
        let old = std::mem::replace(self, Self::new(rate)).rate;
        self.free_at = match (old, self.rate) {
            (Some(old), Some(new)) => {
                let left = u128::from(leaves.saturating_sub(now)) * u128::from(old);
                let left = left.div_ceil(u128::from(new));
                now.saturating_add(u64::try_from(left).unwrap_or(u64::MAX))
            }
            _ => now,
        };
        self.free_at
    }
}

/// Returns whole nanoseconds and the fraction left for `bytes` at `rate`, starting from a fraction.
#[inline]
fn divide(bytes: usize, fraction: u64, rate: u64) -> (u64, u64) {
    const BIT_NANOS_PER_BYTE: u64 = 8 * 1_000_000_000;
    let short = (bytes as u64)
        .checked_mul(BIT_NANOS_PER_BYTE)
        .and_then(|work| work.checked_add(fraction));
    match short {
        Some(work) => (work / rate, work % rate),
        // Packets of gigabytes: exact as well, only slower.
        None => {
            let work = bytes as u128 * u128::from(BIT_NANOS_PER_BYTE) + u128::from(fraction);
            let rate = u128::from(rate);
            let taken = u64::try_from(work / rate).unwrap_or(u64::MAX);
            (taken, u64::try_from(work % rate).unwrap_or(0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_of_a_nanosecond_add_up() {
        // One byte at 3 bit/s takes 2 2/3 seconds.
        let mut serialiser = Serialiser::new(Some(3));
        let ends: Vec<u64> = (0..3).map(|_| serialiser.occupy(0, 1)).collect();
        assert_eq!(ends, [2_666_666_666, 5_333_333_333, 8_000_000_000]);
    }

    #[test]
    fn a_huge_packet_takes_as_long_as_its_bytes() {
        let mut serialiser = Serialiser::new(Some(8_000_000_000));
        assert_eq!(serialiser.occupy(0, 5_000_000_000), 5_000_000_000);
    }

    #[test]
    fn a_rate_of_zero_is_slow_and_not_a_division_by_zero() {
        assert_eq!(Serialiser::new(Some(0)).occupy(0, 1), 8_000_000_000);
    }
}
