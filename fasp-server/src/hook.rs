//! The program that runs before and after sessions and after files.
//!
//! It is executed as it is, never through a shell, with an environment of its own: what it hears stands in variables, and
//! names in them are escaped as in the log.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use fasp_core::ErrorCode;
use fasp_net::{
    engine::Finish,
    event::{Event, EventDirection},
    serve::Refusal,
};
use tracing::{error, warn};

use crate::{Error, log::SessionRecord, operator_file};

/// How long a session waits for the program before it begins.
const BEFORE: Duration = Duration::from_secs(10);
/// How long the program may take otherwise.
const AFTER: Duration = Duration::from_secs(60);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// What waits to be told; more is left out, and logged.
const QUEUE: usize = 1024;

/// Runs the program. Clones share its queue.
#[derive(Debug, Clone)]
pub(crate) struct Hook {
    program: Arc<Path>,
    queue: SyncSender<Vec<(&'static str, String)>>,
}

type Variables = Vec<(&'static str, String)>;

impl Hook {
    /// Takes a program that nobody but its owner and root can change (rule P-8), and starts the thread that runs it.
    ///
    /// # Errors
    /// What [`operator_file::require_program`] says.
    pub(crate) fn new(program: PathBuf) -> Result<Self, Error> {
        operator_file::require_program(&program)?;
        let program: Arc<Path> = program.into();
        let (queue, waiting) = sync_channel::<Variables>(QUEUE);
        let path = Arc::clone(&program);
        let thread = thread::Builder::new().name("fasp-hook".into());
        let run = move || {
            for variables in waiting {
                if let Err(why) = run(&path, &variables, AFTER) {
                    warn!(program = %path.display(), "{why}");
                }
            }
        };
        thread.spawn(run).map_err(fasp_net::Error::Thread)?;
        Ok(Self { program, queue })
    }

    /// Asks before a session begins; it does not when the program fails or takes too long.
    ///
    /// # Errors
    /// What the client is told.
    pub(crate) fn before(&self, record: &SessionRecord) -> Result<(), Refusal> {
        let mut variables = about(record);
        variables.extend(event("Session", "Start", "started"));
        run(&self.program, &variables, BEFORE).map_err(|why| {
            error!(program = %self.program.display(), "the session is refused: {why}");
            let text = "the server's own check refuses the session";
            Refusal::new(ErrorCode::Unauthorized, text).hint("ask the server's administrator")
        })
    }

    /// Tells of a file's end.
    pub(crate) fn on_event(&self, record: &SessionRecord, of: &Event) {
        let mut variables = about(record);
        match of {
            Event::FileDone { path, size, .. } => {
                variables.extend(event("File", "Stop", "success"));
                variables.push(("FILE", path.to_string()));
                variables.push(("SIZE", size.to_string()));
            }
            Event::FileFailed(failure) => {
                variables.extend(event("File", "Stop", "failed"));
                variables.push(("FILE", failure.path.to_string()));
                variables.push(("ERRCODE", failure.code.number().to_string()));
                variables.push(("ERRSTR", failure.message.to_string()));
            }
            _ => return,
        }
        self.tell(variables);
    }

    /// Tells of a session's end.
    pub(crate) fn after(&self, record: &SessionRecord, finish: &Finish) {
        let mut variables = about(record);
        let outcome = &finish.outcome;
        let code = finish.error.as_ref().map(|(code, _)| *code);
        let state = if code.is_none() { "success" } else { "failed" };
        variables.extend(event("Session", "Stop", state));
        let code = code.map_or(0, ErrorCode::number);
        variables.push(("ERRCODE", code.to_string()));
        variables.push(("FILE_COUNT", outcome.files_done.to_string()));
        variables.push(("TOTALBYTES", outcome.bytes.to_string()));
        self.tell(variables);
    }

    fn tell(&self, variables: Variables) {
        match self.queue.try_send(variables) {
            Ok(()) => {}
            // The thread ends with the last of these.
            Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => {
                warn!(program = %self.program.display(), "too slow: an event was left out");
            }
        }
    }
}

fn about(record: &SessionRecord) -> Variables {
    let direction = match record.direction {
        EventDirection::Send => "send",
        EventDirection::Receive => "recv",
    };
    vec![
        ("SESSIONID", record.transfer_id.to_string()),
        ("USER", record.user.to_string()),
        ("PEER", record.peer.ip().to_string()),
        ("DIRECTION", direction.to_owned()),
    ]
}

fn event(kind: &str, start_stop: &str, state: &str) -> [(&'static str, String); 3] {
    [
        ("TYPE", kind.to_owned()),
        ("STARTSTOP", start_stop.to_owned()),
        ("STATE", state.to_owned()),
    ]
}

/// Runs the program once and waits for it; the error says what went wrong.
fn run(program: &Path, variables: &Variables, limit: Duration) -> Result<(), String> {
    let mut child = Command::new(program)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        .spawn()
        .map_err(|why| format!("the program cannot be run: {why}"))?;
    let began = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("the program failed: {status}")),
            Ok(None) if began.elapsed() < limit => thread::sleep(LOOK),
            Ok(None) => {
                // It may have ended just now.
                child.kill().ok();
                child.wait().ok();
                return Err("the program took too long and was ended".to_owned());
            }
            Err(why) => return Err(format!("the program is lost: {why}")),
        }
    }
}
