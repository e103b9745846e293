//! A whole command and its time.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use benches::process::Failure;

/// Runs a command in the namespace of a line and returns how many seconds it took; `patience` is how long it may.
///
/// What still runs in the namespace after a failure ends with the line.
pub(crate) fn seconds(client: &mut Command, patience: Duration) -> Result<f64, Failure> {
    client.stdin(Stdio::null()).stdout(Stdio::null());
    let began = Instant::now();
    let mut child = client.spawn()?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if began.elapsed() > patience {
            return Err(format!("not there after {patience:?}").into());
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let seconds = began.elapsed().as_secs_f64();
    if !status.success() {
        return Err(status.to_string().into());
    }
    Ok(seconds)
}
