//! Whether datagrams are lost one by one or many in a row.
//!
//! A radio link that fades for some milliseconds loses all of them at once. A round then loses none or very many, and what is three
//! standard deviations for single losses is nothing there.

/// Single losses that are taken for granted, so that a few losses do not say much.
const ASSUMED: f64 = 10.0;
/// Runs that are remembered.
const REMEMBERED: f64 = 100.0;

/// How long the runs of lost datagrams are.
#[derive(Debug, Default)]
pub(super) struct Bursts {
    lost: f64,
    runs: f64,
}

impl Bursts {
    /// Takes how many datagrams a report has shown to be lost, and in how many runs.
    pub(super) fn on_report(&mut self, lost: f64, runs: u64) {
        let runs = runs as f64;
        let kept = (1.0 - runs / REMEMBERED).max(0.0);
        self.lost = self.lost * kept + lost;
        self.runs = self.runs * kept + runs;
    }

    /// How many datagrams say as much as a single one would, were losses independent: where runs have a mean length of b, the
    /// variance of a share is 2 b - 1 times as large (Gilbert 1960, for small shares).
    pub(super) fn effect(&self) -> f64 {
        let mean = (self.lost + ASSUMED) / (self.runs + ASSUMED);
        (2.0 * mean - 1.0).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_losses_are_independent_and_runs_are_not() {
        let mut bursts = Bursts::default();
        for _ in 0..500 {
            bursts.on_report(3.0, 3);
        }
        assert!(bursts.effect() < 1.01, "{}", bursts.effect());
        for _ in 0..500 {
            bursts.on_report(20.0, 1);
        }
        assert!(
            (30.0..39.0).contains(&bursts.effect()),
            "{}",
            bursts.effect()
        );
    }

    #[test]
    fn one_run_says_little() {
        let mut bursts = Bursts::default();
        bursts.on_report(10.0, 1);
        assert!(bursts.effect() < 3.0, "{}", bursts.effect());
    }
}
