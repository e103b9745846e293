//! `logs`

mod record;

use std::{
    env,
    fs::File,
    io::{self, BufRead as _, BufReader},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use fasp_server::{log::LOG_FILES_KEPT, state::StateDir};

use self::record::{Filter, Record};
use super::logging::{CONNECT_LOG, TRANSFER_LOG};
use crate::{
    args::{LogArgs, LogLevel, LogsArgs, Since},
    error::CommandError,
    resolve,
    ui::{Ui, date_time},
};

/// How often `--follow` looks for more.
const LOOK: Duration = Duration::from_millis(200);

pub(super) fn run(ui: &Ui, args: &LogsArgs) -> Result<(), CommandError> {
    let place = LogArgs {
        log_level: LogLevel::Info,
        log_dir: args.log_dir.clone(),
        log_json: false,
    };
    let directory = resolve::log_directory(&place, |name| env::var_os(name))?;
    let state = StateDir::open(&directory)?;
    let filter = Filter {
        level: args.level,
        session: args.session.clone(),
        since: args.since.as_ref().map(oldest),
    };
    let mut logs = [
        Log::new(&state, CONNECT_LOG),
        Log::new(&state, TRANSFER_LOG),
    ];
    loop {
        while let Some(record) = earliest(&mut logs)? {
            if !filter.wants(&record) {
                continue;
            }
            let line = match ui.is_json() {
                true => record.json(),
                false => record.line,
            };
            if !ui.print_while_read(format!("{line}\n").as_bytes())? {
                return Ok(());
            }
        }
        if !args.follow {
            return Ok(());
        }
        thread::sleep(LOOK);
    }
}

/// Returns how the time of the oldest record to show begins.
fn oldest(since: &Since) -> String {
    match since {
        Since::Time(time) => time.clone(),
        Since::Ago(age) => {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            let seconds = now.saturating_sub(*age).as_secs();
            let minute = date_time(i64::try_from(seconds).unwrap_or(i64::MAX)).replace(' ', "T");
            format!("{minute}:{:02}", seconds % 60)
        }
    }
}

/// Takes the record that was written first among those that come next in each log.
fn earliest(logs: &mut [Log<'_>]) -> Result<Option<Record>, CommandError> {
    for log in &mut *logs {
        log.fill()?;
    }
    let first = logs
        .iter_mut()
        .filter(|log| log.next.is_some())
        .min_by(|a, b| a.time().cmp(b.time()));
    Ok(first.and_then(|log| log.next.take()))
}

/// A log and its older files, read from the oldest record on.
struct Log<'a> {
    state: &'a StateDir,
    name: &'static str,
    /// The file that is read or comes next; 0 is the one that is written.
    number: u32,
    file: Option<BufReader<File>>,
    /// What has been read of a line.
    line: Vec<u8>,
    next: Option<Record>,
}

impl<'a> Log<'a> {
    fn new(state: &'a StateDir, name: &'static str) -> Self {
        Self {
            state,
            name,
            number: LOG_FILES_KEPT,
            file: None,
            line: Vec::new(),
            next: None,
        }
    }

    fn time(&self) -> &str {
        self.next.as_ref().map_or("", Record::time)
    }

    /// Reads the next record, if there is one yet.
    fn fill(&mut self) -> Result<(), CommandError> {
        while self.next.is_none() {
            if self.file.is_none() {
                let file = self.state.read_log(self.name, self.number)?;
                self.file = file.map(BufReader::new);
            }
            if let Some(file) = &mut self.file {
                file.read_until(b'\n', &mut self.line)
                    .map_err(|source| unreadable(self.name, source))?;
                if self.line.pop_if(|last| *last == b'\n').is_some() {
                    let line = String::from_utf8_lossy(&self.line);
                    self.next = Some(Record::parse(&line));
                    self.line.clear();
                    return Ok(());
                }
                if self.number == 0 && self.state.is_current_log(self.name, file.get_ref())? {
                    return Ok(());
                }
            } else if self.number == 0 {
                return Ok(());
            }
            // This file has ended: on to the next, or to the new one that took the name of a file moved aside.
            self.file = None;
            self.line.clear();
            self.number = self.number.saturating_sub(1);
        }
        Ok(())
    }
}

fn unreadable(name: &str, source: io::Error) -> CommandError {
    let what = match name {
        CONNECT_LOG => "the log of the program",
        _ => "the log of transfers",
    };
    CommandError::Input { what, source }
}
