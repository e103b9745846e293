//! Copies over loopback, ours and the installed peers' side by side, as one JSON object per run.
//!
//! ```text
//! cargo run --release -p benches --bin loopback -- big   [--mib 4096] [--dir /dev/shm] [--runs 3] [--only ours,curl]
//! cargo run --release -p benches --bin loopback -- small [--files 50000]
//! ```
//!
//! Every run is a whole command: log-in, transfer, end. CPU is what both ends' processes used, with the kernel's share;
//! peak memory is each process's own high-water mark. The copy is compared with the source byte by byte. Peers that are
//! not installed are left out and said so on standard error.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a bench prints and sets files up"
)]

mod contestant;
mod measure;
mod options;
mod workload;

use contestant::Contestant;
use options::{Options, What};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let options = Options::from_args(std::env::args().skip(1))?;
    let area = tempfile::Builder::new()
        .prefix("loopback")
        .tempdir_in(&options.dir)?;
    let source = match options.what {
        What::Big => workload::big(area.path(), options.mib)?,
        What::Small => workload::small(area.path(), options.files)?,
    };
    for round in 0..options.runs {
        for contestant in Contestant::all(options.what) {
            if !options.takes(contestant.name()) {
                continue;
            }
            let target = area.path().join("target");
            std::fs::create_dir(&target)?;
            match contestant.run(area.path(), &source, &target) {
                Ok(Some(figures)) => println!("{}", figures.json(contestant.name(), round)),
                Ok(None) => eprintln!("{} is not installed", contestant.name()),
                Err(error) => eprintln!("{} failed: {error}", contestant.name()),
            }
            std::fs::remove_dir_all(&target)?;
        }
    }
    Ok(())
}
