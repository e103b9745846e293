//! A running transfer, event by event.

use std::io::{self, Write};

use fasp_core::Rate;
use fasp_net::event::{Event, FileFailure, Outcome, PlannedAction, RateChange, Retrying, Started};

use super::{json::json_line, progress::ProgressBar, summary::summary};

/// Where the events of a transfer are shown.
#[derive(Debug)]
pub enum Reporter<Data, Notes> {
    /// Every event as one object per line.
    Json {
        /// Where the objects go.
        data: Data,
    },
    /// A bar if there is one, lines about what is unusual, and the summary.
    Text {
        /// Where the summary goes.
        data: Data,
        /// Where everything else goes.
        notes: Notes,
        /// The bar; `None` where nobody watches.
        bar: Option<ProgressBar>,
    },
    /// Failed files only.
    Quiet {
        /// Where they go.
        notes: Notes,
    },
}

/// Shows events until the transfer is done, and returns its outcome; `None` when the events ended before that, which
/// means that the transfer failed as a whole.
///
/// # Errors
///
/// When the output cannot be written; the caller then cancels the transfer.
pub fn follow<Data: Write, Notes: Write>(
    reporter: &mut Reporter<Data, Notes>,
    events: impl IntoIterator<Item = Event>,
) -> io::Result<Option<Outcome>> {
    for event in events {
        reporter.show(&event)?;
        if let Event::Done(outcome) = event {
            return Ok(Some(outcome));
        }
    }
    reporter.abandon();
    Ok(None)
}

impl<Data: Write, Notes: Write> Reporter<Data, Notes> {
    /// Shows one event.
    ///
    /// # Errors
    ///
    /// When the output cannot be written.
    pub fn show(&mut self, event: &Event) -> io::Result<()> {
        match self {
            Self::Json { data } => {
                data.write_all(json_line(event).as_bytes())?;
                data.flush()
            }
            Self::Quiet { notes } => match event {
                Event::FileFailed(failure) => notes.write_all(failed(failure).as_bytes()),
                _ => Ok(()),
            },
            Self::Text { data, notes, bar } => match event {
                Event::Progress(progress) => {
                    if let Some(bar) = bar {
                        bar.show(progress);
                    }
                    Ok(())
                }
                Event::FilePlanned { action, path, .. } => {
                    let verb = match action {
                        PlannedAction::Transfer => "transfer",
                        PlannedAction::Delete => "delete",
                    };
                    above(bar.as_ref(), || {
                        data.write_all(format!("would {verb} {path}\n").as_bytes())
                    })
                }
                Event::Done(outcome) => {
                    if let Some(bar) = bar {
                        bar.clear();
                    }
                    data.write_all(summary(outcome).as_bytes())?;
                    data.flush()
                }
                other => match note(other) {
                    Some(line) => above(bar.as_ref(), || notes.write_all(line.as_bytes())),
                    None => Ok(()),
                },
            },
        }
    }

    /// Returns the bar, for others who have something to say while it is drawn.
    pub fn bar(&self) -> Option<ProgressBar> {
        match self {
            Self::Text { bar, .. } => bar.clone(),
            Self::Json { .. } | Self::Quiet { .. } => None,
        }
    }

    /// Leaves the terminal clean when there is no outcome.
    fn abandon(&mut self) {
        if let Self::Text { bar: Some(bar), .. } = self {
            bar.clear();
        }
    }
}

fn above<T>(bar: Option<&ProgressBar>, write: impl FnOnce() -> T) -> T {
    match bar {
        Some(bar) => bar.above(write),
        None => write(),
    }
}

/// Returns the line that a person sees for an event outside the bar, if any.
fn note(event: &Event) -> Option<String> {
    match event {
        Event::Started(started) => Some(start(started)),
        Event::FileFailed(failure) => Some(failed(failure)),
        Event::RateChanged(change) => Some(changed(change)),
        Event::FileDeleted { path } => Some(format!("deleted: {path}\n")),
        Event::Retrying(retrying) => Some(again(retrying)),
        Event::Notice { message } => Some(format!("note: {message}\n")),
        // A line for each file would bury what matters; --json has them all.
        _ => None,
    }
}

