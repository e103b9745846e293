//! Transfers that share a line: ours beside TCP, ours beside ours, and `low` that gives way.

mod case;
mod flow;
mod tcp;
mod verdict;

use std::fs;
use std::path::{Path, PathBuf};

use benches::process::Failure;

use self::case::{CELL, Case, Kind};
use self::verdict::{HEAD, Shown};
use crate::line::{self, Line, has_congestion_control};
use crate::peer::Congestion;
use crate::plot::{Frame, axes, colour, legend};
use crate::svg::{Anchor, INK, Stroke, Svg};

/// The argument that makes this program one end of a TCP flow.
pub(crate) const TCP: &str = "tcp-flow";

const USAGE: &str = "\
matrix fairness [options]

Several flows on one emulated line of 100 Mbit/s and 100 ms with a queue of one bandwidth-delay product. Needs root.

  --cases a,b       ours-then-cubic, cubic-then-ours, ours-then-bbr, bbr-then-ours, two-ours, four-ours, low-and-cubic (all)
  --seconds 70      how long a case takes, at least 50
  --runs 1          runs of each
  --prefix NAME     what names of namespaces begin with (fairness)
  --out DIR         where fairness.json, fairness.md and the plots go (target/fairness); results that are there are kept
  --no-build        do not build connect-cli and wan-link first";

pub(crate) use self::tcp::run as tcp;

#[derive(Debug)]
struct Options {
    cases: Vec<Case>,
    runs: u64,
    prefix: String,
    out: PathBuf,
    builds: bool,
}

impl Options {
    fn from_args(args: &[String]) -> Result<Self, Failure> {
        let mut options = Self {
            cases: Vec::new(),
            runs: 1,
            prefix: "fairness".to_owned(),
            out: "target/fairness".into(),
            builds: true,
        };
        let (mut seconds, mut names) = (70.0, None);
        let mut args = args.iter();
        while let Some(name) = args.next() {
            if name == "--no-build" {
                options.builds = false;
                continue;
            }
            let value = args.next().ok_or(USAGE)?;
            match name.as_str() {
                "--cases" => names = Some(value.split(',').collect::<Vec<_>>()),
                "--seconds" => seconds = value.parse()?,
                "--runs" => options.runs = value.parse()?,
                "--prefix" => options.prefix.clone_from(value),
                "--out" => options.out = value.into(),
                _ => return Err(USAGE.into()),
            }
        }
        if !(50.0..=3600.0).contains(&seconds) {
            return Err("a case takes 50 to 3600 seconds".into());
        }
        options.cases = Case::all(seconds);
        if let Some(names) = names {
            let known = |name: &&str| options.cases.iter().any(|case| case.name == *name);
            if let Some(name) = names.iter().find(|name| !known(name)) {
                return Err(format!("case '{name}' is not known\n\n{USAGE}").into());
            }
            options.cases.retain(|case| names.contains(&case.name));
        }
        Ok(options)
    }
}

/// Runs the cases that the arguments name.
pub(crate) fn main(args: &[String]) -> Result<(), Failure> {
    let options = Options::from_args(args)?;
    crate::needs_root()?;
    if options.builds {
        crate::build()?;
    }
    fs::create_dir_all(&options.out)?;
    let file = options.out.join("fairness.json");
    let mut all: Vec<Shown> = match fs::read(&file) {
        Ok(text) => serde_json::from_slice(&text)?,
        Err(_) => Vec::new(),
    };
    line::remove_stale(&options.prefix);
    let _settings = line::HostSettings::raise();
    println!("{HEAD}");
    for seed in 1..=options.runs {
        for case in &options.cases {
            if let Some(missing) = missing(case) {
                eprintln!("{} is left out: the kernel has no {missing}", case.name);
                continue;
            }
            let shown = run(case, seed, &options.prefix)?;
            println!("{}", shown.row());
            draw(&shown).write(&options.out, &format!("fairness-{}-{seed}", case.name))?;
            all.retain(|old| (old.case.as_str(), old.seed) != (case.name, seed));
            all.push(shown);
            fs::write(&file, serde_json::to_vec(&all)?)?;
        }
    }
    write_table(&all, &options.out)
}

fn missing(case: &Case) -> Option<&'static str> {
    let controls = case.flows.iter().filter_map(|flow| match flow.kind {
        Kind::Tcp(control) => Some(control.name()),
        Kind::Fair | Kind::Low => None,
    });
    controls
        .into_iter()
        .find(|name| !has_congestion_control(name))
}

fn run(case: &Case, seed: u64, prefix: &str) -> Result<Shown, Failure> {
    // Tickets of an earlier case would let a transfer begin at the rate that it had there.
    let area = tempfile::Builder::new().prefix("fairness").tempdir()?;
    let line = Line::up(prefix, CELL, Congestion::Cubic, seed)?;
    let series = flow::run(case, &line, area.path())?;
    let counted = line.down()?;
    Ok(Shown::of(case, seed, series, counted))
}

fn write_table(all: &[Shown], dir: &Path) -> Result<(), Failure> {
    let rows: Vec<String> = all.iter().map(Shown::row).collect();
    fs::write(
        dir.join("fairness.md"),
        format!("{HEAD}\n{}\n", rows.join("\n")),
    )?;
    Ok(())
}

/// Rates over time.
fn draw(shown: &Shown) -> Svg {
    let mut svg = Svg::new(640.0, 330.0);
    let title = format!("{}, {CELL}: file data, Mbit/s", shown.case);
    svg.text([10.0, 20.0], Anchor::Start, 14.0, INK, &title);
    let limit = CELL.limit() * 8e-6;
    let longest = shown.flows.iter().map(|flow| flow.to).fold(1.0, f64::max);
    let frame = Frame {
        at: [48.0, 60.0],
        size: [575.0, 220.0],
        most: [longest, limit * 1.1],
    };
    axes(&mut svg, &frame, limit, "seconds");
    let mut entries = vec![("limit".to_owned(), INK, true)];
    for (index, (flow, series)) in shown.flows.iter().zip(&shown.series).enumerate() {
        entries.push((flow.kind.name().to_owned(), colour(index), false));
        let rates = series.rates(1.0);
        let points: Vec<_> = rates
            .iter()
            .map(|(at, rate)| frame.place([*at, rate * 8e-6]))
            .collect();
        let stroke = Stroke {
            colour: colour(index),
            width: 2.0,
            is_dashed: false,
        };
        svg.line(&points, stroke);
    }
    legend(&mut svg, [48.0, 44.0], &entries);
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_chosen_by_name() {
        let parse = |text: &str| {
            let args: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            Options::from_args(&args)
        };
        assert_eq!(parse("").unwrap().cases.len(), 7);
        assert_eq!(parse("--cases two-ours").unwrap().cases.len(), 1);
        for text in [
            "--cases three",
            "--seconds 10",
            "--what 1",
            "--out",
            "--help",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
