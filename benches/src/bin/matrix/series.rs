//! How much had arrived when.

use serde::{Deserialize, Serialize};

/// Seconds since the command began, and bytes of file data by then; both only grow.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Series(Vec<(f64, u64)>);

impl Series {
    /// Adds a point; what would go back in time or amount is left out, as is what changes nothing but time.
    pub(crate) fn push(&mut self, at: f64, bytes: u64) {
        match self.0.last() {
            Some(&(last_at, last_bytes)) if at <= last_at || bytes <= last_bytes => {}
            // Seconds and thousandths are enough, and keep the results small.
            _ => self.0.push(((at * 1e3).round() / 1e3, bytes)),
        }
    }

    pub(crate) fn last_bytes(&self) -> u64 {
        self.0.last().map_or(0, |(_, bytes)| *bytes)
    }

    pub(crate) fn last_at(&self) -> f64 {
        self.0.last().map_or(0.0, |(at, _)| *at)
    }

    /// Bytes by a time, between two points in proportion.
    pub(crate) fn at(&self, when: f64) -> f64 {
        let after = self.0.partition_point(|(at, _)| *at <= when);
        match (
            after.checked_sub(1).and_then(|i| self.0.get(i)),
            self.0.get(after),
        ) {
            (Some(&(t0, b0)), Some(&(t1, b1))) => {
                b0 as f64 + (b1 - b0) as f64 * (when - t0) / (t1 - t0)
            }
            (Some(&(_, bytes)), None) => bytes as f64,
            (None, _) => 0.0,
        }
    }

    /// Bytes per second from the first data and ten round trips to the last byte; nothing when it was over before.
    pub(crate) fn steady(&self, rtt: f64) -> Option<f64> {
        let (first, _) = self.0.iter().find(|(_, bytes)| *bytes > 0)?;
        let (from, to) = (first + 10.0 * rtt, self.last_at());
        (to - from > 10.0 * rtt.max(0.02))
            .then(|| (self.last_bytes() as f64 - self.at(from)) / (to - from))
    }

    /// Mean bytes per second in each `step` of time.
    pub(crate) fn rates(&self, step: f64) -> Vec<(f64, f64)> {
        let steps = (self.last_at() / step).floor() as u32;
        let ends = (0..steps).map(|i| f64::from(i) * step);
        ends.map(|from| {
            (
                from + step / 2.0,
                (self.at(from + step) - self.at(from)) / step,
            )
        })
        .collect()
    }

    /// Returns the series with at most one point in `step` of time.
    pub(crate) fn thinned(&self, step: f64) -> Self {
        let mut kept: Vec<(f64, u64)> = Vec::new();
        for (i, point) in self.0.iter().enumerate() {
            let is_end = i + 1 == self.0.len();
            if is_end || kept.last().is_none_or(|(at, _)| point.0 - at >= step) {
                kept.push(*point);
            }
        }
        Self(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(points: &[(f64, u64)]) -> Series {
        let mut series = Series::default();
        for (at, bytes) in points {
            series.push(*at, *bytes);
        }
        series
    }

    #[test]
    fn steady_leaves_the_start_out() {
        // Slow for a second, then 1,000 bytes a second.
        let series = series(&[(0.5, 10), (1.5, 100), (11.5, 10_100)]);
        let rate = series.steady(0.1).unwrap();
        assert!((rate - 1000.0).abs() < 1e-6, "{rate}");
        assert_eq!(
            series.steady(1.0),
            None,
            "over before ten round trips had passed twice"
        );
        assert_eq!(Series::default().steady(0.1), None);
    }

    #[test]
    fn rates_add_up_to_what_arrived() {
        let series = series(&[(1.0, 100), (2.0, 300), (1.5, 400), (3.0, 300), (4.0, 1000)]);
        let rates = series.rates(0.5);
        let sum: f64 = rates.iter().map(|(_, rate)| rate * 0.5).sum();
        // What had arrived at the first point has no time of its own.
        assert!((sum - 900.0).abs() < 101.0, "{sum}");
        assert_eq!(rates.len(), 8);
    }

    #[test]
    fn a_thinned_series_ends_where_it_ended() {
        let mut full = Series::default();
        (0..1000).for_each(|i| full.push(f64::from(i) * 0.02, u64::from(i as u32) * 10));
        let thin = full.thinned(0.2);
        assert!(thin.0.len() < 120);
        assert_eq!(
            (thin.last_at(), thin.last_bytes()),
            (full.last_at(), full.last_bytes())
        );
    }
}
