//! Who watches a session: the log, the table of sessions, and its receipt.

use std::time::{Duration, Instant};

use docroot::Docroot;
use fasp_core::{ErrorCode, SessionId};
use fasp_net::{
    engine::Report,
    event::Event,
    serve::{GrantedRates, Observer, Refusal},
};
use tracing::info;

use crate::{
    hook::Hook,
    log::{SessionRecord, SessionStatus},
    manifest::Receipt,
    policy::{ADMINISTRATOR, ManifestPlan},
    sessions::{Entry, Facts, SessionTable},
};

/// What is known of a session before it runs.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) record: SessionRecord,
    pub(crate) facts: Facts,
    pub(crate) rates: GrantedRates,
    pub(crate) logs_files: bool,
    pub(crate) log_interval: Option<Duration>,
    pub(crate) manifest: Option<ManifestPlan>,
    pub(crate) hook: Option<Hook>,
    pub(crate) space: Option<Space>,
}

/// The space that has to stay free.
#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) root: Docroot,
    /// Bytes.
    pub(crate) floor: u64,
}

/// How often free space is looked at.
const SPACE_LOOK: Duration = Duration::from_secs(1);

impl Space {
    /// Whether there is enough; a file system that does not tell has none to spare.
    fn is_enough(&self) -> bool {
        self.root
            .free_space()
            .is_ok_and(|(free, _)| free >= self.floor)
    }

    /// Refuses uploads where there is not enough (rule D-12).
    ///
    /// # Errors
    /// What the client is told.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        match self.is_enough() {
            true => Ok(()),
            false => Err(Refusal::new(ErrorCode::NoSpace, NO_SPACE).hint(ADMINISTRATOR)),
        }
    }
}

/// What clients are told then.
const NO_SPACE: &str = "the server keeps the space that is left there free";

/// A session that has reported.
struct Running {
    /// Takes the session out of the table.
    _entry: Entry,
    receipt: Option<Receipt>,
    next_line: Instant,
    next_look: Instant,
}

/// Watches a session from its first report on, so that what was refused after all leaves nothing.
pub(crate) fn observer(watched: Watched, table: SessionTable) -> Observer {
    let mut running: Option<Running> = None;
    Box::new(move |id, report| {
        let running = running.get_or_insert_with(|| begin(id, &watched, &table));
        match report {
            Report::Statistics(statistics) => {
                table.on_statistics(id, statistics);
                if let Some(space) = &watched.space
                    && Instant::now() >= running.next_look
                {
                    running.next_look = Instant::now() + SPACE_LOOK;
                    if !space.is_enough() {
                        table.cancel(id, ErrorCode::NoSpace, NO_SPACE);
                    }
                }
                if let Some(interval) = watched.log_interval
                    && Instant::now() >= running.next_line
                {
                    running.next_line = Instant::now() + interval;
                    watched.record.log_statistics(statistics);
                }
            }
            Report::Event(event) => on_event(&watched, running, event),
            Report::Finished(finish) => {
                if let Some(receipt) = running.receipt.take() {
                    receipt.finish(finish);
                }
                if let Some(hook) = &watched.hook {
                    hook.after(&watched.record, finish);
                }
                watched.record.log_stop(match finish.error {
                    Some((code, _)) if finish.outcome.files_failed == 0 => {
                        SessionStatus::Failed(code)
                    }
                    _ => SessionStatus::Ended(&finish.outcome),
                });
            }
            Report::Limits(limits) => table.on_limits(id, *limits),
            Report::Connected => {}
        }
    })
}

fn begin(id: SessionId, watched: &Watched, table: &SessionTable) -> Running {
    watched.record.log_start();
    let manifest = watched.manifest.as_ref();
    Running {
        _entry: table.enter(id, watched.facts.clone(), watched.rates),
        receipt: manifest.and_then(|plan| Receipt::begin(plan, &watched.record, id)),
        next_line: Instant::now() + watched.log_interval.unwrap_or_default(),
        next_look: Instant::now() + SPACE_LOOK,
    }
}

fn on_event(watched: &Watched, running: &mut Running, event: &Event) {
    if let Some(receipt) = &mut running.receipt {
        receipt.on_event(event);
    }
    if let Some(hook) = &watched.hook {
        hook.on_event(&watched.record, event);
    }
    if !watched.logs_files {
        return;
    }
    let uuid = watched.record.transfer_id;
    match event {
        Event::FileDone { path, size, .. } => {
            info!(%uuid, file = path.as_str(), size, status = "success", "FASP Transfer");
        }
        Event::FileSkipped { path, .. } => {
            info!(%uuid, file = path.as_str(), status = "skipped", "FASP Transfer");
        }
        Event::FileFailed(failure) => {
            let errcode = failure.code.number();
            info!(%uuid, file = failure.path.as_str(), errcode, status = "failed", "FASP Transfer");
        }
        _ => {}
    }
}
