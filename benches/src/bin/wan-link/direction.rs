//! One direction of the line: bottleneck, loss, delay.

use std::collections::VecDeque;

use crate::options::LinkOptions;

/// Random loss, alone or in bursts: with bursts, a two-state chain that loses everything in its bad state.
#[derive(Debug)]
struct Loss {
    share: f64,
    /// Chances to become bad and to become good again; nothing for independent losses.
    chain: Option<(f64, f64)>,
    is_bad: bool,
}

impl Loss {
    fn new(share: f64, burst: f64) -> Self {
        let recovery = 1.0 / burst;
        let chain = (burst > 1.0 && share > 0.0 && share < 1.0)
            .then(|| (share * recovery / (1.0 - share), recovery));
        Self {
            share,
            chain,
            is_bad: false,
        }
    }

    fn strikes(&mut self, random: &mut fastrand::Rng) -> bool {
        match self.chain {
            None => self.share > 0.0 && random.f64() < self.share,
            Some((worsen, recover)) => {
                let chance = random.f64();
                self.is_bad = if self.is_bad {
                    chance >= recover
                } else {
                    chance < worsen
                };
                self.is_bad
            }
        }
    }
}

/// What happened to the packets of a direction.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counters {
    pub(crate) offered_packets: u64,
    pub(crate) offered_bytes: u64,
    pub(crate) dropped_queue: u64,
    pub(crate) dropped_loss: u64,
    pub(crate) delivered_packets: u64,
    pub(crate) delivered_bytes: u64,
    /// Most bytes that waited before the bottleneck.
    pub(crate) longest_queue: u64,
    /// How much later than planned packets left, nanoseconds: the sum, and the worst.
    pub(crate) late: u64,
    pub(crate) latest: u64,
}

/// A packet on its way.
#[derive(Debug)]
pub(crate) struct Flying {
    /// When it arrives, nanoseconds.
    pub(crate) due: u64,
    pub(crate) length: usize,
    pub(crate) buffer: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Direction {
    options: LinkOptions,
    loss: Loss,
    random: fastrand::Rng,
    /// When the bottleneck has sent everything before it.
    free_at: u64,
    last_due: u64,
    line: VecDeque<Flying>,
    pub(crate) counters: Counters,
}

impl Direction {
    pub(crate) fn new(options: LinkOptions) -> Self {
        Self {
            options,
            loss: Loss::new(options.loss, options.burst),
            random: fastrand::Rng::with_seed(options.seed),
            free_at: 0,
            last_due: 0,
            line: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// Takes a packet at `now`; gives the buffer back when the packet is dropped.
    pub(crate) fn offer(&mut self, now: u64, length: usize, buffer: Vec<u8>) -> Option<Vec<u8>> {
        let bytes = length as u64;
        self.counters.offered_packets += 1;
        self.counters.offered_bytes += bytes;
        let mut leaves = now;
        if let Some(rate) = self.options.rate {
            let waiting = (self.free_at.saturating_sub(now) as f64 * rate / 8e9) as u64;
            self.counters.longest_queue = self.counters.longest_queue.max(waiting);
            if waiting + bytes > self.options.queue {
                self.counters.dropped_queue += 1;
                return Some(buffer);
            }
            leaves = self.free_at.max(now) + (bytes as f64 * 8e9 / rate) as u64;
            self.free_at = leaves;
        }
        if self.loss.strikes(&mut self.random) {
            self.counters.dropped_loss += 1;
            return Some(buffer);
        }
        let jitter = match self.options.jitter {
            0 => 0,
            most => self.random.u64(0..=2 * most),
        };
        let planned = (leaves + self.options.delay + jitter).saturating_sub(self.options.jitter);
        self.last_due = planned.max(leaves).max(self.last_due);
        self.line.push_back(Flying {
            due: self.last_due,
            length,
            buffer,
        });
        None
    }

    /// When the next packet arrives.
    pub(crate) fn next_due(&self) -> Option<u64> {
        self.line.front().map(|packet| packet.due)
    }

    /// The next packet that has arrived by `now`.
    pub(crate) fn arrived(&mut self, now: u64) -> Option<Flying> {
        if self.next_due()? > now {
            return None;
        }
        let packet = self.line.pop_front()?;
        let late = now - packet.due;
        self.counters.late += late;
        self.counters.latest = self.counters.latest.max(late);
        Some(packet)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        let c = &self.counters;
        serde_json::json!({
            "offered_packets": c.offered_packets,
            "offered_bytes": c.offered_bytes,
            "dropped_queue": c.dropped_queue,
            "dropped_loss": c.dropped_loss,
            "delivered_packets": c.delivered_packets,
            "delivered_bytes": c.delivered_bytes,
            "longest_queue_ms": self.options.rate.map(|rate| c.longest_queue as f64 * 8e3 / rate),
            "mean_late_us": c.late as f64 / 1e3 / c.delivered_packets.max(1) as f64,
            "worst_late_us": c.latest as f64 / 1e3,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn line(loss: f64, burst: f64) -> Direction {
        Direction::new(LinkOptions {
            rate: Some(12e6),
            delay: 10 * MS,
            queue: 4500,
            loss,
            burst,
            jitter: 0,
            seed: 7,
        })
    }

    #[test]
    fn packets_leave_at_the_rate_and_arrive_after_the_delay() {
        let mut line = line(0.0, 1.0);
        for _ in 0..3 {
            assert!(line.offer(0, 1500, vec![0; 1500]).is_none());
        }
        // 1,500 bytes take 1 ms at 12 Mbit/s.
        assert!(line.arrived(11 * MS - 1).is_none());
        assert_eq!(line.arrived(11 * MS).unwrap().due, 11 * MS);
        assert_eq!(line.arrived(20 * MS).unwrap().due, 12 * MS);
        assert_eq!(line.next_due(), Some(13 * MS));
    }

    #[test]
    fn a_full_queue_drops_what_comes_last() {
        let mut line = line(0.0, 1.0);
        let dropped = (0..10)
            .filter(|_| line.offer(0, 1500, Vec::new()).is_some())
            .count();
        assert_eq!((dropped, line.counters.dropped_queue), (7, 7));
        assert!(
            line.offer(MS, 1500, Vec::new()).is_none(),
            "room again after a packet has left"
        );
    }

    #[test]
    fn the_share_lost_is_the_one_asked_for() {
        for burst in [1.0, 8.0] {
            let mut line = line(0.05, burst);
            let (mut lost, mut runs, mut before) = (0, 0, false);
            for i in 0..200_000 {
                let is_lost = line.offer(i * MS, 1500, Vec::new()).is_some();
                lost += u32::from(is_lost);
                runs += u32::from(is_lost && !before);
                before = is_lost;
            }
            let (share, length) = (
                f64::from(lost) / 200_000.0,
                f64::from(lost) / f64::from(runs),
            );
            assert!((0.045..0.055).contains(&share), "burst {burst}: {share}");
            let expected = if burst > 1.0 { burst } else { 1.05 };
            assert!(
                (expected * 0.9..expected * 1.1).contains(&length),
                "burst {burst}: {length}"
            );
        }
    }
}
