//! The receiver's report (protocol §6).

use std::ops::RangeInclusive;

use super::codec::{Malformed, Reader, put_varint};

/// Most ranges in one report (rule W-27).
pub(crate) const MAX_RANGES: usize = 256;
/// Most arrival samples besides the one of the highest number.
pub(crate) const MAX_SAMPLES: usize = 8;

/// Delay of a report that speaks of old numbers only and says nothing about times (protocol §6.1).
pub(crate) const NO_TIME: u64 = (1 << 62) - 1;

/// When a number arrived, on the receiver's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) number: u64,
    /// Microseconds, wrapping.
    pub(crate) at: u32,
}

/// What the receiver has seen, and what it can take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Feedback {
    /// Highest number received.
    pub(crate) largest: u64,
    /// Microseconds between the arrival of `largest` and this report; [`NO_TIME`] when its arrival is not known.
    pub(crate) delay: u64,
    /// Arrival of `largest` on the receiver's clock, microseconds, wrapping.
    pub(crate) arrival: u32,
    /// Some earlier arrivals, newest first.
    pub(crate) samples: Vec<Arrival>,
    /// Datagrams received so far that carried the mark "congestion experienced".
    pub(crate) congestion_marks: u64,
    /// Bytes of page data accepted beyond what the receiver has finished with.
    pub(crate) page_credit: u64,
    /// What the receiver's storage takes, kbit/s; zero is no limit.
    pub(crate) rate_limit: u64,
    /// First number this report speaks about.
    pub(crate) floor: u64,
    /// Received numbers, highest range first, disjoint and not adjacent.
    pub(crate) ranges: Vec<RangeInclusive<u64>>,
}

impl Feedback {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let largest = reader.varint()?;
        let delay = reader.varint()?;
        let arrival = reader.u32()?;
        let samples = decode_samples(reader, largest, arrival)?;
        let congestion_marks = reader.varint()?;
        let page_credit = reader.varint()?;
        let rate_limit = reader.varint()?;
        let floor = reader.varint()?;
        let ranges = decode_ranges(reader, largest, floor)?;
        Ok(Self {
            largest,
            delay,
            arrival,
            samples,
            congestion_marks,
            page_credit,
            rate_limit,
            floor,
            ranges,
        })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.largest);
        put_varint(out, self.delay);
        out.extend_from_slice(&self.arrival.to_be_bytes());
        let samples = &self.samples[..self.samples.len().min(MAX_SAMPLES)];
        out.push(samples.len() as u8);
        for sample in samples {
            put_varint(out, self.largest - sample.number);
            put_varint(out, u64::from(self.arrival.wrapping_sub(sample.at)));
        }
        put_varint(out, self.congestion_marks);
        put_varint(out, self.page_credit);
        put_varint(out, self.rate_limit);
        put_varint(out, self.floor);
        let ranges = &self.ranges[..self.ranges.len().min(MAX_RANGES)];
        put_varint(out, ranges.len() as u64);
        let mut above = None;
        for range in ranges {
            if let Some(above) = above {
                // At least one missing number lies between two ranges; the gap counts those beyond it.
                put_varint(out, above - range.end() - 2);
            }
            put_varint(out, range.end() - range.start());
            above = Some(*range.start());
        }
    }
}

fn decode_samples(
    reader: &mut Reader<'_>,
    largest: u64,
    arrival: u32,
) -> Result<Vec<Arrival>, Malformed> {
    let count = usize::from(reader.u8()?);
    if count > MAX_SAMPLES {
        return Err(Malformed::Range);
    }
    let mut samples = Vec::with_capacity(count);
    for _ in 0..count {
        let number = largest
            .checked_sub(reader.varint()?)
            .ok_or(Malformed::Range)?;
        let earlier = reader.varint_u32()?;
        samples.push(Arrival {
            number,
            at: arrival.wrapping_sub(earlier),
        });
    }
    Ok(samples)
}

fn decode_ranges(
    reader: &mut Reader<'_>,
    largest: u64,
    floor: u64,
) -> Result<Vec<RangeInclusive<u64>>, Malformed> {
    let count = usize::try_from(reader.varint()?).map_err(|_| Malformed::Range)?;
    if !(1..=MAX_RANGES).contains(&count) {
        return Err(Malformed::Range);
    }
    let mut ranges = Vec::with_capacity(count);
    let mut end = largest;
    for i in 0..count {
        if i > 0 {
            let gap = reader.varint()?;
            end = end
                .checked_sub(gap)
                .and_then(|e| e.checked_sub(2))
                .ok_or(Malformed::Range)?;
        }
        let start = end.checked_sub(reader.varint()?).ok_or(Malformed::Range)?;
        if start < floor {
            return Err(Malformed::Range);
        }
        ranges.push(start..=end);
        end = start;
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn feedback() -> impl Strategy<Value = Feedback> {
        let steps = prop::collection::vec((0u64..50, 0u64..50), 1..40);
        (steps, any::<u32>(), 0u64..1000, 0u64..1 << 40).prop_map(
            |(steps, arrival, delay, floor)| {
                let mut next = floor;
                let mut ranges = Vec::new();
                for (gap, length) in steps {
                    let start = next + gap;
                    ranges.insert(0, start..=start + length);
                    next = start + length + 2;
                }
                let largest = *ranges[0].end();
                Feedback {
                    largest,
                    delay,
                    arrival,
                    samples: vec![Arrival {
                        number: largest - largest.min(3),
                        at: arrival.wrapping_sub(70),
                    }],
                    congestion_marks: 3,
                    page_credit: 1 << 20,
                    rate_limit: 0,
                    floor,
                    ranges,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn reports_round_trip(feedback in feedback()) {
            let mut out = Vec::new();
            feedback.encode(&mut out);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(Feedback::decode(&mut reader), Ok(feedback));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn decoded_ranges_are_sorted_disjoint_and_above_the_floor(bytes: Vec<u8>) {
            if let Ok(feedback) = Feedback::decode(&mut Reader::new(&bytes)) {
                prop_assert!(feedback.ranges.iter().all(|r| r.start() <= r.end() && *r.start() >= feedback.floor));
                prop_assert!(feedback.ranges.windows(2).all(|w| *w[1].end() + 1 < *w[0].start()));
            }
        }
    }

    #[test]
    fn w27_more_than_256_ranges_are_refused() {
        let mut bytes = vec![0x44, 0x00, 0x00, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend_from_slice(&[0x41, 0x01]);
        bytes.extend_from_slice(&[0; 600]);
        assert_eq!(
            Feedback::decode(&mut Reader::new(&bytes)),
            Err(Malformed::Range)
        );
    }
}
