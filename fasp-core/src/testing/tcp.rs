//! A TCP sender to compete with: windows and pacing as CUBIC (RFC 9438) and BBR version 1 have them, packets without
//! bytes. It models what matters to others at a bottleneck, not a stack: every packet is acknowledged by itself, and a
//! packet overtaken by three later ones is lost.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Bytes of a packet without IP and UDP headers, which the links add.
pub(super) const PACKET: usize = 1472;
/// Bytes of file in a packet on real TCP, and so what counts as goodput.
const PAYLOAD: u64 = 1448;
/// Without an acknowledgement for this long everything is sent again.
const TIMEOUT: Duration = Duration::from_secs(1);
/// BBR's gains of a cycle of eight round trips.
const CYCLE: [f64; 8] = [1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
const HIGH_GAIN: f64 = 2.885;

/// Which congestion control a TCP flow has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpKind {
    /// RFC 9438, with HyStart's delay rule.
    Cubic,
    /// BBR version 1, as Linux has it.
    Bbr,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    at: Instant,
    delivered: u64,
}

/// The sending half.
#[derive(Debug)]
pub(super) struct TcpFlow {
    kind: TcpKind,
    next: u64,
    flying: BTreeMap<u64, Sent>,
    window: f64,
    threshold: f64,
    /// CUBIC: window before the last loss, and when that was.
    max: f64,
    epoch: Option<Instant>,
    start: f64,
    recovery: u64,
    rtt: f64,
    min_rtt: (f64, Instant),
    delivered: u64,
    last_ack: Instant,
    bbr: Bbr,
    next_send: Instant,
}

#[derive(Debug)]
struct Bbr {
    samples: VecDeque<(u64, f64)>,
    round: u64,
    round_end: u64,
    full: f64,
    flat: u32,
    phase: Phase,
    cycle: usize,
    cycle_at: Instant,
    probe_until: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    StartUp,
    Drain,
    ProbeBw,
}

impl TcpFlow {
    pub(super) fn new(kind: TcpKind, now: Instant) -> Self {
        Self {
            kind,
            next: 0,
            flying: BTreeMap::new(),
            window: 10.0,
            threshold: f64::MAX,
            max: 0.0,
            epoch: None,
            start: 10.0,
            recovery: 0,
            rtt: 0.1,
            min_rtt: (f64::MAX, now),
            delivered: 0,
            last_ack: now,
            bbr: Bbr {
                samples: VecDeque::new(),
                round: 0,
                round_end: 0,
                full: 0.0,
                flat: 0,
                phase: Phase::StartUp,
                cycle: 0,
                cycle_at: now,
                probe_until: None,
            },
            next_send: now,
        }
    }

    /// Bytes of payload acknowledged so far.
    pub(super) fn goodput(&self) -> u64 {
        self.delivered * PAYLOAD
    }

    /// When to look again although nothing has arrived.
    pub(super) fn due(&self) -> Instant {
        let timeout = self.last_ack + TIMEOUT;
        if (self.flying.len() as f64) < self.limit() {
            self.next_send.min(timeout)
        } else {
            timeout
        }
    }

    /// Returns the number of the next packet that may leave now.
    pub(super) fn poll(&mut self, now: Instant) -> Option<u64> {
        if now >= self.last_ack + TIMEOUT {
            self.last_ack = now;
            self.flying.clear();
            self.window = 10.0;
        }
        if self.flying.len() as f64 >= self.limit() || now < self.next_send {
            return None;
        }
        let gap = PACKET as f64 * 8.0 / self.pacing();
        self.next_send =
            self.next_send.max(now - Duration::from_millis(1)) + Duration::from_secs_f64(gap);
        let number = self.next;
        self.next += 1;
        if self.flying.is_empty() {
            self.last_ack = now;
        }
        self.flying.insert(
            number,
            Sent {
                at: now,
                delivered: self.delivered,
            },
        );
        Some(number)
    }

    /// A packet was acknowledged.
    pub(super) fn on_ack(&mut self, now: Instant, number: u64) {
        let Some(sent) = self.flying.remove(&number) else {
            return;
        };
        self.last_ack = now;
        self.delivered += 1;
        let sample = (now - sent.at).as_secs_f64().max(1e-6);
        self.rtt += (sample - self.rtt) / 8.0;
        let expired = now - self.min_rtt.1 > Duration::from_secs(10);
        if sample <= self.min_rtt.0 || expired {
            if expired && self.kind == TcpKind::Bbr && self.bbr.phase == Phase::ProbeBw {
                self.bbr.probe_until = Some(
                    now + Duration::from_millis(200) + Duration::from_secs_f64(self.min_rtt.0),
                );
            }
            self.min_rtt = (sample, now);
        }
        let lost: Vec<u64> = self
            .flying
            .range(..number.saturating_sub(2))
            .map(|(n, _)| *n)
            .collect();
        for lost in &lost {
            self.flying.remove(lost);
        }
        match self.kind {
            TcpKind::Cubic => self.cubic(now, lost.last().copied(), sample),
            TcpKind::Bbr => self.bbr(now, number, &sent),
        }
    }

