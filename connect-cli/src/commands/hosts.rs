//! `hosts`: the user's list of servers whose uploads are protected.

use std::path::Path;

use connect_agent::Settings;
use serde::Serialize;
use transfer_spec::Host;

use crate::{
    args::{HostArgs, HostsCommand},
    error::CommandError,
    ui::Ui,
};

/// A server of the list, or one that came on it or went off it.
#[derive(Serialize)]
struct Shown<'a> {
    event: &'static str,
    host: &'a str,
    /// Whether the list is another one now.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<bool>,
}

pub(super) fn run(ui: &Ui, settings: &Path, command: HostsCommand) -> Result<(), CommandError> {
    match command {
        HostsCommand::List => list(ui, settings),
        HostsCommand::Protect(args) => {
            let host = host(args)?;
            let changed = Settings::protect_host(settings, &host)?;
            let words = match changed {
                true => "is protected from now on",
                false => "was protected before",
            };
            tell(ui, "host_protected", &host, changed, words)
        }
        HostsCommand::Unprotect(args) => {
            let host = host(args)?;
            let changed = Settings::unprotect_host(settings, &host)?;
            let words = match changed {
                true => "is not protected any more",
                false => "was not protected",
            };
            tell(ui, "host_unprotected", &host, changed, words)
        }
    }
}

fn list(ui: &Ui, settings: &Path) -> Result<(), CommandError> {
    let protection = Settings::load(settings)?.content_protection;
    for host in &protection.hosts {
        if ui.is_json() {
            ui.print_json(&Shown {
                event: "protected_host",
                host,
                changed: None,
            })?;
        } else {
            ui.print_line(host)?;
        }
    }
    if protection.hosts.is_empty() {
        ui.note("no server's uploads are protected; add one with: connect-cli hosts protect HOST");
    }
    Ok(())
}

fn tell(
    ui: &Ui,
    event: &'static str,
    host: &Host,
    changed: bool,
    words: &str,
) -> Result<(), CommandError> {
    let host = host.to_string();
    if ui.is_json() {
        return ui.print_json(&Shown {
            event,
            host: &host,
            changed: Some(changed),
        });
    }
    ui.note(&format!("what is sent to {host} {words}"));
    Ok(())
}

fn host(args: HostArgs) -> Result<Host, CommandError> {
    args.host.parse().map_err(|error| {
        CommandError::arguments(
            format!("'{}': {error}", docroot::escape_name(args.host.as_bytes())),
            "name the server alone, such as files.example.org",
        )
    })
}
