//! How long the receive thread lets datagrams gather before it takes them.
//!
//! On a path that brings a datagram every hundred microseconds, waking a row of threads for each costs several times what
//! receiving it costs. So while datagrams come that fast, they are taken a few at a time.

use std::time::{Duration, Instant};

/// Longest pause: far below what a report waits for anyway, and what delays are told apart by.
const PAUSE: Duration = Duration::from_micros(250);
/// Shorter ones are not worth the timer.
const SHORTEST: Duration = Duration::from_micros(20);
/// Datagrams that a pause has to bring at least.
const WORTH: f64 = 1.5;
/// Datagrams of one reception that are worth waking for as they are: the system has joined them.
const ENOUGH: usize = 16;
/// Share of the socket's buffer that may fill meanwhile.
const SHARE: usize = 8;
/// Time over which arrivals are averaged.
const MEMORY: Duration = Duration::from_millis(5);

/// Watches how fast datagrams arrive.
#[derive(Debug)]
pub(super) struct Gather {
    at: Instant,
    /// A second.
    datagrams: f64,
    bytes: f64,
    /// Bytes that may wait in the socket.
    room: f64,
}

impl Gather {
    pub(super) fn new(now: Instant, receive_buffer: usize) -> Self {
        Self {
            at: now,
            datagrams: 0.0,
            bytes: 0.0,
            room: (receive_buffer / SHARE) as f64,
        }
    }

    /// Takes what came since the last time; returns how long to pause before the next, if at all.
    pub(super) fn after(
        &mut self,
        now: Instant,
        datagrams: usize,
        bytes: usize,
    ) -> Option<Duration> {
        let passed = now.saturating_duration_since(self.at);
        self.at = now;
        let seconds = passed.max(Duration::from_micros(1)).as_secs_f64();
        let weight = (seconds / MEMORY.as_secs_f64()).min(1.0);
        self.datagrams += (datagrams as f64 / seconds - self.datagrams) * weight;
        self.bytes += (bytes as f64 / seconds - self.bytes) * weight;
        if datagrams >= ENOUGH || self.datagrams * PAUSE.as_secs_f64() < WORTH {
            return None;
        }
        let pause = Duration::from_secs_f64(self.room / self.bytes.max(1.0)).min(PAUSE);
        (pause >= SHORTEST).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said at the end of receptions of so many datagrams of 1,472 bytes, one every so many microseconds.
    fn pause(buffer: usize, micros: u64, datagrams: usize) -> Option<Duration> {
        let epoch = Instant::now();
        let mut gather = Gather::new(epoch, buffer);
        let mut last = None;
        for step in 1..5_000 {
            let now = epoch + Duration::from_micros(step * micros);
            last = gather.after(now, datagrams, datagrams * 1_472);
        }
        last
    }

    #[test]
    fn datagrams_that_come_fast_are_taken_a_few_at_a_time() {
        assert_eq!(pause(8 << 20, 120, 1), Some(PAUSE), "100 Mbit/s");
        assert_eq!(pause(8 << 20, 250, 6), Some(PAUSE), "300 Mbit/s");
    }

    #[test]
    fn datagrams_that_come_now_and_then_are_taken_at_once() {
        assert_eq!(pause(8 << 20, 1_000, 1), None, "12 Mbit/s");
        assert_eq!(pause(8 << 20, 5_000, 3), None, "reports");
    }

    #[test]
    fn a_small_socket_buffer_does_not_fill_meanwhile() {
        let paused = pause(400 << 10, 12, 12).expect("12 Gbit/s");
        let filled = paused.as_secs_f64() * 12.0 * 1_472.0 / 12e-6;
        assert!(filled <= 52_000.0, "{filled}");
        assert_eq!(pause(64 << 10, 10, 12), None, "no time at all");
        assert_eq!(
            pause(8 << 20, 120, 64),
            None,
            "joined by the system already"
        );
    }

    #[test]
    fn the_first_datagrams_after_a_rest_are_taken_at_once() {
        let epoch = Instant::now();
        let mut gather = Gather::new(epoch, 8 << 20);
        assert_eq!(gather.after(epoch + MEMORY * 200, 1, 1_472), None);
    }
}