    fn limit(&self) -> f64 {
        match self.kind {
            TcpKind::Cubic => self.window,
            TcpKind::Bbr if self.bbr.probe_until.is_some() => 4.0,
            TcpKind::Bbr => {
                let gain = if self.bbr.phase == Phase::ProbeBw {
                    2.0
                } else {
                    HIGH_GAIN
                };
                (gain * self.product()).max(10.0)
            }
        }
    }

    /// Bits per second that leave at most.
    fn pacing(&self) -> f64 {
        let bits = PACKET as f64 * 8.0;
        match self.kind {
            TcpKind::Cubic => {
                let gain = if self.window < self.threshold {
                    2.0
                } else {
                    1.2
                };
                gain * self.window / self.rtt * bits
            }
            TcpKind::Bbr => {
                let gain = match self.bbr.phase {
                    Phase::StartUp => HIGH_GAIN,
                    Phase::Drain => 1.0 / HIGH_GAIN,
                    Phase::ProbeBw => CYCLE[self.bbr.cycle],
                };
                let rate = self.rate().max(10.0 / self.rtt);
                gain * rate * bits
            }
        }
    }

    fn cubic(&mut self, now: Instant, lost: Option<u64>, sample: f64) {
        if let Some(lost) = lost {
            if lost >= self.recovery {
                self.recovery = self.next;
                self.max = if self.window < self.max {
                    self.window * 0.85
                } else {
                    self.window
                };
                self.window = (self.window * 0.7).max(2.0);
                self.threshold = self.window;
                self.start = self.window;
                self.epoch = Some(now);
            }
            return;
        }
        if self.window < self.threshold {
            self.window += 1.0;
            if self.window > 16.0
                && sample > self.min_rtt.0 + (self.min_rtt.0 / 8.0).clamp(0.004, 0.016)
            {
                self.threshold = self.window;
            }
            return;
        }
        let epoch = *self.epoch.get_or_insert(now);
        if self.max == 0.0 {
            self.max = self.window;
            self.start = self.window;
        }
        let t = (now - epoch).as_secs_f64() + self.rtt;
        let k = ((self.max - self.start).max(0.0) / 0.4).cbrt();
        let target = 0.4 * (t - k).powi(3) + self.max;
        let reno = self.start + 0.53 * t / self.rtt;
        let target = target.max(reno).min(self.window * 1.5);
        if target > self.window {
            self.window += (target - self.window) / self.window;
        }
    }

    /// Packets per second, the largest of ten round trips.
    fn rate(&self) -> f64 {
        self.bbr.samples.front().map_or(0.0, |(_, rate)| *rate)
    }

    fn product(&self) -> f64 {
        if self.min_rtt.0 == f64::MAX {
            10.0
        } else {
            self.rate() * self.min_rtt.0
        }
    }

    fn bbr(&mut self, now: Instant, number: u64, sent: &Sent) {
        let rate =
            (self.delivered - sent.delivered) as f64 / (now - sent.at).as_secs_f64().max(1e-6);
        let is_round = number >= self.bbr.round_end;
        if is_round {
            self.bbr.round += 1;
            self.bbr.round_end = self.next;
        }
        let round = self.bbr.round;
        while self
            .bbr
            .samples
            .front()
            .is_some_and(|(at, _)| *at + 10 < round)
        {
            self.bbr.samples.pop_front();
        }
        while self.bbr.samples.back().is_some_and(|(_, old)| *old <= rate) {
            self.bbr.samples.pop_back();
        }
        self.bbr.samples.push_back((round, rate));
        if self.bbr.probe_until.is_some_and(|until| now >= until) {
            self.bbr.probe_until = None;
            self.min_rtt.1 = now;
        }
        let (best, product) = (self.rate(), self.product());
        match self.bbr.phase {
            Phase::StartUp if is_round => {
                if best >= self.bbr.full * 1.25 {
                    self.bbr.full = best;
                    self.bbr.flat = 0;
                } else {
                    self.bbr.flat += 1;
                }
                if self.bbr.flat >= 3 {
                    self.bbr.phase = Phase::Drain;
                }
            }
            Phase::Drain if self.flying.len() as f64 <= product => {
                self.bbr.phase = Phase::ProbeBw;
                self.bbr.cycle_at = now;
            }
            Phase::ProbeBw if (now - self.bbr.cycle_at).as_secs_f64() > self.min_rtt.0 => {
                self.bbr.cycle = (self.bbr.cycle + 1) % CYCLE.len();
                self.bbr.cycle_at = now;
            }
            _ => {}
        }
    }
}