fn start(started: &Started) -> String {
    let target = match started.target_rate_kbps {
        Some(kbps) => format!("target rate {}", Rate::from_kbps(kbps)),
        None => "target rate by measurement".to_owned(),
    };
    format!(
        "connected to {} ({}, {}, {target})\n",
        started.peer, started.cipher, started.policy
    )
}

fn failed(failure: &FileFailure) -> String {
    format!(
        "failed: {}: {} (FASP code {})\n",
        failure.path,
        failure.message,
        failure.code.number()
    )
}

fn again(retrying: &Retrying) -> String {
    let Retrying {
        retry,
        retries,
        code,
        message,
        delay_ms,
    } = retrying;
    format!(
        "retrying: {message} (FASP code {}); again in {} s ({retry} of {retries})\n",
        code.number(),
        delay_ms.div_ceil(1000)
    )
}

fn changed(change: &RateChange) -> String {
    let parts: Vec<String> = [
        change
            .target_rate_kbps
            .map(|kbps| format!("target rate {}", Rate::from_kbps(kbps))),
        change
            .min_rate_kbps
            .map(|kbps| format!("minimum rate {}", Rate::from_kbps(kbps))),
        change.policy.map(|policy| format!("policy {policy}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    format!("changed: {}\n", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::Receiver;
    use fasp_core::ErrorCode;

    use super::*;

    fn events(last: Option<Event>) -> Receiver<Event> {
        let (sender, receiver) = crossbeam_channel::bounded(8);
        let failure = FileFailure {
            path: "a\u{1b}[2J.bin".into(),
            code: ErrorCode::DiskRead,
            message: "the source could not be read".into(),
        };
        sender
            .send(Event::Notice {
                message: "the server caps the rate".into(),
            })
            .unwrap();
        sender.send(Event::FileFailed(failure)).unwrap();
        if let Some(last) = last {
            sender.send(last).unwrap();
        }
        receiver
    }

    fn done() -> Option<Event> {
        Some(Event::Done(Outcome {
            files_done: 2,
            files_failed: 1,
            ..Outcome::default()
        }))
    }

    #[test]
    fn text_puts_the_summary_on_one_stream_and_the_rest_on_the_other() {
        let (mut data, mut notes) = (Vec::new(), Vec::new());
        let mut reporter = Reporter::Text {
            data: &mut data,
            notes: &mut notes,
            bar: None,
        };
        let outcome = follow(&mut reporter, events(done())).unwrap().unwrap();
        assert_eq!(outcome.files_failed, 1);
        assert!(
            String::from_utf8(data)
                .unwrap()
                .starts_with("Completed: 0K bytes")
        );
        assert_eq!(
            String::from_utf8(notes).unwrap(),
            "note: the server caps the rate\n\
             failed: a\\u{1b}[2J.bin: the source could not be read (FASP code 35)\n"
        );
    }

    #[test]
    fn json_is_one_object_a_line() {
        let mut data = Vec::new();
        let mut reporter: Reporter<_, Vec<u8>> = Reporter::Json { data: &mut data };
        follow(&mut reporter, events(done())).unwrap();
        let names: Vec<String> = String::from_utf8(data)
            .unwrap()
            .lines()
            .map(|line| {
                let object: serde_json::Value = serde_json::from_str(line).unwrap();
                object["event"].as_str().unwrap().to_owned()
            })
            .collect();
        assert_eq!(names, ["notice", "file_failed", "done"]);
    }

    #[test]
    fn quiet_still_names_failed_files() {
        let mut notes = Vec::new();
        let mut reporter: Reporter<Vec<u8>, _> = Reporter::Quiet { notes: &mut notes };
        follow(&mut reporter, events(done())).unwrap();
        assert!(String::from_utf8(notes).unwrap().starts_with("failed: "));
    }

    #[test]
    fn events_that_end_early_have_no_outcome() {
        let mut reporter: Reporter<_, Vec<u8>> = Reporter::Json { data: Vec::new() };
        assert_eq!(follow(&mut reporter, events(None)).unwrap(), None);
    }
}
