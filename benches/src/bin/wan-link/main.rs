//! A long line on one machine, where `tc netem` is missing: two network namespaces joined in user space.
//!
//! ```text
//! ip netns add a; ip netns add b
//! cargo run --release -p benches --bin wan-link -- --ns-a a --ns-b b --rtt 100 --rate 100 --loss 1 &
//! ip -n a addr add 198.18.0.1/24 dev wan0; ip -n a link set wan0 up
//! ip -n b addr add 198.18.0.2/24 dev wan0; ip -n b link set wan0 up
//! ip netns exec a ping 198.18.0.2
//! ```
//!
//! Each direction has a drop-tail queue, a bottleneck, random loss behind it and a delay: what the `matrix` bench measures
//! transfers over. One thread moves all packets; `mean_late_us` in the summary says how well it kept time.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a bench prints, and opens namespaces and the TUN device by path"
)]

mod direction;
mod options;
mod tun;

use std::fs::File;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use direction::Direction;
use options::Options;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

type Failure = Box<dyn std::error::Error>;

/// Packets taken or given in a row before the other direction has its turn.
const TURN: usize = 64;
/// Buffers kept for later packets.
const SPARE: usize = 1 << 16;

fn main() -> ExitCode {
    match Options::from_args(std::env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wan-link: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    if !rustix::process::geteuid().is_root() {
        return Err("needs root: it makes TUN devices in network namespaces".into());
    }
    let mut devices = Vec::new();
    for side in &options.sides {
        devices.push(tun::open(side, &options.device)?);
    }
    run_first();
    let mut line = Line {
        devices: [devices.remove(0), devices.remove(0)],
        directions: options.links.map(Direction::new),
        spare: Vec::new(),
        room: options.mtu + 64,
        began: Instant::now(),
    };
    let stop = stop_signals()?;
    eprintln!("wan-link: up");
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        let turn = line.turn();
        if !turn.is_full {
            line.rest(turn.has_moved, options.tick)?;
        }
    }
    let [ab, ba] = &line.directions;
    println!(
        "{}",
        serde_json::json!({ "seconds": line.began.elapsed().as_secs_f64(), "ab": ab.json(), "ba": ba.json() })
    );
    Ok(())
}

/// Asks for real-time priority, so that the line keeps its time beside the programs that it measures.
fn run_first() {
    // Sleeps end within a microsecond of their time instead of 50.
    rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1000)).ok();
    let id = std::process::id().to_string();
    let asked = Command::new("chrt")
        .args(["--fifo", "--pid", "50", &id])
        .stderr(Stdio::null())
        .status();
    if !asked.is_ok_and(|status| status.success()) {
        eprintln!("wan-link: no real-time priority, delays will be less exact");
    }
}

fn stop_signals() -> Result<std::sync::Arc<std::sync::atomic::AtomicBool>, Failure> {
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, std::sync::Arc::clone(&stop))?;
    }
    Ok(stop)
}

struct Line {
    devices: [File; 2],
    directions: [Direction; 2],
    spare: Vec<Vec<u8>>,
    room: usize,
    began: Instant,
}

/// What a turn did.
#[derive(Default)]
struct Turn {
    has_moved: bool,
    /// More may be waiting.
    is_full: bool,
}

impl Line {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Takes packets from both sides, and gives them those that have arrived.
    fn turn(&mut self) -> Turn {
        let mut turn = Turn::default();
        for side in 0..2 {
            let taken = self.take(side);
            let given = self.give(side);
            turn.has_moved |= taken + given > 0;
            turn.is_full |= taken == TURN || given == TURN;
        }
        turn
    }

    fn take(&mut self, side: usize) -> usize {
        let now = self.now();
        for count in 0..TURN {
            let mut buffer = self.spare.pop().unwrap_or_else(|| vec![0; self.room]);
            match rustix::io::read(&self.devices[side], &mut buffer) {
                Ok(length) if length > 0 => {
                    let dropped = self.directions[side].offer(now, length, buffer);
                    self.spare.extend(dropped);
                }
                // Nothing waits, or the device is still down.
                _ => {
                    self.spare.push(buffer);
                    return count;
                }
            }
        }
        TURN
    }

    fn give(&mut self, side: usize) -> usize {
        for count in 0..TURN {
            let now = self.now();
            let Some(packet) = self.directions[side].arrived(now) else {
                return count;
            };
            let written =
                rustix::io::write(&self.devices[1 - side], &packet.buffer[..packet.length]);
            if written == Ok(packet.length) {
                let counters = &mut self.directions[side].counters;
                counters.delivered_packets += 1;
                counters.delivered_bytes += packet.length as u64;
            }
            if self.spare.len() < SPARE {
                self.spare.push(packet.buffer);
            }
        }
        TURN
    }

    /// Sleeps until the next packet is due, or a tick while packets flow.
    fn rest(&self, has_moved: bool, tick: u64) -> Result<(), Failure> {
        if has_moved {
            std::thread::sleep(Duration::from_nanos(tick));
            return Ok(());
        }
        let due = self.directions.iter().filter_map(Direction::next_due).min();
        // Signals end the wait; a second is for those that come just before it.
        let wait = due.map_or(1_000_000_000, |due| {
            due.saturating_sub(self.now()).min(1_000_000_000)
        });
        let timeout = Timespec {
            tv_sec: i64::from(wait == 1_000_000_000),
            tv_nsec: (wait % 1_000_000_000).cast_signed(),
        };
        let [a, b] = &self.devices;
        let mut both = [PollFd::new(a, PollFlags::IN), PollFd::new(b, PollFlags::IN)];
        match poll(&mut both, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        // A device that is down is always ready, for an error.
        if both.iter().any(|fd| fd.revents().contains(PollFlags::ERR)) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}
