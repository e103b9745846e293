//! All rounds in one table.

use std::fmt;

use crate::measure::Figures;
use crate::options::What;

/// Peers that we are compared with, round by round.
const RIVALS: [&str; 3] = ["curl", "scp", "rsyncd"];

#[derive(Debug)]
pub(crate) struct Summary {
    what: What,
    runs: Vec<(&'static str, u32, Figures)>,
}

impl Summary {
    pub(crate) fn new(what: What) -> Self {
        let runs = Vec::new();
        Self { what, runs }
    }

    pub(crate) fn add(&mut self, name: &'static str, round: u32, figures: Figures) {
        self.runs.push((name, round, figures));
    }

    fn names(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        for (name, ..) in &self.runs {
            if !names.contains(name) {
                names.push(*name);
            }
        }
        // Rounds begin with somebody else each time; the table does not.
        names.sort_by_key(|name| (*name != "ours", *name));
        names
    }

    fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Figures> {
        self.runs
            .iter()
            .filter(move |(n, ..)| *n == name)
            .map(|(.., figures)| figures)
    }

    fn median(&self, name: &str, value: impl Fn(&Figures) -> f64) -> f64 {
        median(self.of(name).map(value).collect()).unwrap_or(f64::NAN)
    }

    /// How many times faster than a rival `name` was in each round where both ran.
    fn ratios(&self, name: &str, rival: &str) -> Vec<f64> {
        let runs = |who: &'static str| self.runs.iter().filter(move |(n, ..)| *n == who);
        let mut ratios = Vec::new();
        for (_, round, ours) in self.runs.iter().filter(|(n, ..)| *n == name) {
            for other in RIVALS.iter().filter(|r| **r == rival) {
                let theirs = runs(other).find(|(_, r, _)| r == round);
                ratios.extend(theirs.map(|(.., theirs)| theirs.seconds / ours.seconds));
            }
        }
        ratios
    }
}

/// Returns the middle of the values, or the mean of the two middle ones.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some((values[last / 2] + values[last.div_ceil(2)]) / 2.0)
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.what {
            What::Big => "Gbit/s",
            What::Small => "files/s",
        };
        writeln!(
            f,
            "| median | {unit} | CPU s per GB | peak MiB, client / server | times curl | times scp | times rsyncd |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|")?;
        for name in self.names() {
            let speed = match self.what {
                What::Big => format!("{:.2}", self.median(name, Figures::gbit_per_s)),
                What::Small => format!("{:.0}", self.median(name, Figures::files_per_s)),
            };
            let cpu = self.median(name, Figures::cpu_per_gb);
            let peak =
                |side: fn(&Figures) -> u64| self.median(name, |fig| (side(fig) >> 20) as f64);
            let (client, server) = (
                peak(|fig| fig.client.peak_bytes),
                peak(|fig| fig.server.peak_bytes),
            );
            write!(
                f,
                "| {name} | {speed} | {cpu:.2} | {client:.0} / {server:.0} |"
            )?;
            for rival in RIVALS {
                match median(self.ratios(name, rival)) {
                    Some(ratio) if name != rival => write!(f, " {ratio:.2} |")?,
                    _ => write!(f, " |")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(seconds: f64) -> Figures {
        Figures {
            seconds,
            bytes: 1_000_000_000,
            files: 1,
            client: benches::process::Usage::default(),
            server: benches::process::Usage::default(),
        }
    }

    #[test]
    fn a_ratio_is_taken_within_a_round() {
        let mut summary = Summary::new(What::Big);
        for (round, ours, theirs) in [(1, 1.0, 2.0), (2, 10.0, 30.0), (3, 1.0, 4.0)] {
            summary.add("scp", round, figures(theirs));
            summary.add("ours", round, figures(ours));
        }
        assert_eq!(summary.ratios("ours", "scp"), [2.0, 3.0, 4.0]);
        let text = summary.to_string();
        assert!(
            text.contains("| ours | 8.00 | 0.00 | 0 / 0 | | 3.00 | |"),
            "{text}"
        );
        assert!(text.find("| ours").unwrap() < text.find("| scp").unwrap());
    }

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(Vec::new()), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
