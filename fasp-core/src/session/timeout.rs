//! What time alone does (protocol §7.5, §10.2, §11).

use std::time::{Duration, Instant};

use super::{Role, Session, Side, State};
use crate::ErrorCode;

/// A sender with nothing on its way says something this often, so that both ends know the path lives.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
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
        let probe = self.sent.has_in_flight().then(|| self.probe_at());
        let silence = self.sent.has_in_flight().then(|| self.silence_at());
        let data = self.next_data_time();
        let tail = self.next_tail_time();
        let alive = (self.role == Role::Sender && !self.is_greeting())
            .then(|| self.last_eliciting + KEEP_ALIVE);
        [
            report,
            probe,
            silence,
            data,
            tail,
            alive,
            self.peer.next_timeout(),
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
                    return self.close(now, Some((ErrorCode::Stalled, text)));
                }
            }
        }
        if self.sent.has_in_flight() {
            self.check_probe(now);
            self.check_silence(now);
        } else if self.role == Role::Sender
            && now >= self.last_eliciting + KEEP_ALIVE
            && !self.is_greeting()
        {
            self.urgent.pings = 1;
        }
    }

    pub(super) fn is_greeting(&self) -> bool {
        matches!(self.state, State::Greeting { .. })
    }

    fn probe_at(&self) -> Instant {
        let since = self.last_report.max(
            self.last_eliciting
                .min(self.sent.oldest_in_flight().unwrap_or(self.last_report)),
        );
        since + self.rtt.probe_timeout() * (1 << self.probe_count.min(6))
    }

    fn check_probe(&mut self, now: Instant) {
        if now < self.probe_at() {
            return;
        }
        self.probe_count += 1;
        self.probes = 0;
        for _ in 0..2 {
            match self.sent.repeat_oldest(now) {
                Some(content) => {
                    self.requeue(content);
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
