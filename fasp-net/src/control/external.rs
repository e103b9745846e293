//! The carrier over an sshd that is there already: the user's own `ssh` program starts `connect-cli server session` on
//! the far side, so agents, jump hosts and `~/.ssh/config` work as they always do.

use std::{
    ffi::OsString,
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, BufReader, ReadBuf},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    task::JoinHandle,
};
use transfer_spec::Host;

use super::{Control, ssh::client::Connection};
use crate::Error;

/// Lines of the program's standard error that are kept for an error message.
const KEPT_LINES: usize = 8;
/// Longest line kept.
const KEPT_LINE: u64 = 512;
/// How long a program whose output ended may take to exit.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long its last words may take after that.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// What must not reach a child (C-4).
const SECRET_VARIABLES: [&str; 5] = [
    "ASPERA_SCP_PASS",
    "ASPERA_SCP_KEY",
    "ASPERA_SCP_TOKEN",
    "ASPERA_SCP_FILEPASS",
    "ASPERA_PROXY_PASS",
];

/// What becomes of the program's standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Messages {
    /// It goes where ours goes: a person sees warnings and banners.
    Inherit,
    /// Its last lines are kept for the error message.
    Capture,
}

/// How to reach the far side.
#[derive(Debug, Clone)]
pub struct ExternalSsh {
    /// The program.
    pub program: OsString,
    /// Arguments in front of everything else, such as `-J jump` or `-vv`.
    pub arguments: Vec<OsString>,
    /// The account, if not the one that `~/.ssh/config` names.
    pub user: Option<String>,
    /// The host.
    pub host: Host,
    /// The TCP port, if not the one that `~/.ssh/config` names.
    pub port: Option<u16>,
    /// The command on the far side; a login shell there splits it.
    pub remote_command: String,
    /// What becomes of what the program says.
    pub messages: Messages,
}

impl ExternalSsh {
    /// Uses the `ssh` of the search path and the usual command.
    pub fn new(host: Host) -> Self {
        Self {
            program: "ssh".into(),
            arguments: Vec::new(),
            user: None,
            host,
            port: None,
            remote_command: "connect-cli server session".to_owned(),
            messages: Messages::Capture,
        }
    }

    /// Returns the arguments: `[-p PORT] -T -- [USER@]HOST COMMAND` behind the caller's own.
    ///
    /// Nothing passes a shell on this side. Everything behind `--` cannot be an option, whatever it looks like.
    fn command_line(&self) -> Vec<OsString> {
        let mut line = self.arguments.clone();
        if let Some(port) = self.port {
            line.extend(["-p".into(), port.to_string().into()]);
        }
        let target = match &self.user {
            Some(user) => format!("{user}@{}", self.host),
            None => self.host.to_string(),
        };
        // Without a terminal: the far side's standard input and output must carry bytes as they are.
        line.extend(["-T", "--"].map(OsString::from));
        line.extend([target.into(), self.remote_command.clone().into()]);
        line
    }

    /// Starts the program. Returns at once: whether it gets through shows when messages are exchanged, and
    /// [`Process::explain`] then says why not.
    ///
    /// # Errors
    /// [`Error::Program`] when the program cannot be started.
    pub fn connect(&self) -> Result<ExternalConnection, Error> {
        let program = self.program.to_string_lossy().into_owned();
        let mut command = Command::new(&self.program);
        command
            .args(self.command_line())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(match self.messages {
                Messages::Inherit => Stdio::inherit(),
                Messages::Capture => Stdio::piped(),
            })
            .kill_on_drop(true);
        for variable in SECRET_VARIABLES {
            command.env_remove(variable);
        }
        let mut child = command.spawn().map_err(|source| Error::Program {
            program: program.clone(),
            source,
        })?;
        let said = Arc::new(Mutex::new(Vec::new()));
        let listening = child
            .stderr
            .take()
            .map(|stderr| tokio::spawn(keep_last_lines(stderr, Arc::clone(&said))));
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            let source = io::ErrorKind::BrokenPipe.into();
            return Err(Error::Program { program, source });
        };
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Ok(ExternalConnection {
            connection: Connection {
                control: Control::new(Pipes { stdin, stdout }),
                binding: [0; 32],
                peer: nowhere,
                rtt: Duration::ZERO,
                keeper: None,
                path: None,
            },
            process: Process {
                child,
                program,
                target: self.clone(),
                said,
                listening,
            },
        })
    }
}

