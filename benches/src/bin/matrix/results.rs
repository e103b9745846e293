//! All runs of a matrix: kept as JSON, judged, and told as tables.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use benches::process::Failure;

use crate::cell::Cell;
use crate::run::Run;

pub(crate) const OURS: &str = "ours";

#[derive(Debug, Default)]
pub(crate) struct Results {
    file: PathBuf,
    pub(crate) runs: Vec<Run>,
}

/// The middle of several runs of one peer in one cell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) whole: f64,
    pub(crate) steady: Option<f64>,
    pub(crate) overhead: f64,
    pub(crate) cpu_s_per_gb: f64,
    pub(crate) is_complete: bool,
}

impl Results {
    /// Reads what is in a directory already.
    pub(crate) fn read(dir: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(dir)?;
        let file = dir.join("results.json");
        let runs = match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| format!("{}: {error}", file.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        Ok(Self { file, runs })
    }

    /// Adds a run, in place of an earlier one of the same peer, cell and seed.
    pub(crate) fn add(&mut self, mut run: Run) -> Result<(), Failure> {
        run.series = run.series.thinned(0.2);
        self.runs
            .retain(|r| (&r.peer, r.cell, r.seed) != (&run.peer, run.cell, run.seed));
        self.runs.push(run);
        fs::write(&self.file, serde_json::to_vec(&self.runs)?)?;
        Ok(())
    }

    /// Cells in order of rate, round-trip time and loss.
    pub(crate) fn cells(&self) -> Vec<Cell> {
        let mut cells: Vec<Cell> = Vec::new();
        for run in &self.runs {
            if !cells.contains(&run.cell) {
                cells.push(run.cell);
            }
        }
        let key = |c: &Cell| [c.rate_mbps, c.rtt_ms, c.loss_pct];
        cells.sort_by(|a, b| {
            key(a)
                .partial_cmp(&key(b))
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        cells
    }

    pub(crate) fn rates(&self) -> Vec<f64> {
        let mut rates: Vec<f64> = self.cells().iter().map(|c| c.rate_mbps).collect();
        rates.dedup();
        rates
    }

    /// Peers that ran at a rate: ours first.
    pub(crate) fn peers(&self, rate: f64) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for run in self.runs.iter().filter(|r| r.cell.rate_mbps == rate) {
            if !names.contains(&run.peer) {
                names.push(run.peer.clone());
            }
        }
        names.sort_by_key(|name| (name != OURS, name.clone()));
        names
    }

    pub(crate) fn figure(&self, peer: &str, cell: Cell) -> Option<Figure> {
        let runs: Vec<&Run> = self
            .runs
            .iter()
            .filter(|r| r.peer == peer && r.cell == cell)
            .collect();
        let median = |value: &dyn Fn(&Run) -> Option<f64>| {
            median(runs.iter().filter_map(|run| value(run)).collect())
        };
        Some(Figure {
            whole: median(&|run| Some(run.whole))?,
            steady: median(&|run| run.steady),
            overhead: median(&|run| Some(run.overhead))?,
            cpu_s_per_gb: median(&|run| Some(run.cpu_s_per_gb))?,
            is_complete: runs.iter().all(|run| run.is_complete),
        })
    }

    /// The fastest other peer of a cell.
    fn best_peer(&self, cell: Cell) -> Option<(String, f64)> {
        let others = self
            .peers(cell.rate_mbps)
            .into_iter()
            .filter(|name| name != OURS);
        let figures =
            others.filter_map(|name| self.figure(&name, cell).map(|figure| (name, figure.whole)));
        figures.max_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// What is below its bar in a cell; empty when everything is well.
    pub(crate) fn shortfalls(&self, cell: Cell) -> Option<Vec<String>> {
        let (ours, bars) = (self.figure(OURS, cell)?, cell.bars());
        let mut short = Vec::new();
        match ours.steady {
            Some(steady) if steady >= bars.steady => {}
            Some(steady) => short.push(format!(
                "steady {} < {}",
                percent(steady),
                percent(bars.steady)
            )),
            None => short.push("too short to be steady".to_owned()),
        }
        if ours.whole < bars.whole {
            short.push(format!(
                "whole {} < {}",
                percent(ours.whole),
                percent(bars.whole)
            ));
        }
        if ours.overhead > bars.overhead {
            short.push(format!(
                "overhead {:.3} > {:.3}",
                ours.overhead, bars.overhead
            ));
        }
        match self.best_peer(cell) {
            Some((name, whole)) if bars.ahead && whole >= ours.whole => {
                short.push(format!("behind {name}"));
            }
            _ => {}
        }
        Some(short)
    }

    /// Tables in Markdown: the share of the limit, then our own figures and verdicts.
    pub(crate) fn tables(&self) -> String {
        let mut text = String::new();
        for rate in self.rates() {
            self.table(rate, &mut text);
        }
        text
    }

    fn table(&self, rate: f64, text: &mut String) {
        let cells: Vec<Cell> = self
            .cells()
            .into_iter()
            .filter(|c| c.rate_mbps == rate)
            .collect();
        let heads: Vec<String> = cells
            .iter()
            .map(|c| format!("{} ms, {} %", c.rtt_ms, c.loss_pct))
            .collect();
        // Writing to a `String` cannot fail.
        writeln!(
            text,
            "{rate} Mbit/s, share of the limit in %, whole command; `~`: stopped, until then\n"
        )
        .ok();
        writeln!(
            text,
            "| | {} |\n|---|{}",
            heads.join(" | "),
            "---|".repeat(cells.len())
        )
        .ok();
        for name in self.peers(rate) {
            let shown = |figure: Figure| {
                format!(
                    "{}{:.1}",
                    if figure.is_complete { "" } else { "~" },
                    figure.whole * 100.0
                )
            };
            let row: Vec<String> = cells
                .iter()
                .map(|c| self.figure(&name, *c).map_or_else(String::new, shown))
                .collect();
            writeln!(text, "| {name} | {} |", row.join(" | ")).ok();
        }
        writeln!(text, "\n| ours | whole % | steady % | wire overhead | CPU s per GB | verdict |\n|---|---|---|---|---|---|").ok();
        for (cell, head) in cells.iter().zip(heads) {
            let (Some(ours), Some(short)) = (self.figure(OURS, *cell), self.shortfalls(*cell))
            else {
                continue;
            };
            let verdict = if short.is_empty() {
                "good".to_owned()
            } else {
                short.join(", ")
            };
            let steady = ours
                .steady
                .map_or_else(String::new, |s| format!("{:.1}", s * 100.0));
            writeln!(
                text,
                "| {head} | {:.1} | {steady} | {:.3} | {:.2} | {verdict} |",
                ours.whole * 100.0,
                ours.overhead,
                ours.cpu_s_per_gb
            )
            .ok();
        }
        writeln!(text).ok();
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// Returns the middle of the values, or the mean of the two middle ones.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some((values[last / 2] + values[last.div_ceil(2)]) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CELL: Cell = Cell {
        rate_mbps: 100.0,
        rtt_ms: 100.0,
        loss_pct: 1.0,
    };

    fn run(peer: &str, whole: f64, steady: f64, overhead: f64) -> Run {
        Run {
            peer: peer.into(),
            cell: CELL,
            seed: 1,
            size: 1,
            bytes: 1,
            seconds: 1.0,
            is_complete: true,
            whole,
            steady: Some(steady),
            overhead,
            cpu_s_per_gb: 1.0,
            series: crate::series::Series::default(),
            line: serde_json::Value::Null,
        }
    }

    fn verdict(runs: Vec<Run>) -> Vec<String> {
        Results {
            runs,
            ..Results::default()
        }
        .shortfalls(CELL)
        .unwrap()
    }

    #[test]
    fn every_bar_can_be_missed() {
        assert!(verdict(vec![run(OURS, 0.93, 0.96, 1.02), run("scp", 0.9, 0.9, 9.0)]).is_empty());
        assert_eq!(
            verdict(vec![run(OURS, 0.91, 0.96, 1.02)]),
            ["whole 91.0 % < 92.0 %"]
        );
        assert_eq!(
            verdict(vec![run(OURS, 0.93, 0.94, 1.02)]),
            ["steady 94.0 % < 95.0 %"]
        );
        assert_eq!(
            verdict(vec![run(OURS, 0.93, 0.96, 1.04)]),
            ["overhead 1.040 > 1.030"]
        );
        assert_eq!(
            verdict(vec![
                run(OURS, 0.93, 0.96, 1.0),
                run("curl-bbr", 0.94, 0.9, 1.0)
            ]),
            ["behind curl-bbr"]
        );
    }

    #[test]
    fn a_run_again_takes_the_place_of_the_old_one() {
        let temp = tempfile::tempdir().unwrap();
        let mut results = Results::read(temp.path()).unwrap();
        results.add(run(OURS, 0.5, 0.5, 1.0)).unwrap();
        results.add(run(OURS, 0.9, 0.9, 1.0)).unwrap();
        let read = Results::read(temp.path()).unwrap();
        assert_eq!(read.runs.len(), 1);
        assert_eq!(read.figure(OURS, CELL).unwrap().whole, 0.9);
        assert!(
            read.tables().contains("| ours | 90.0 |"),
            "{}",
            read.tables()
        );
    }
}
