//! Copies over emulated lines, ours and the installed peers', as results, tables and plots.
//!
//! ```text
//! sudo -E env "PATH=$PATH" cargo run --release -p benches --bin matrix -- --quick
//! ```
//!
//! A run is a whole command on a fresh line in fresh network namespaces, from and to memory; the copy is compared with the
//! source byte by byte. What a cell's figures mean is in docs/benchmarks.md.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a bench prints and sets files up"
)]

mod cell;
mod common;
mod fairness;
mod line;
mod options;
mod peer;
mod plot;
mod results;
mod run;
mod series;
mod short;
mod small;
mod svg;
mod timed;

use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use benches::process::Failure;
use options::Options;
use peer::Peer;
use results::Results;
use run::Area;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.split_first() {
        Some((first, rest)) if first == "fairness" => fairness::main(rest),
        Some((first, rest)) if first == "small" => small::main(rest),
        Some((first, rest)) if first == "short" => short::main(rest),
        Some((first, rest)) if first == fairness::TCP => fairness::tcp(rest),
        _ => Options::from_args(args.into_iter()).and_then(|options| matrix(&options)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn matrix(options: &Options) -> Result<(), Failure> {
    let mut results = Results::read(&options.out)?;
    if !options.only_draws {
        needs_root()?;
        if options.builds {
            build()?;
        }
        measure(options, &mut results)?;
    }
    plot::draw(&results, &options.out)?;
    let tables = results.tables();
    fs::write(options.out.join("tables.md"), &tables)?;
    println!("{tables}");
    Ok(())
}

fn needs_root() -> Result<(), Failure> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err("needs root: it makes network namespaces and TUN devices".into())
}

/// Builds the two programs that run beside this one, with the cargo that runs it.
fn build() -> Result<(), Failure> {
    let Some(cargo) = std::env::var_os("CARGO") else {
        return Ok(());
    };
    for what in [
        ["-p", "connect-cli", "--bin", "connect-cli"],
        ["-p", "benches", "--bin", "wan-link"],
    ] {
        let mut command = Command::new(&cargo);
        if !command
            .args(["build", "--quiet", "--release"])
            .args(what)
            .status()?
            .success()
        {
            return Err(format!("{} cannot be built", what[3]).into());
        }
    }
    Ok(())
}

fn measure(options: &Options, results: &mut Results) -> Result<(), Failure> {
    let peers: Vec<Peer> = options.peers.iter().copied().filter(is_there).collect();
    let area = tempfile::Builder::new()
        .prefix("matrix")
        .tempdir_in(&options.dir)?;
    line::remove_stale(run::PREFIX);
    let _settings = line::HostSettings::raise();
    let source = area.path().join("source/file.bin");
    for &cell in &options.cells {
        let size = (cell.limit() * options.seconds) as u64;
        make_file(&source, size)?;
        let patience = Duration::from_secs_f64(options.seconds * 1.2 + 5.0);
        let area = Area {
            dir: area.path(),
            source: &source,
            size,
            patience,
        };
        for seed in 1..=options.runs {
            for &peer in &peers {
                match run::run(peer, cell, seed, &area) {
                    Ok(run) => {
                        println!("{}", said(&run));
                        results.add(run)?;
                    }
                    Err(error) => eprintln!("{cell}: {} failed: {error}", peer.name()),
                }
            }
        }
    }
    Ok(())
}

fn is_there(peer: &Peer) -> bool {
    let missing = peer.missing();
    if let Some(missing) = &missing {
        eprintln!("{} is left out: {missing}", peer.name());
    }
    missing.is_none()
}

fn said(run: &run::Run) -> String {
    format!(
        "{}: {:11} {}{:6.2} s, whole {:5.1} %, steady {:5.1} %, overhead {:.3}, {:.2} CPU s per GB",
        run.cell,
        run.peer,
        if run.is_complete { ' ' } else { '>' },
        run.seconds,
        run.whole * 100.0,
        run.steady.unwrap_or(f64::NAN) * 100.0,
        run.overhead,
        run.cpu_s_per_gb,
    )
}

/// A file of random bytes, made anew when the size changes.
fn make_file(path: &Path, size: u64) -> Result<(), Failure> {
    if fs::metadata(path).is_ok_and(|meta| meta.len() == size) {
        return Ok(());
    }
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    let mut file = BufWriter::with_capacity(1 << 20, fs::File::create(path)?);
    let mut random = fastrand::Rng::with_seed(1);
    let mut buffer = vec![0; 1 << 20];
    let mut left = size;
    while left > 0 {
        random.fill(&mut buffer);
        let part = left.min(1 << 20);
        // At most the buffer's length, which fits.
        file.write_all(&buffer[..part as usize])?;
        left -= part;
    }
    file.flush()?;
    Ok(())
}
