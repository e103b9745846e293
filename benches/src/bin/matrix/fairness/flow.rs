//! The processes of a case.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use benches::process::Failure;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::case::{Case, Flow, Kind};
use crate::line::{Line, SERVER, Side};
use crate::peer::{self, Direction};
use crate::series::Series;

/// Where the first TCP receiver listens; the next ones follow.
const TCP_PORT: u16 = 5201;
/// What receivers need to be there.
const LISTENING: Duration = Duration::from_millis(300);
/// More than the line carries in any case.
const SOURCE: &str = "faux:///fair?4t";

/// A flow that runs.
struct Running {
    /// Its ends on this machine.
    children: Vec<Child>,
    arrivals: JoinHandle<Series>,
}

/// Runs all flows of a case and returns what arrived of each.
pub(super) fn run(case: &Case, line: &Line, area: &Path) -> Result<Vec<Series>, Failure> {
    let root = area.join("root");
    std::fs::create_dir_all(&root)?;
    let _server = peer::our_server(line, area, &root)?;
    let flows = case.flows.iter().enumerate();
    let sinks: Result<Vec<_>, _> = flows.map(|(i, flow)| sink(flow, i, line)).collect();
    let mut sinks = sinks?;
    let mut flows: Vec<Option<Running>> = case.flows.iter().map(|_| None).collect();
    std::thread::sleep(LISTENING);
    let began = Instant::now();
    let mut series = vec![Series::default(); case.flows.len()];
    while began.elapsed().as_secs_f64() < case.seconds() {
        let now = began.elapsed().as_secs_f64();
        for (index, flow) in case.flows.iter().enumerate() {
            if now >= flow.from
                && let Some(sink) = sinks[index].take()
            {
                flows[index] = Some(sink.start(flow, index, line, area, began)?);
            }
            if now >= flow.to
                && let Some(running) = flows[index].take()
            {
                series[index] = running.end();
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    for (index, running) in flows.into_iter().enumerate() {
        if let Some(running) = running {
            series[index] = running.end();
        }
    }
    Ok(series)
}

/// What waits for a flow that has not begun.
struct Sink(Option<Child>);

fn sink(flow: &Flow, index: usize, line: &Line) -> Result<Option<Sink>, Failure> {
    let Kind::Tcp(_) = flow.kind else {
        return Ok(Some(Sink(None)));
    };
    let mut sink = line.command(Side::Server, &std::env::current_exe()?);
    sink.args([super::TCP, "sink", &address(index)]);
    let sink = quiet(&mut sink).stdout(Stdio::piped()).spawn()?;
    Ok(Some(Sink(Some(sink))))
}

fn address(index: usize) -> String {
    format!("{SERVER}:{}", usize::from(TCP_PORT) + index)
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stderr(Stdio::null())
}

impl Sink {
    fn start(
        self,
        flow: &Flow,
        index: usize,
        line: &Line,
        area: &Path,
        began: Instant,
    ) -> Result<Running, Failure> {
        let mut client = match flow.kind {
            Kind::Tcp(control) => {
                let mut source = line.command(Side::Client, &std::env::current_exe()?);
                source.args([super::TCP, "source", &address(index), control.name()]);
                source.stdout(Stdio::null());
                source
            }
            Kind::Fair | Kind::Low => {
                let policy = if flow.kind == Kind::Low {
                    "low"
                } else {
                    "fair"
                };
                let mut upload = peer::our_client(line, area, Direction::Upload)?;
                upload.args(["--policy", policy, SOURCE]);
                upload.arg(peer::our_location("faux://"));
                upload.stdout(Stdio::piped());
                upload
            }
        };
        let client = quiet(&mut client).spawn()?;
        let mut children = vec![client];
        children.extend(self.0);
        let output = children.iter_mut().find_map(|child| child.stdout.take());
        let output = output.ok_or("a flow says nothing")?;
        let arrivals = std::thread::spawn(move || follow(output, began));
        Ok(Running { children, arrivals })
    }
}

impl Running {
    fn end(mut self) -> Series {
        for child in &mut self.children {
            // It may have ended, and then its flow is short.
            kill_process(Pid::from_child(child), Signal::TERM).ok();
        }
        for child in &mut self.children {
            child.wait().ok();
        }
        self.arrivals.join().unwrap_or_default()
    }
}

/// Reads what has arrived, by the clock of the case: flows are compared with each other.
fn follow(output: ChildStdout, began: Instant) -> Series {
    let mut series = Series::default();
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        let event: Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(bytes) = event["bytes_done"].as_u64() {
            series.push(began.elapsed().as_secs_f64(), bytes);
        }
    }
    series
}
