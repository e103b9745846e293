//! The smallest value of the last while, as BBR's filters keep it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Values that are or may become the smallest, ascending, oldest first.
#[derive(Debug)]
pub(super) struct WindowedMin<T>(VecDeque<(Instant, T)>);

// Derived, it would ask for a default value.
impl<T> Default for WindowedMin<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Copy + PartialOrd> WindowedMin<T> {
    pub(super) fn push(&mut self, now: Instant, value: T) {
        while self.0.back().is_some_and(|(_, last)| *last >= value) {
            self.0.pop_back();
        }
        self.0.push_back((now, value));
    }

    /// Forgets what is older than the window, but for the newest value.
    pub(super) fn shrink(&mut self, now: Instant, window: Duration) {
        while self.0.len() > 1 && self.0[0].0 + window < now {
            self.0.pop_front();
        }
    }

    /// The smallest value; nothing before the first one.
    pub(super) fn get(&self) -> Option<T> {
        self.0.front().map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_smallest_of_the_window(
            values in prop::collection::vec((1u64..20, 0u32..1000), 1..200),
            window in 1u64..100,
        ) {
            let (epoch, window) = (Instant::now(), Duration::from_millis(window));
            let (mut least, mut at, mut seen) = (WindowedMin::default(), epoch, Vec::new());
            for (passed, value) in values {
                at += Duration::from_millis(passed);
                seen.push((at, value));
                least.push(at, value);
                least.shrink(at, window);
                let expected = seen.iter().filter(|(then, _)| *then + window >= at);
                prop_assert_eq!(least.get(), expected.map(|(_, value)| *value).min());
            }
        }
    }

    #[test]
    fn the_newest_value_is_never_forgotten() {
        let now = Instant::now();
        let mut least = WindowedMin::default();
        assert_eq!(least.get(), None);
        least.push(now, 5);
        least.shrink(now + Duration::from_secs(9), Duration::from_secs(1));
        assert_eq!(least.get(), Some(5));
    }
}
