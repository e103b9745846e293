//! Many small files over a long line, beside one file of as many bytes.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use benches::process::{Failure, must};
use benches::workload::{self, SMALL};

use crate::cell::Cell;
use crate::common::Common;
use crate::line::Line;
use crate::peer::{self, Congestion, Direction};
use crate::timed;

const USAGE: &str = "\
matrix small [options]

Uploads many files of 4 KiB, and one file of as many bytes, each over a fresh emulated line with a fresh log-in, and says how
much longer the many take. Needs root.

  --files 50000     how many
  --rates 100,300   Mbit/s
  --rtts 200        round-trip times, ms
  --losses 0,1      random loss each way, %
  --runs 1          runs of each, with other seeds
  --dir /dev/shm    where files are
  --prefix NAME     what names of namespaces begin with (small)
  --no-build        do not build connect-cli and wan-link first";

/// Many small files may take this many times as long as one of the same size.
const BAR: f64 = 1.5;

#[derive(Debug)]
struct Options {
    files: u32,
    rates: Vec<f64>,
    rtts: Vec<f64>,
    losses: Vec<f64>,
    common: Common,
}

impl Options {
    fn from_args(args: &[String]) -> Result<Self, Failure> {
        let mut options = Self {
            files: 50_000,
            rates: vec![100.0, 300.0],
            rtts: vec![200.0],
            losses: vec![0.0, 1.0],
            common: Common::new("small", 1),
        };
        let Self {
            files,
            rates,
            rtts,
            losses,
            common,
        } = &mut options;
        common.read(args, USAGE, |name, value| {
            match name {
                "--files" => *files = value.parse()?,
                "--rates" => *rates = numbers(value)?,
                "--rtts" => *rtts = numbers(value)?,
                "--losses" => *losses = numbers(value)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(options)
    }

    fn cells(&self) -> impl Iterator<Item = Cell> {
        let lines = self.rates.iter().flat_map(move |rate| {
            let rtts = self.rtts.iter();
            rtts.flat_map(move |rtt| self.losses.iter().map(move |loss| [*rate, *rtt, *loss]))
        });
        lines.map(|[rate_mbps, rtt_ms, loss_pct]| Cell {
            rate_mbps,
            rtt_ms,
            loss_pct,
        })
    }
}

fn numbers(text: &str) -> Result<Vec<f64>, Failure> {
    let numbers: Result<Vec<f64>, _> = text.split(',').map(str::parse).collect();
    numbers.map_err(|_| format!("'{text}' is no list of numbers").into())
}

/// What a cell came to, seconds of whole commands.
#[derive(Debug)]
struct Pair {
    cell: Cell,
    seed: u64,
    files: u32,
    one: f64,
    many: f64,
}

/// The table's first two lines.
const HEAD: &str = "\
| line | seed | one file, s | share of the limit, % | small files, s | files/s | times | verdict |
|---|---|---|---|---|---|---|---|";

impl Pair {
    fn times(&self) -> f64 {
        self.many / self.one
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = u64::from(self.files) * SMALL;
        write!(
            f,
            "| {} | {} | {:.2} | {:.1} | {:.2} | {:.0} | {:.2} | {} |",
            self.cell,
            self.seed,
            self.one,
            bytes as f64 / self.one / self.cell.limit() * 100.0,
            self.many,
            f64::from(self.files) / self.many,
            self.times(),
            if self.times() <= BAR { "good" } else { "slow" },
        )
    }
}

/// Measures what the arguments name and prints a table.
pub(crate) fn main(args: &[String]) -> Result<(), Failure> {
    let options = Options::from_args(args)?;
    let _settings = options.common.prepare()?;
    let area = tempfile::Builder::new()
        .prefix("matrix-small")
        .tempdir_in(&options.common.dir)?;
    let many = workload::small(area.path(), options.files)?;
    let one = area.path().join("one.bin");
    crate::make_file(&one, u64::from(options.files) * SMALL)?;
    println!("{HEAD}");
    for cell in options.cells() {
        for seed in 1..=options.common.runs {
            let took = |source| copy(&options, cell, seed, source);
            let pair = Pair {
                cell,
                seed,
                files: options.files,
                one: took(&one)?,
                many: took(&many)?,
            };
            println!("{pair}");
        }
    }
    Ok(())
}

/// Uploads `source` over a line of its own; returns the seconds of the whole command.
fn copy(options: &Options, cell: Cell, seed: u64, source: &Path) -> Result<f64, Failure> {
    // A ticket of the copy before would spare this one the log-in.
    let area = tempfile::Builder::new()
        .prefix("matrix-small-copy")
        .tempdir_in(&options.common.dir)?;
    let root = area.path().join("root");
    fs::create_dir(&root)?;
    let line = Line::up(&options.common.prefix, cell, Congestion::Cubic, seed)?;
    let _server = peer::our_server(&line, area.path(), &root)?;
    let mut client = peer::our_client(&line, area.path(), Direction::Upload)?;
    client.arg(source).arg(peer::our_location("/"));
    let size = f64::from(options.files) * SMALL as f64;
    let patience = Duration::from_secs_f64(4.0 * size / cell.limit() + 20.0);
    let seconds =
        timed::seconds(&mut client, patience).map_err(|error| format!("{cell}: {error}"))?;
    let copied = root.join(source.file_name().unwrap_or_default());
    must(Command::new("diff").arg("-rq").arg(source).arg(copied))?;
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options, Failure> {
        let args: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        Options::from_args(&args)
    }

    #[test]
    fn every_line_is_measured() {
        let options = parse("--rtts 50,200").unwrap();
        let cells: Vec<_> = options.cells().collect();
        assert_eq!(cells.len(), 8);
        assert_eq!((cells[1].rtt_ms, cells[1].loss_pct), (50.0, 1.0));
        for text in ["--rates fast", "--what 1", "--dir", "--help"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_row_says_how_much_longer_many_files_take() {
        let cell = Cell {
            rate_mbps: 100.0,
            rtt_ms: 200.0,
            loss_pct: 0.0,
        };
        let pair = Pair {
            cell,
            seed: 1,
            files: 50_000,
            one: 20.0,
            many: 25.0,
        };
        assert_eq!(
            pair.to_string(),
            "| 100 Mbit/s, 200 ms, 0 % | 1 | 20.00 | 85.5 | 25.00 | 2000 | 1.25 | good |"
        );
        let slow = Pair { many: 31.0, ..pair };
        assert!(slow.to_string().ends_with("| 1.55 | slow |"));
    }
}
