//! One TCP flow: a sender with a congestion control of the kernel, and a receiver that says what arrived.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use benches::process::Failure;
use rustix::net::sockopt::{set_socket_linger, set_tcp_congestion};

/// How often the receiver says what arrived, as often as our own events.
const INTERVAL: Duration = Duration::from_millis(200);
const BUFFER: usize = 256 << 10;

/// Runs one end: `sink ADDRESS` or `source ADDRESS CONTROL`.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    match args {
        [end, address] if end == "sink" => sink(address),
        [end, address, control] if end == "source" => source(address, control),
        _ => Err("sink ADDRESS, or source ADDRESS CONTROL".into()),
    }
}

fn sink(address: &str) -> Result<(), Failure> {
    let (mut stream, _) = TcpListener::bind(address)?.accept()?;
    let (began, mut next, mut bytes) = (Instant::now(), INTERVAL, 0);
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = stream.read(&mut buffer)?;
        bytes += length as u64;
        let elapsed = began.elapsed();
        if length == 0 || elapsed >= next {
            next = elapsed + INTERVAL;
            let elapsed_ms = elapsed.as_millis() as u64;
            println!(
                "{}",
                serde_json::json!({ "bytes_done": bytes, "elapsed_ms": elapsed_ms })
            );
        }
        if length == 0 {
            return Ok(());
        }
    }
}

/// Sends until it is killed.
fn source(address: &str, control: &str) -> Result<(), Failure> {
    let mut stream = TcpStream::connect(address)?;
    set_tcp_congestion(&stream, control)?;
    // What waits in the buffer must not be sent after the end.
    set_socket_linger(&stream, Some(Duration::ZERO))?;
    let buffer = vec![0; BUFFER];
    loop {
        stream.write_all(&buffer)?;
    }
}
