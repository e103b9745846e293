//! The matrix's arguments.

use std::path::PathBuf;

use benches::process::Failure;

use crate::cell::Cell;
use crate::peer::Peer;

pub(crate) const USAGE: &str = "\
matrix [--quick] [options]
matrix fairness [options]      several transfers on one line; see its --help
matrix small [options]         many small files and one large one; see its --help
matrix short [options]         short copies with and without a ticket; see its --help

Copies a file over emulated lines, with connect-cli and with installed peers, and says what share of the line each one used.
Needs root: it makes network namespaces, joins them with wan-link, and raises the host's socket buffer limits until it ends.

  --rates 100,300              Mbit/s
  --rtts 1,50,100,200,300      round-trip times, ms
  --losses 0,0.1,1,5,10        random loss each way, %
  --cells 50/1,300/0.1         these pairs of round-trip time and loss instead of all
  --peers ours,scp,rsync,curl-cubic,curl-bbr
                               also qcp, and scp-bbr, rsync-bbr, qcp-bbr; without a suffix it is CUBIC
  --seconds 40                 how long a copy takes at the limit; who is slower is stopped after a fifth more and 5 s
  --runs 1                     runs of each, with other seeds
  --dir /dev/shm               where files are; memory, so that no disk is measured
  --out target/matrix          where results.json, tables.md and the plots go; results that are there are kept
  --draw                       measure nothing, draw what is in --out again
  --no-build                   do not build connect-cli and wan-link first
  --quick                      100 Mbit/s, 50 and 200 ms, 0.1 and 1 %, 8 s, ours and curl";

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) cells: Vec<Cell>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) seconds: f64,
    pub(crate) runs: u64,
    pub(crate) dir: PathBuf,
    pub(crate) out: PathBuf,
    pub(crate) only_draws: bool,
    pub(crate) builds: bool,
}

struct Lists {
    rates: Vec<f64>,
    rtts: Vec<f64>,
    losses: Vec<f64>,
    pairs: Option<Vec<(f64, f64)>>,
}

impl Lists {
    fn cells(&self) -> Vec<Cell> {
        let all = || {
            let rtts = self.rtts.iter();
            rtts.flat_map(|rtt| self.losses.iter().map(|loss| (*rtt, *loss)))
                .collect()
        };
        let pairs: Vec<(f64, f64)> = self.pairs.clone().unwrap_or_else(all);
        let mut cells = Vec::new();
        for &rate_mbps in &self.rates {
            cells.extend(pairs.iter().map(|&(rtt_ms, loss_pct)| Cell {
                rate_mbps,
                rtt_ms,
                loss_pct,
            }));
        }
        cells
    }
}

impl Options {
    pub(crate) fn from_args(args: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let args: Vec<String> = args.collect();
        let quick = args.iter().any(|arg| arg == "--quick");
        let mut lists = if quick {
            Lists {
                rates: vec![100.0],
                rtts: vec![50.0, 200.0],
                losses: vec![0.1, 1.0],
                pairs: None,
            }
        } else {
            Lists {
                rates: vec![100.0, 300.0],
                rtts: vec![1.0, 50.0, 100.0, 200.0, 300.0],
                losses: vec![0.0, 0.1, 1.0, 5.0, 10.0],
                pairs: None,
            }
        };
        let peers = if quick {
            "ours,curl-cubic,curl-bbr"
        } else {
            "ours,scp,rsync,curl-cubic,curl-bbr"
        };
        let mut options = Self {
            cells: Vec::new(),
            peers: parse_peers(peers)?,
            seconds: if quick { 8.0 } else { 40.0 },
            runs: 1,
            dir: "/dev/shm".into(),
            out: "target/matrix".into(),
            only_draws: false,
            builds: true,
        };
        let mut args = args.into_iter();
        while let Some(name) = args.next() {
            match name.as_str() {
                "--quick" => continue,
                "--draw" => {
                    options.only_draws = true;
                    continue;
                }
                "--no-build" => {
                    options.builds = false;
                    continue;
                }
                "--help" | "-h" => return Err(USAGE.into()),
                _ => {}
            }
            let value = args
                .next()
                .ok_or_else(|| format!("{name} wants a value\n\n{USAGE}"))?;
            match name.as_str() {
                "--rates" => lists.rates = numbers(&value, 1e-3..=1e5)?,
                "--rtts" => lists.rtts = numbers(&value, 0.0..=10_000.0)?,
                "--losses" => lists.losses = numbers(&value, 0.0..=99.0)?,
                "--cells" => lists.pairs = Some(pairs(&value)?),
                "--peers" => options.peers = parse_peers(&value)?,
                "--seconds" => options.seconds = number(&value, 1.0..=3600.0)?,
                "--runs" => options.runs = value.parse()?,
                "--dir" => options.dir = value.into(),
                "--out" => options.out = value.into(),
                _ => return Err(format!("{name} is not known\n\n{USAGE}").into()),
            }
        }
        options.cells = lists.cells();
        Ok(options)
    }
}

type Bounds = std::ops::RangeInclusive<f64>;

fn number(text: &str, bounds: Bounds) -> Result<f64, Failure> {
    match text.parse() {
        Ok(number) if bounds.contains(&number) => Ok(number),
        _ => Err(format!(
            "'{text}' is no number from {} to {}",
            bounds.start(),
            bounds.end()
        )
        .into()),
    }
}

fn numbers(text: &str, bounds: Bounds) -> Result<Vec<f64>, Failure> {
    text.split(',')
        .map(|part| number(part, bounds.clone()))
        .collect()
}

fn pairs(text: &str) -> Result<Vec<(f64, f64)>, Failure> {
    let pair = |part: &str| {
        let (rtt, loss) = part
            .split_once('/')
            .ok_or_else(|| format!("'{part}' is not RTT/LOSS"))?;
        Ok((number(rtt, 0.0..=10_000.0)?, number(loss, 0.0..=99.0)?))
    };
    text.split(',').map(pair).collect()
}

fn parse_peers(text: &str) -> Result<Vec<Peer>, Failure> {
    text.split(',').map(Peer::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options, Failure> {
        Options::from_args(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_matrix_has_every_combination_and_pairs_only_themselves() {
        assert_eq!(parse("").unwrap().cells.len(), 50);
        assert_eq!(parse("--quick").unwrap().cells.len(), 4);
        let chosen = parse("--rates 100 --cells 50/1,300/0.1").unwrap().cells;
        assert_eq!(
            chosen
                .iter()
                .map(|c| (c.rtt_ms, c.loss_pct))
                .collect::<Vec<_>>(),
            [(50.0, 1.0), (300.0, 0.1)]
        );
    }

    #[test]
    fn what_is_not_possible_is_refused() {
        for text in [
            "--losses 100",
            "--rates fast",
            "--cells 50",
            "--peers ftp",
            "--peers ours-bbr",
            "--what 1",
            "--out",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
