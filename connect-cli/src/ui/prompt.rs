//! Questions to a person at the terminal. Where nobody sits, nothing is asked.

use std::{
    io::{self, BufRead as _, IsTerminal as _},
    sync::{Mutex, PoisonError},
};

use fasp_net::{
    control::ssh::{client::FirstUseQuestion, credentials::Secret},
    event::ShownText,
};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::to_stderr;

/// Longest secret that is read.
const SECRET_MAX: usize = 1024;

/// How the terminal was before a secret was asked for.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Returns true when there is somebody to ask.
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks whether a server that was never seen before is the right one.
pub fn confirm_host_key(question: &FirstUseQuestion) -> bool {
    if !can_ask() {
        return false;
    }
    let FirstUseQuestion {
        host,
        port,
        fingerprint,
    } = question;
    let host = ShownText::from(host.as_str());
    to_stderr(&format!(
        "The server {host} port {port} was never seen before. Its key is\n  {fingerprint}\n\
         Compare it with what the server's owner told you.\nTrust it from now on (yes/no)? "
    ));
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim(), "yes" | "y" | "YES" | "Yes")
}

/// Asks for a secret without showing what is typed; `None` without a terminal, or when the person declines.
pub fn ask_secret(question: &str) -> Option<Secret> {
    ask_hidden(question).map(|text| Secret::new(text.as_str()))
}

/// As [`ask_secret`], for secrets that no server gets.
pub fn ask_hidden(question: &str) -> Option<Zeroizing<String>> {
    if !can_ask() {
        return None;
    }
    let stdin = io::stdin();
    let before = tcgetattr(&stdin).ok()?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
    to_stderr(&format!("{}: ", ShownText::from_message(question)));
    let secret = tcsetattr(&stdin, OptionalActions::Flush, &hidden)
        .ok()
        .and_then(|()| read_line());
    restore_terminal();
    to_stderr("\n");
    secret
}

/// Makes what is typed visible again when a question was interrupted.
pub fn restore_terminal() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before {
        // A terminal that has gone away needs nothing restored.
        tcsetattr(io::stdin(), OptionalActions::Now, &before).ok();
    }
}

/// Reads a line past the buffer of standard input, which would keep a copy of it.
fn read_line() -> Option<Zeroizing<String>> {
    let mut line = Zeroizing::new(Vec::with_capacity(SECRET_MAX));
    let mut byte = [0];
    loop {
        match rustix::io::read(io::stdin(), &mut byte) {
            Ok(1) if byte[0] == b'\n' => break,
            Ok(1) if line.len() < SECRET_MAX => line.push(byte[0]),
            Err(rustix::io::Errno::INTR) => {}
            _ => return None,
        }
    }
    let text = std::str::from_utf8(&line).ok()?;
    (!text.is_empty()).then(|| Zeroizing::new(text.to_owned()))
}
