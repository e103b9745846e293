//! What time alone does (protocol §7.5, §10.2, §11).

use std::time::{Duration, Instant};

use super::transmit::CHALLENGE_SIZE;
use super::{Role, Session, Side, State};
use crate::ErrorCode;

/// A sender with nothing on its way says something this often, so that both ends know the path lives.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Shortest time between two pings in the tail.
const MIN_TAIL_PING: Duration = Duration::from_millis(5);
/// A client that has heard nothing for this long (or two round trips, if longer) says something.
const QUIET: Duration = Duration::from_secs(1);
/// Longest time between two probes on paths whose round trip is shorter.
const MAX_PROBE_INTERVAL: Duration = Duration::from_secs(2);
/// Without a report for this long, the rate is halved (or four round trips, if longer).
const SILENCE: Duration = Duration::from_secs(2);

impl Session {
    /// Returns when [`handle_timeout`](Self::handle_timeout) or [`poll_transmit`](Self::poll_transmit) wants to be
    /// called next, if nothing else happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let state = match &self.state {
            State::Closed => return None,
            State::Closing { next, .. } => return Some(*next),
            State::Greeting {
                since, hello_at, ..
            } => match self.side {
                Side::Client { .. } => (*since + self.hello_timeout).min(*hello_at),
                Side::Server => *since + self.hello_timeout,
            },
            State::Open => self.last_heard + self.data_timeout,
        };
        let report = self.received.due().filter(|_| !self.is_greeting());
        let probe = (self.sent.has_in_flight() && !self.is_greeting()).then(|| self.probe_at());
        let silence = self.sent.has_in_flight().then(|| self.silence_at());
        let data = self.next_data_time();
        let tail = self.next_tail_time();
        let tail_ping = self.tail_ping_at();
        let alive = self.alive_at();
        [
            report,
            probe,
            silence,
            data,
            tail,
            tail_ping,
            alive,
            self.controller.next_change(),
            self.peer.next_timeout(CHALLENGE_SIZE),
        ]
        .into_iter()
        .flatten()
        .chain([state])
        .min()
    }

    /// Acts on whatever time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &self.state {
            State::Closed | State::Closing { .. } => return,
            State::Greeting { since, .. } => {
                if now >= *since + self.hello_timeout {
                    let text = match self.side {
                        Side::Client { .. } => "no datagram came back from the server",
                        Side::Server => "no datagram arrived from the client",
                    };
                    return self.close(now, Some((ErrorCode::DataTimeout, text)));
                }
            }
            State::Open => {
                if now >= self.last_heard + self.data_timeout {
                    let text = "nothing arrived from the other side any more";
                    let error = (!self.is_complete).then_some((ErrorCode::Stalled, text));
                    return self.close(now, error);
                }
            }
        }
        self.controller.on_time(now);
        self.pacer.set_rate(now, self.controller.rate());
        if self.sent.has_in_flight() {
            self.check_probe(now);
            self.check_silence(now);
            if self.tail_ping_at().is_some_and(|at| now >= at) {
                self.urgent.pings = 1;
            }
        } else if self.alive_at().is_some_and(|at| now >= at) {
            self.urgent.pings = 1;
            // Counts as sent even when there is no address to send it to, or this time would never pass.
            self.last_eliciting = now;
        }
    }

    pub(super) fn is_greeting(&self) -> bool {
        matches!(self.state, State::Greeting { .. })
    }

    pub(super) fn is_closing(&self) -> bool {
        matches!(self.state, State::Closing { .. } | State::Closed)
    }

    /// When to say something only to be heard: nothing is on its way that a report would answer.
    fn alive_at(&self) -> Option<Instant> {
        if self.is_greeting() || self.sent.has_in_flight() {
            return None;
        }
        let keep = (self.role == Role::Sender).then(|| self.last_eliciting + KEEP_ALIVE);
        // A client whose address changed unknown to it hears nothing until the server sees the new one.
        let quiet = QUIET.max(self.rtt.smoothed() * 2);
        let lost = matches!(self.side, Side::Client { .. })
            .then(|| self.last_heard.max(self.last_eliciting) + quiet);
        keep.into_iter().chain(lost).min()
    }

    /// When to say something so that its report tells what became of the last content sent.
    fn tail_ping_at(&self) -> Option<Instant> {
        let wait = (self.rtt.smoothed() / 4).max(MIN_TAIL_PING);
        let since = self.last_eliciting.max(self.last_probe);
        // A path that reports nothing at all is left to the probes.
        (self.is_tail() && self.probe_count == 0).then(|| since + wait)
    }

    fn probe_at(&self) -> Instant {
        let first = self.rtt.probe_timeout();
        let wait = (first * (1 << self.probe_count.min(6))).min(first.max(MAX_PROBE_INTERVAL));
        self.last_report.max(self.last_probe) + wait
    }

    fn check_probe(&mut self, now: Instant) {
        if self.is_greeting() || now < self.probe_at() {
            return;
        }
        self.probe_count += 1;
        self.last_probe = now;
        self.probes = 0;
        for _ in 0..2 {
            match self.sent.repeat_oldest(now) {
                Some(content) => {
                    self.requeue(content, 1);
                    self.probes += 1;
                }
                None => self.urgent.pings = 1,
            }
        }
        // A small datagram tells a path that drops full-size ones from a dead one.
        self.urgent.pings = 1;
    }

    fn silence_step(&self) -> Duration {
        SILENCE.max(self.rtt.smoothed() * 4)
    }

    fn silence_at(&self) -> Instant {
        self.last_report + self.silence_step() * (self.silence_steps + 1)
    }

    fn check_silence(&mut self, now: Instant) {
        if now < self.silence_at() {
            return;
        }
        self.silence_steps += 1;
        let silence = now.saturating_duration_since(self.last_report);
        let datagram = u64::from(self.mtu.current());
        self.controller
            .on_silence(silence, self.rtt.smoothed(), datagram);
        self.pacer.set_rate(now, self.controller.rate());
    }
}
