//! `upload` and `download`.

use fasp_net::{
    request::TransferOptions,
    transfer::{Job, Remote, Transfer},
};
use tokio::runtime::Runtime;

use super::{
    connection::{self, Reached},
    manifest::Manifest,
    signals::Signals,
    sources::job,
    standard::Collected,
    transfer_log::TransferLog,
};
use crate::{
    error::CommandError,
    exit::ExitStatus,
    resolve::{Carrier, Server, TransferRequest},
    ui::{self, ProgressBar, Ui},
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
        mut options,
    } = request;
    // A misspelt file is found before anybody is asked for a password.
    let (mut job, _spool) = job(work, list, &mut options.files)?;
    let collected = collect(ui, to_standard_output, &mut job)?;
    let mut manifest = Manifest::new(manifest)?;
    let log = TransferLog::new(&server, &options);
    let mut signals = runtime.block_on(async { Signals::new() })?;
    let starting = start(&server, &carrier, job, &options);
    let (transfer, connected) = runtime.block_on(signals.unless(starting))?;
    let mut reporter = match collected {
        Some(_) => ui.quiet_reporter(),
        None => ui.reporter(),
    };
    let stop = Stop {
        remote: transfer.remote(),
        ui: *ui,
        bar: reporter.bar(),
    };
    runtime.spawn(stop.on_signal(signals));
    let followed = ui::follow(
        &mut reporter,
        transfer.events().iter().inspect(|event| {
            log.event(event);
            manifest.event(event);
        }),
    );
    if followed.is_err() {
        transfer.remote().cancel();
    }
    let result = transfer.wait();
    drop(connected);
    log.stop(result.as_ref());
    followed.map_err(|source| CommandError::Output {
        what: "the events of the transfer".to_owned(),
        source,
    })?;
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

/// Starts the transfer; what is returned beside it has to live as long.
async fn start(
    server: &Server,
    carrier: &Carrier,
    job: Job,
    options: &TransferOptions,
) -> Result<(Transfer, impl Sized + use<>), CommandError> {
    let Reached { dialled, process } = connection::reach(server, carrier).await?;
    match Transfer::start(dialled, job, options).await {
        Ok(transfer) => Ok((transfer, process)),
        Err(error) => Err(connection::explain(error, process).await),
    }
}

/// What it takes to end a transfer from outside, and to say so.
struct Stop {
    remote: Remote,
    ui: Ui,
    bar: Option<ProgressBar>,
}

impl Stop {
    /// The first signal ends the transfer in order, the second one at once.
    async fn on_signal(self, mut signals: Signals) {
        signals.next().await;
        let note = || self.ui.note("stopping; once more to stop at once");
        match &self.bar {
            Some(bar) => bar.above(note),
            None => note(),
        }
        self.remote.cancel();
        signals.next().await;
        if let Some(bar) = &self.bar {
            bar.clear();
        }
        std::process::exit(ExitStatus::Cancelled.number().into());
    }
}
