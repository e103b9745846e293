//! The start: how the rate grows until the path is found.

use std::time::{Duration, Instant};

use super::{
    Found, Report,
    loss::{DEVIATIONS, deviation},
};
use crate::Rate;

/// What may leave relative to what the path was seen to deliver. A sample is a round trip, half its own length and a
/// report old; at 2.6 times a round trip the rate is 3.3 times the sample by then, and what has left between the first
/// queueing datagram and its report is one product more than the path holds.
const GAIN: f64 = 3.3;
/// The same while the flight is so small that an overshoot hardly counts.
const SMALL_GAIN: f64 = 5.0;
const SMALL_FLIGHT: u64 = 192 << 10;
/// A round trip whose delivery grew by less than this …
const GROWTH: f64 = 1.25;
/// … this often has found the path.
const FLAT_ROUNDS: u32 = 3;
/// Queueing delay that ends the start: this, or a sixteenth of the round trip if that is more.
const QUEUE: Duration = Duration::from_millis(3);
/// More loss than before by this much, or by three standard deviations of chance where that is more, and no growth end it as
/// well: a queue too short to be seen, or a policer.
const MORE_LOSS: f64 = 0.08;
/// Datagrams, and share of a round trip, after which loss and goodput are looked at.
const LOOK_DATAGRAMS: u64 = 40;
const LOOK_SHARE: u32 = 2;
/// Datagrams after which the usual loss is known well enough to judge more by.
const USUAL_DATAGRAMS: u64 = 100;
/// Datagrams after which it is not doubted soon.
const SURE_DATAGRAMS: u64 = 400;

/// Looks for the path's rate, growing about 2.6 times a round trip.
#[derive(Debug)]
pub(super) struct Start {
    round_ends: Instant,
    best: Rate,
    flat: u32,
    queued: u32,
    /// Bytes lost and delivered since the last look, and when that was.
    settled: (u64, u64),
    looked: Instant,
    /// Largest goodput of a look, without what was lost.
    goodput: Rate,
    /// Bytes lost and delivered while goodput still grew.
    growing: (u64, u64),
}

impl Start {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            round_ends: now,
            best: Rate::ZERO,
            flat: 0,
            queued: 0,
            settled: (0, 0),
            looked: now,
            goodput: Rate::ZERO,
            growing: (0, 0),
        }
    }

    /// Starts from a rate that the path has carried.
    pub(super) fn again(now: Instant, rate: Rate) -> Self {
        Self {
            best: rate,
            ..Self::new(now)
        }
    }

    /// The share that is lost whatever the rate: what was lost while delivery still grew.
    pub(super) fn usual_loss(&self) -> f64 {
        let (lost, delivered) = self.growing;
        lost as f64 / (lost + delivered).max(1) as f64
    }

    /// Whether so much was seen meanwhile that it says something.
    pub(super) fn knows_usual_loss(&self, datagram: u64) -> bool {
        self.growing.0 + self.growing.1 >= SURE_DATAGRAMS * datagram
    }

    /// Whether anything is known of the path.
    pub(super) fn is_measured(&self) -> bool {
        self.best > Rate::ZERO
    }

    /// Takes a report and moves `wanted`; `effect` datagrams say as much about loss as an independent one. Returns what the path
    /// carries once that is known.
    pub(super) fn on_report(
        &mut self,
        now: Instant,
        report: &Report,
        effect: f64,
        wanted: &mut Rate,
    ) -> Option<Found> {
        let sample = report.bandwidth?;
        let limit = QUEUE.max(report.base_rtt / 16);
        self.queued = match report.queueing {
            Some(queueing) if queueing > limit => self.queued + 1,
            _ => 0,
        };
        // One report may be a hiccup of the receiver.
        if self.queued >= 2 {
            return Some(Found::Queue(sample));
        }
        if let Some(carried) = self.look(now, report, effect) {
            return Some(Found::Loss(carried));
        }
        if now >= self.round_ends {
            let grew =
                sample.bits_per_second() as f64 >= self.best.bits_per_second() as f64 * GROWTH;
            self.flat = if grew || report.starved {
                0
            } else {
                self.flat + 1
            };
            self.best = self.best.max(sample);
            self.round_ends = now + report.rtt;
            if self.flat >= FLAT_ROUNDS {
                return Some(Found::Flat(self.best));
            }
        }
        let flight = sample.bytes_in(report.base_rtt);
        let gain = if flight < SMALL_FLIGHT {
            SMALL_GAIN
        } else {
            GAIN
        };
        *wanted = (*wanted).max(sample.scaled(gain));
        None
    }

    /// Compares loss and goodput with what they were; returns what came through once more is lost and no more arrives.
    fn look(&mut self, now: Instant, report: &Report, effect: f64) -> Option<Rate> {
        self.settled.0 += report.lost;
        self.settled.1 += report.delivered;
        let (lost, delivered) = self.settled;
        let elapsed = now.saturating_duration_since(self.looked);
        if lost + delivered < LOOK_DATAGRAMS * report.datagram || elapsed < report.rtt / LOOK_SHARE
        {
            return None;
        }
        self.looked = now;
        let goodput = Rate::from_bytes_in(delivered, elapsed);
        let grew =
            goodput.bits_per_second() as f64 >= self.goodput.bits_per_second() as f64 * GROWTH;
        let usual = self.usual_loss();
        let loss = lost as f64 / (lost + delivered) as f64;
        if !grew
            && !report.starved
            && loss > usual + self.more_loss(report.datagram as f64 * effect)
        {
            let carried = goodput.max(self.goodput);
            return Some(carried.scaled(1.0 / (1.0 - usual.min(0.9))));
        }
        // A path that is overrun still delivers more while its queue fills: that loss is not the usual one.
        let counted = self.growing.0 + self.growing.1;
        let is_usual = counted < USUAL_DATAGRAMS * report.datagram || loss <= usual + MORE_LOSS;
        if grew && is_usual {
            self.growing.0 += lost;
            self.growing.1 += delivered;
        }
        self.goodput = self.goodput.max(goodput);
        self.settled = (0, 0);
        None
    }

    /// How much more than the usual loss a look has to show: few datagrams lose more now and then. `independent` bytes say
    /// as much as an independent datagram.
    fn more_loss(&self, independent: f64) -> f64 {
        let of = |(lost, delivered): (u64, u64)| (lost as f64, (lost + delivered) as f64);
        let ((lost, looked), (usual, known)) = (of(self.settled), of(self.growing));
        let share = (lost + usual) / (looked + known).max(1.0);
        let spread = |bytes: f64| deviation(share, bytes / independent);
        MORE_LOSS.max(DEVIATIONS * spread(looked).hypot(spread(known)))
    }
}
