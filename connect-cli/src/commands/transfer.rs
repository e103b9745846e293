//! `upload` and `download`.

use std::io::{Stderr, Stdout};

use fasp_core::ErrorCode;
use fasp_net::{
    event::{Event, Outcome, Retrying, ShownText},
    request::TransferOptions,
    transfer::{Job, Transfer, advice},
};
use tokio::runtime::Runtime;

use super::{
    answers::Answers,
    connection::{self, Reached},
    manifest::Manifest,
    protection::{self, Envelopes},
    sources::job,
    standard::Collected,
    stop::Stop,
    transfer_log::TransferLog,
};
use crate::{
    error::CommandError,
    resolve::{Carrier, Protection, Retry, Server, TransferRequest},
    ui::{self, Reporter, Ui},
};

pub(super) fn run(ui: &Ui, request: TransferRequest) -> Result<(), CommandError> {
    super::on_runtime(|runtime| run_on(ui, runtime, request))
}

fn run_on(ui: &Ui, runtime: &Runtime, request: TransferRequest) -> Result<(), CommandError> {
    let TransferRequest {
        server,
        carrier,
        work,
        list,
        to_standard_output,
        manifest,
        retry,
        protection,
        mut options,
    } = request;
    // A misspelt file is found before anybody is asked for a password.
    let (mut job, _spool) = job(work, list, &mut options.files)?;
    let collected = collect(ui, to_standard_output, &mut job)?;
    let mut manifest = Manifest::new(manifest)?;
    let stop = Stop::listen(*ui, runtime)?;
    runtime.block_on(stop.unless(protection::prepare(
        *ui,
        &protection,
        &mut job,
        options.preserve,
    )))??;
    let mut attempts = Attempts {
        ui,
        runtime,
        log: TransferLog::new(&server, &options),
        server,
        carrier,
        answers: Answers::default(),
        job,
        options: &options,
        is_collected: collected.is_some(),
        stop,
    };
    let mut envelopes = Envelopes::default();
    let mut result = attempts.run(retry, &mut manifest, &mut envelopes);
    if let Err(error) = &result
        && protection::is_demanded(&protection, error)
    {
        ui.note("the server takes protected files only");
        attempts.protect(&protection)?;
        result = attempts.run(retry, &mut manifest, &mut envelopes);
    }
    envelopes.mention(ui, &protection);
    let written = manifest.finish(result.as_ref().err());
    result?;
    if let Some(collected) = collected.filter(|_| !options.files.dry_run) {
        collected.write_out(ui)?;
    }
    written
}

/// Sends what is fetched to a place from where it goes to standard output.
fn collect(
    ui: &Ui,
    to_standard_output: bool,
    job: &mut Job,
) -> Result<Option<Collected>, CommandError> {
    let Job::Download { destination, .. } = job else {
        return Ok(None);
    };
    if !to_standard_output {
        return Ok(None);
    }
    if ui.is_json() {
        return Err(CommandError::arguments(
            "standard output cannot have both the file and the events",
            "leave --json out, or name a file as the destination",
        ));
    }
    let collected = Collected::new()?;
    *destination = collected.destination();
    Ok(Some(collected))
}

/// What every attempt at a transfer needs.
struct Attempts<'a> {
    ui: &'a Ui,
    runtime: &'a Runtime,
    server: Server,
    carrier: Carrier,
    answers: Answers,
    log: TransferLog,
    job: Job,
    options: &'a TransferOptions,
    is_collected: bool,
    stop: Stop,
}

/// How an attempt ended that began.
struct Ended {
    result: Result<Outcome, fasp_net::Error>,
    /// The last event was told: nothing may follow it.
    is_told: bool,
}

