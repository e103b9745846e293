//! `server start` and `server session`.

use std::sync::Arc;

use fasp_net::control::external;
use fasp_server::{Server, ServerSettings, log, state::StateDir};
use serde::Serialize;

use super::{
    notify::Notifier,
    signals::{Signals, Wish},
};
use crate::{
    error::CommandError,
    exit::ExitStatus,
    resolve::{self, LogDestination},
    ui::Ui,
};

/// What `server start --json` prints once clients can come.
#[derive(Debug, Serialize)]
struct Listening<'a> {
    event: &'static str,
    address: String,
    host_key: &'a str,
}

pub(super) fn start(ui: &Ui, settings: &resolve::ServerSettings) -> Result<(), CommandError> {
    let state = Arc::new(StateDir::open(&settings.state)?);
    let logged = settings.conf.log_settings()?;
    let log = match settings.log_destination {
        LogDestination::StandardError => log::install_on_stderr(settings.log_format, logged)?,
        LogDestination::File => {
            log::install_in_file(settings.log_format, Arc::clone(&state), logged)?
        }
    };
    super::on_runtime(|runtime| {
        let settings = ServerSettings {
            listen: settings.listen,
            fixed_cap: settings.fixed_policy_cap,
            keeps_owners: settings.keep_owners,
            conf: settings.conf.clone(),
            udp_ports: settings.udp_ports.clone(),
            prepost: settings.prepost.clone(),
            free_space_floor: settings.free_space_floor,
            log: Some(log),
            ..ServerSettings::new(state)
        };
        runtime.block_on(serve(ui, settings))
    })
}

async fn serve(ui: &Ui, settings: ServerSettings) -> Result<(), CommandError> {
    let mut signals = Signals::new()?.and_reload()?;
    let mut server = Server::start(settings).await?;
    let address = server.local_addr();
    if ui.is_json() {
        ui.print_json(&Listening {
            event: "listening",
            address: address.to_string(),
            host_key: server.fingerprint(),
        })?;
    }
    ui.note(&format!(
        "listening on {address} (TCP and UDP), host key {}",
        server.fingerprint()
    ));
    let notifier = Notifier::start();
    notifier.ready();
    loop {
        tokio::select! {
            wish = signals.wish() => {
                if wish == Wish::Stop {
                    break;
                }
                notifier.reloading();
                match server.reload().await {
                    Ok(()) => ui.note("the configuration is read again"),
                    // The old one stays in force, and the log has the reason too.
                    Err(error) => ui.note(&format!("the configuration stays as it was: {error}")),
                }
                notifier.ready();
            }
            () = server.ended() => {
                notifier.stopping();
                return Ok(());
            }
        }
    }
    notifier.stopping();
    ui.note("stopping; once more to stop at once");
    tokio::select! {
        () = server.shutdown() => Ok(()),
        () = signals.next() => std::process::exit(ExitStatus::Cancelled.number().into()),
    }
}

pub(super) fn session(settings: resolve::SessionSettings) -> Result<(), CommandError> {
    let resolve::SessionSettings {
        external: settings,
        log,
    } = settings;
    if let Some((directory, format)) = log {
        let state = Arc::new(StateDir::open(&directory)?);
        // A file that cannot be read is told to the client, and logged with the usual settings.
        let logged = settings.conf.log_settings().unwrap_or_default();
        log::install_in_file(format, state, logged)?;
    }
    super::on_runtime(|runtime| {
        runtime.block_on(async {
            fasp_server::serve_external(external::far_side(), settings).await?;
            Ok(())
        })
    })
}
