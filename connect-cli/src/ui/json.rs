//! JSON output: one object per line.

use serde::Serialize;

/// Returns an object as one line.
pub fn json_line(object: &impl Serialize) -> String {
    match serde_json::to_string(object) {
        Ok(mut line) => {
            line.push('\n');
            line
        }
        // Our own types always serialise; should one not, a reader sees an object that says so.
        Err(error) => format!("{{\"event\":\"error\",\"code\":11,\"message\":\"{error}\"}}\n"),
    }
}