/// A connection through a running program.
#[derive(Debug)]
pub struct ExternalConnection {
    /// The messages, with the zero binding; the peer's address and the round-trip time are not known.
    pub connection: Connection,
    /// The program; it is ended when this is dropped.
    pub process: Process,
}

/// The running program.
pub struct Process {
    child: Child,
    program: String,
    target: ExternalSsh,
    said: Arc<Mutex<Vec<String>>>,
    /// Reads standard error until its end.
    listening: Option<JoinHandle<()>>,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("program", &self.program)
            .field("id", &self.child.id())
            .finish_non_exhaustive()
    }
}

impl Process {
    /// Turns the end of the stream before its time into the reason, as far as the program tells.
    ///
    /// 255 is `ssh`'s own failure; what it said decides between a refused login (19), a changed host key (51) and a
    /// connection that was not made (12). Any other status came from the far side.
    pub async fn explain(mut self) -> Error {
        let exit = tokio::time::timeout(EXIT_TIMEOUT, self.child.wait()).await;
        let code = exit.ok().and_then(Result::ok).map(|status| status.code());
        if let Some(listening) = self.listening.take() {
            // A grandchild may hold the pipe open for ever; what has been said by then has to do.
            drop(tokio::time::timeout(LAST_WORDS, listening).await);
        }
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = said.join("; ");
        let host = self.target.host.to_string();
        let has = |texts: &[&str]| texts.iter().any(|text| lines.contains(text));
        if code == Some(Some(255)) && has(&["Permission denied", "Too many authentication"]) {
            return Error::Authentication {
                user: self.target.user.clone().unwrap_or_default(),
                host,
                tried: format!("{} says: {lines}", self.program),
            };
        }
        if code == Some(Some(255)) && has(&["Host key verification failed"]) {
            return Error::HostKeyChanged {
                host,
                shown: "see the program's own message".to_owned(),
                remedy: format!("{} says: {lines}", self.program),
            };
        }
        Error::ProgramEnded {
            program: self.program.clone(),
            status: match code {
                Some(Some(code)) => code.to_string(),
                Some(None) => "signal".to_owned(),
                None => "unknown: it is still running".to_owned(),
            },
            said: if lines.is_empty() {
                "it said nothing".to_owned()
            } else {
                lines
            },
        }
    }
}

/// Keeps the newest lines, without control characters: the far side may have written them.
async fn keep_last_lines(stderr: ChildStderr, said: Arc<Mutex<Vec<String>>>) {
    let mut reader = BufReader::new(stderr);
    loop {
        let mut line = Vec::new();
        match (&mut reader)
            .take(KEPT_LINE)
            .read_until(b'\n', &mut line)
            .await
        {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let text: String = text.trim().chars().filter(|c| !c.is_control()).collect();
        if text.is_empty() {
            continue;
        }
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() == KEPT_LINES {
            said.remove(0);
        }
        said.push(text);
    }
}

/// Returns the far side's end: messages on this process's standard input and output.
///
/// Nothing else may write to standard output from here on.
pub fn far_side() -> Control {
    Control::from_halves(tokio::io::stdin(), tokio::io::stdout())
}

/// The program's standard input and output as one stream.
struct Pipes {
    stdin: ChildStdin,
    stdout: ChildStdout,
}

impl AsyncRead for Pipes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdout).poll_read(cx, buf)
    }
}

impl AsyncWrite for Pipes {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stdin).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w39_the_command_line_leaves_no_room_for_options_in_names() {
        let ssh = ExternalSsh {
            arguments: vec!["-J".into(), "jump".into()],
            user: Some("ada".to_owned()),
            port: Some(2222),
            ..ExternalSsh::new(Host::Name("h.example".to_owned()))
        };
        let expected = [
            "-J",
            "jump",
            "-p",
            "2222",
            "-T",
            "--",
            "ada@h.example",
            "connect-cli server session",
        ];
        assert_eq!(ssh.command_line(), expected.map(OsString::from));
    }
}