impl Attempts<'_> {
    /// Has the files protected, as the server demands.
    fn protect(&mut self, protection: &Protection) -> Result<(), CommandError> {
        let Protection::ProtectIfDemanded(sealing) = protection else {
            return Ok(());
        };
        let protection = Protection::Protect(sealing.clone());
        let prepared =
            protection::prepare(*self.ui, &protection, &mut self.job, self.options.preserve);
        self.runtime.block_on(self.stop.unless(prepared))?
    }

    /// Tries until it is done, until trying again makes no sense, or until somebody stops it (D-11).
    fn run(
        &self,
        retry: Retry,
        manifest: &mut Manifest,
        envelopes: &mut Envelopes,
    ) -> Result<Outcome, CommandError> {
        let mut retries = retry.policy.begin();
        let mut has_begun = false;
        loop {
            let error = match self.attempt(manifest, envelopes) {
                Ok(Ended {
                    result: Err(error),
                    is_told: false,
                }) => {
                    has_begun |= began(error.code());
                    error.into()
                }
                Ok(ended) => return Ok(ended.result?),
                Err(CommandError::Cancelled) if has_begun => return Err(cancelled()),
                Err(error) => error,
            };
            // Any other error is about this side's own files, whatever its code.
            let CommandError::Net(error) = error else {
                return Err(error);
            };
            let next = match has_begun || retry.from_the_start {
                true => retries.after(error.code()),
                false => None,
            };
            let Some(next) = next else {
                return Err(error.into());
            };
            self.announce(next, &error)?;
            // Timers are made on the runtime.
            let waiting = async { tokio::time::sleep(next.delay).await };
            if self.runtime.block_on(self.stop.unless(waiting)).is_err() {
                return Err(cancelled());
            }
        }
    }

    /// Connects and transfers once.
    fn attempt(
        &self,
        manifest: &mut Manifest,
        envelopes: &mut Envelopes,
    ) -> Result<Ended, CommandError> {
        let starting = self.stop.unless(start(self));
        let (transfer, connected) = self.runtime.block_on(starting)??;
        let mut reporter = self.reporter();
        self.stop.watch(transfer.remote(), reporter.bar());
        let followed = ui::follow(
            &mut reporter,
            transfer.events().iter().inspect(|event| {
                self.log.event(event);
                manifest.event(event);
                envelopes.event(event);
            }),
        );
        if followed.is_err() {
            transfer.remote().cancel();
        }
        let result = transfer.wait();
        self.stop.unwatch();
        drop(connected);
        self.log.stop(result.as_ref());
        let outcome = followed.map_err(output_failed)?;
        Ok(Ended {
            result,
            is_told: outcome.is_some(),
        })
    }

    /// Says that it will be tried again.
    fn announce(
        &self,
        next: fasp_net::retry::Retry,
        error: &fasp_net::Error,
    ) -> Result<(), CommandError> {
        let event = Event::Retrying(Retrying {
            retry: next.number,
            retries: next.count,
            code: error.code(),
            message: ShownText::from_message(&ui::error_sentence(error)),
            delay_ms: next.delay.as_millis() as u64,
        });
        self.log.event(&event);
        self.reporter().show(&event).map_err(output_failed)
    }

    fn reporter(&self) -> Reporter<Stdout, Stderr> {
        match self.is_collected {
            true => self.ui.quiet_reporter(),
            false => self.ui.reporter(),
        }
    }
}

/// Whether a session that ended so had begun: files could move.
fn began(code: ErrorCode) -> bool {
    // UDP does not come through, one way or both; it will not the next time either, and the person had better hear of it.
    !matches!(
        code,
        ErrorCode::DataFailed | ErrorCode::DataTimeout | ErrorCode::DataBlocked
    )
}

fn output_failed(source: std::io::Error) -> CommandError {
    CommandError::Output {
        what: "the events of the transfer".to_owned(),
        source,
    }
}

/// What a transfer ends with that is stopped between two attempts.
fn cancelled() -> CommandError {
    let code = ErrorCode::Cancelled;
    CommandError::Net(fasp_net::Error::Session {
        code,
        message: "cancelled".to_owned(),
        hint: advice(code).map(str::to_owned),
    })
}

/// Starts the transfer; what is returned beside it has to live as long.
async fn start(attempts: &Attempts<'_>) -> Result<(Transfer, impl Sized + use<>), CommandError> {
    let Attempts {
        server,
        carrier,
        answers,
        job,
        options,
        ..
    } = attempts;
    let Reached { dialled, process } = connection::reach(server, carrier, answers).await?;
    match Transfer::start(dialled, job.clone(), options).await {
        Ok(transfer) => Ok((transfer, process)),
        Err(error) => Err(connection::explain(error, process).await),
    }
}
