//! How long something has been so without a break.

use std::time::{Duration, Instant};

/// Since when it has been so, if it is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lasting(Option<Instant>);

impl Lasting {
    /// Takes whether it is so now; returns for how long it has been.
    pub(super) fn note(&mut self, now: Instant, is_so: bool) -> Option<Duration> {
        match is_so {
            true => self.0 = Some(self.0.unwrap_or(now)),
            false => self.0 = None,
        }
        self.time(now)
    }

    /// For how long it has been so, from what was noted last.
    pub(super) fn time(&self, now: Instant) -> Option<Duration> {
        self.0.map(|since| now.saturating_duration_since(since))
    }

    /// It counts anew from the next time on.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_break_makes_it_count_anew() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut lasting = Lasting::default();
        assert_eq!(lasting.note(start, false), None);
        assert_eq!(lasting.note(start, true), Some(Duration::ZERO));
        assert_eq!(lasting.note(start + second, true), Some(second));
        assert_eq!(lasting.time(start + second * 2), Some(second * 2));
        assert_eq!(lasting.note(start + second * 2, false), None);
        assert_eq!(lasting.note(start + second * 3, true), Some(Duration::ZERO));
    }
}
