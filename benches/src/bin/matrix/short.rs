//! Short copies over a long line: what the log-in costs, and what a ticket saves of it.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use benches::process::{Failure, must};

use crate::cell::Cell;
use crate::common::Common;
use crate::line::Line;
use crate::peer::{self, Congestion, Direction};
use crate::results::median;
use crate::timed;

const USAGE: &str = "\
matrix short [options]

Copies 1,000 bytes and 1 MiB each way over an emulated line, first with a log-in by key and then with the ticket of the transfer before, and
says how many round trips the whole commands take. The host is known before. Needs root.

  --rate 100        Mbit/s
  --rtt 300         round-trip time, ms
  --loss 0          random loss each way, %
  --runs 4          runs of each, with other seeds; the median counts
  --dir /dev/shm    where files are
  --prefix NAME     what names of namespaces begin with (short)
  --no-build        do not build connect-cli and wan-link first";

const SIZES: [u64; 2] = [1_000, 1 << 20];
/// Round trips that 1 MiB may take, without a ticket and with one.
const BARS: [f64; 2] = [13.0, 5.0];
/// A copy takes no longer, whatever is lost.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug)]
struct Options {
    cell: Cell,
    common: Common,
}

impl Options {
    fn from_args(args: &[String]) -> Result<Self, Failure> {
        let mut common = Common::new("short", 4);
        let mut cell = Cell {
            rate_mbps: 100.0,
            rtt_ms: 300.0,
            loss_pct: 0.0,
        };
        common.read(args, USAGE, |name, value| {
            match name {
                "--rate" => cell.rate_mbps = value.parse()?,
                "--rtt" => cell.rtt_ms = value.parse()?,
                "--loss" => cell.loss_pct = value.parse()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(Self { cell, common })
    }
}

/// Round trips of whole commands, one of each run.
#[derive(Debug)]
struct Row {
    direction: Direction,
    size: u64,
    cold: Vec<f64>,
    warm: Vec<f64>,
}

/// The table's first two lines.
const HEAD: &str = "\
| copy | cold: round trips (least, most) | warm | verdict |
|---|---|---|---|";

impl Row {
    /// Only 1 MiB has bars.
    fn verdict(&self) -> &'static str {
        let keeps =
            |values: &Vec<f64>, bar| median(values.clone()).is_some_and(|median| median <= bar);
        match self.size == SIZES[1] {
            false => "",
            true if keeps(&self.cold, BARS[0]) && keeps(&self.warm, BARS[1]) => "good",
            true => "slow",
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spread = |values: &Vec<f64>| {
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let most = values.iter().copied().fold(0.0, f64::max);
            let median = median(values.clone()).unwrap_or(f64::NAN);
            format!("{median:.1} ({least:.1}, {most:.1})")
        };
        let (direction, size) = (self.direction.command(), self.size);
        let (cold, warm) = (spread(&self.cold), spread(&self.warm));
        let verdict = self.verdict();
        write!(
            f,
            "| {direction}, {size} bytes | {cold} | {warm} | {verdict} |"
        )
    }
}

/// Measures what the arguments name and prints a table.
pub(crate) fn main(args: &[String]) -> Result<(), Failure> {
    let options = Options::from_args(args)?;
    let _settings = options.common.prepare()?;
    println!("{}\n\n{HEAD}", options.cell);
    for direction in [Direction::Upload, Direction::Download] {
        for size in SIZES {
            let mut row = Row {
                direction,
                size,
                cold: Vec::new(),
                warm: Vec::new(),
            };
            for seed in 1..=options.common.runs {
                let [cold, warm] = copies(&options, seed, direction, size)?;
                row.cold.push(cold);
                row.warm.push(warm);
            }
            println!("{row}");
        }
    }
    Ok(())
}

/// Round trips of a copy without a ticket and of one with the ticket of that, over a line of their own.
fn copies(
    options: &Options,
    seed: u64,
    direction: Direction,
    size: u64,
) -> Result<[f64; 2], Failure> {
    let area = tempfile::Builder::new()
        .prefix("matrix-short")
        .tempdir_in(&options.common.dir)?;
    let [root, local] = ["root", "local"].map(|name| area.path().join(name));
    fs::create_dir(&root)?;
    fs::create_dir(&local)?;
    let Options { cell, common } = options;
    let line = Line::up(&common.prefix, *cell, Congestion::Cubic, seed)?;
    let _server = peer::our_server(&line, area.path(), &root)?;
    let copy = |name: &str| {
        let (from, to) = match direction {
            Direction::Upload => (&local, &root),
            Direction::Download => (&root, &local),
        };
        crate::make_file(&from.join(name), size)?;
        let mut client = peer::our_client(&line, area.path(), direction)?;
        match direction {
            Direction::Upload => client.arg(from.join(name)).arg(peer::our_location("/")),
            Direction::Download => client.arg(peer::our_location(name)).arg(to),
        };
        let seconds =
            timed::seconds(&mut client, PATIENCE).map_err(|error| format!("{cell}: {error}"))?;
        let both = [from.join(name), to.join(name)];
        must(Command::new("cmp").args(both))?;
        Ok::<_, Failure>(seconds * 1000.0 / cell.rtt_ms)
    };
    copy("first")?;
    forget_tickets(area.path())?;
    Ok([copy("cold")?, copy("warm")?])
}

/// The first copy has made the host known, and left a ticket.
fn forget_tickets(area: &Path) -> Result<(), Failure> {
    fs::remove_file(area.join("known_hosts.tickets"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_chosen() {
        let parse = |text: &str| {
            let args: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            Options::from_args(&args)
        };
        let options = parse("--rtt 100 --loss 1 --runs 2 --no-build").unwrap();
        assert_eq!((options.cell.rtt_ms, options.cell.loss_pct), (100.0, 1.0));
        assert_eq!((options.common.runs, options.common.builds), (2, false));
        for text in ["--rtt far", "--what 1", "--dir", "--help"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_megabyte_is_judged_by_the_medians_of_both_copies() {
        let row = |size, cold, warm| Row {
            direction: Direction::Upload,
            size,
            cold: vec![10.0, cold, 20.0],
            warm: vec![4.0, warm, 9.0],
        };
        assert_eq!(
            row(1 << 20, 11.04, 4.3).to_string(),
            "| upload, 1048576 bytes | 11.0 (10.0, 20.0) | 4.3 (4.0, 9.0) | good |"
        );
        assert_eq!(row(1 << 20, 11.0, 5.1).verdict(), "slow");
        assert_eq!(row(1 << 20, 13.1, 4.3).verdict(), "slow");
        assert_eq!(row(1_000, 13.1, 5.1).verdict(), "");
    }
}
