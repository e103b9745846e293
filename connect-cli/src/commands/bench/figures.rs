//! What a session said while it ran, and what follows from it.

use std::time::Duration;

/// Part of a measurement that counts as start-up: the rate is being looked for there.
const START_UP: f64 = 0.4;

/// A session's figures at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sample {
    /// Time since the session was agreed.
    pub(super) at: Duration,
    /// File data that has arrived.
    pub(super) bytes: u64,
    /// What the sender sends at.
    pub(super) sending_kbps: u64,
    pub(super) rtt_us: u64,
    pub(super) queueing_us: u64,
    /// Lost lately, 0 to 1.
    pub(super) loss: f64,
    /// What this process has used of the processors.
    pub(super) processor: Duration,
}

/// What one direction showed.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures {
    /// The server's UDP address.
    pub(super) peer: String,
    pub(super) target_kbps: Option<u64>,
    pub(super) cap_kbps: Option<u64>,
    /// Bytes of UDP payload; `None` where this side does not send.
    pub(super) datagram: Option<u16>,
    /// In the order of time.
    pub(super) samples: Vec<Sample>,
}

/// The figures behind the start-up.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Settled {
    /// File data that arrived, kbit/s.
    pub(super) rate_kbps: u64,
    /// The same in the first and in the second half.
    pub(super) halves_kbps: (u64, u64),
    /// What the sender sent at, the median, kbit/s.
    pub(super) sending_kbps: u64,
    /// The mean, 0 to 1.
    pub(super) loss: f64,
    /// The median, microseconds.
    pub(super) queueing_us: u64,
    /// Processors that this process kept busy: 1.0 is one whole one.
    pub(super) processors: f64,
}

impl Figures {
    /// The smallest and the middle round trip, microseconds.
    pub(super) fn round_trip(&self) -> (u64, u64) {
        let times = || self.samples.iter().map(|sample| sample.rtt_us);
        let smallest = times().filter(|time| *time > 0).min().unwrap_or(0);
        (smallest, median(times()))
    }

    /// How long data moved, and how much.
    pub(super) fn moved(&self) -> (Duration, u64) {
        self.samples
            .last()
            .map_or((Duration::ZERO, 0), |last| (last.at, last.bytes))
    }

    /// Returns what holds behind the start-up; zeros for a session that said too little.
    pub(super) fn settled(&self) -> Settled {
        let skipped = (self.samples.len() as f64 * START_UP) as usize;
        let samples = &self.samples[skipped..];
        let middle = samples.len() / 2;
        Settled {
            rate_kbps: rate(samples),
            halves_kbps: (
                rate(&samples[..samples.len().min(middle + 1)]),
                rate(&samples[middle..]),
            ),
            sending_kbps: median(samples.iter().map(|sample| sample.sending_kbps)),
            loss: samples.iter().map(|sample| sample.loss).sum::<f64>()
                / samples.len().max(1) as f64,
            queueing_us: median(samples.iter().map(|sample| sample.queueing_us)),
            processors: processors(samples),
        }
    }
}

/// Returns what arrived between the first and the last sample, kbit/s.
fn rate(samples: &[Sample]) -> u64 {
    let [first, .., last] = samples else {
        return 0;
    };
    let time = last.at.saturating_sub(first.at).as_millis() as u64;
    let bytes = last.bytes.saturating_sub(first.bytes);
    (bytes * 8).checked_div(time).unwrap_or(0)
}

fn processors(samples: &[Sample]) -> f64 {
    let [first, .., last] = samples else {
        return 0.0;
    };
    let time = last.at.saturating_sub(first.at).as_secs_f64();
    let used = last.processor.saturating_sub(first.processor);
    if time > 0.0 {
        used.as_secs_f64() / time
    } else {
        0.0
    }
}

fn median(values: impl Iterator<Item = u64>) -> u64 {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_start_up_did_does_not_count() {
        let sample = |i: u64| Sample {
            at: Duration::from_millis(200 * i),
            // 1 MB each 200 ms, after a second of nearly nothing.
            bytes: if i < 4 { i } else { (i - 3) * 1_000_000 },
            sending_kbps: 42_000,
            rtt_us: 80_000 + i,
            queueing_us: 500,
            loss: if i < 4 { 1.0 } else { 0.25 },
            processor: Duration::from_millis(100 * i),
        };
        let figures = Figures {
            samples: (0..20).map(sample).collect(),
            ..Figures::default()
        };
        let settled = figures.settled();
        assert_eq!(settled.rate_kbps, 40_000);
        assert_eq!(settled.halves_kbps, (40_000, 40_000));
        assert_eq!((settled.loss, settled.processors), (0.25, 0.5));
        assert_eq!(figures.round_trip(), (80_000, 80_010));
    }

    #[test]
    fn few_figures_are_no_failure() {
        let mut figures = Figures::default();
        for _ in 0..3 {
            assert_eq!(figures.settled().rate_kbps, 0);
            figures.samples.push(Sample::default());
        }
    }
}
