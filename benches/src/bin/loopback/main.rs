//! Copies over loopback, ours and the installed peers' side by side: one JSON object per run, and a table at the end.
//!
//! ```text
//! cargo run --release -p benches --bin loopback -- big   [--mib 4096] [--dir /dev/shm] [--runs 3] [--only ours,curl]
//! cargo run --release -p benches --bin loopback -- small [--files 50000] [--dir /var/tmp]
//! ```
//!
//! Every run is a whole command: log-in, transfer, end. CPU is what both ends' processes used, with the kernel's share;
//! peak memory is each process's own high-water mark. The copy is compared with the source byte by byte. Peers that are
//! not installed are left out and said so on standard error.
//!
//! The time of rsync includes one sync of the file system behind it: ours reports a file when it is durable.
//!
//! Before each run as much memory as it takes is touched and given back (`benches::memory`); where files lie in memory, the
//! small ones are also copied and removed once.
//!
//! Round 0 warms the machine up and does not count. In each round somebody else goes first, so that nobody always has
//! the memory that another one has just freed.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a bench prints and sets files up"
)]

mod contestant;
mod measure;
mod options;
mod summary;

use benches::process::Failure;
use benches::{memory, workload};
use contestant::Contestant;
use options::{Options, What};
use summary::Summary;

fn main() -> Result<(), Failure> {
    let options = Options::from_args(std::env::args().skip(1))?;
    let area = tempfile::Builder::new()
        .prefix("loopback")
        .tempdir_in(&options.dir)?;
    let source = match options.what {
        What::Big => workload::big(area.path(), options.mib)?,
        What::Small => workload::small(area.path(), options.files)?,
    };
    let mut contestants = Contestant::all(options.what).to_vec();
    contestants.retain(|contestant| options.takes(contestant.name()));
    if contestants.is_empty() {
        return Err("nobody takes part".into());
    }
    let mut summary = Summary::new(options.what);
    // Some file systems do not use the inodes of deleted files again for minutes and look at each of them for every new file:
    // the next contestant would pay for what this one has left behind.
    let uses_inodes_again = memory::holds(area.path());
    for round in 0..=options.runs {
        for contestant in &contestants {
            let target = area.path().join("target");
            if options.what == What::Small && uses_inodes_again {
                workload::rehearse(&source, &target)?;
            }
            std::fs::create_dir(&target)?;
            match contestant.run(area.path(), &source, &target) {
                Ok(Some(figures)) => {
                    println!("{}", figures.json(contestant.name(), round));
                    if round > 0 {
                        summary.add(contestant.name(), round, figures);
                    }
                }
                Ok(None) if round == 0 => eprintln!("{} is not installed", contestant.name()),
                Ok(None) => {}
                Err(error) => eprintln!("{} failed: {error}", contestant.name()),
            }
            if options.what == What::Small && !uses_inodes_again {
                let kept = format!("kept-{round}-{}", contestant.name());
                std::fs::rename(&target, area.path().join(kept))?;
            } else {
                std::fs::remove_dir_all(&target)?;
            }
        }
        contestants.rotate_left(1);
    }
    eprintln!("\n{summary}");
    Ok(())
}
