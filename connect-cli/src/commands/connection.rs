//! An authenticated control connection to a server, by either carrier.

use std::{env, io, net::SocketAddr, path::PathBuf, process::Stdio, sync::Arc};

use fasp_net::{
    Error as NetError,
    control::{
        external::{ExternalSsh, Messages, Process},
        known_hosts::KnownHosts,
        resume::{
            TicketFile,
            dial::{Dialled, Login},
        },
        ssh::{
            client::{CONNECT_TIMEOUT, Connection, FirstUse, HostKeyCheck},
            credentials::{Credentials, KeySource, PasswordSource},
        },
    },
};
use tokio::process::Command;

use super::answers::Answers;
use crate::{
    error::CommandError,
    resolve::{self, Carrier, NewHostKeys, Server},
    ui,
};

/// A connection, and the program it runs through.
pub(super) struct Connected {
    pub(super) connection: Connection,
    /// Ended when dropped.
    pub(super) process: Option<Process>,
}

/// A connection for a transfer, which may begin with a ticket instead of a log-in.
pub(super) struct Reached {
    pub(super) dialled: Dialled,
    /// Ended when dropped.
    pub(super) process: Option<Process>,
}

/// Connects for a transfer: with the ticket of an earlier one, or by logging in.
pub(super) async fn reach(
    server: &Server,
    carrier: &Carrier,
    answers: &Answers,
) -> Result<Reached, CommandError> {
    match carrier {
        Carrier::BuiltIn {
            identities,
            known_hosts,
            new_host_keys,
        } => {
            let known_hosts = known_hosts.as_ref();
            let login = login(server, identities, known_hosts, *new_host_keys, answers)?;
            Ok(Reached {
                dialled: login.dial().await?,
                process: None,
            })
        }
        Carrier::SystemSsh { .. } => {
            let Connected {
                connection,
                process,
            } = connect(server, carrier).await?;
            Ok(Reached {
                dialled: connection.into(),
                process,
            })
        }
    }
}

/// What it takes to log in at our own endpoint.
fn login(
    server: &Server,
    identities: &[PathBuf],
    known_hosts: Option<&PathBuf>,
    new_host_keys: NewHostKeys,
    answers: &Answers,
) -> Result<Login, CommandError> {
    let known_hosts = match known_hosts {
        Some(path) => path.clone(),
        None => resolve::known_hosts_path(|name| env::var_os(name))?,
    };
    Ok(Login {
        host: server.host.to_string(),
        port: server.port.unwrap_or(fasp_net::control::ssh::DEFAULT_PORT),
        timeout: CONNECT_TIMEOUT,
        user: server.user.clone().unwrap_or_default(),
        credentials: credentials(identities, answers),
        tickets: Some(TicketFile::beside(&known_hosts)),
        check: HostKeyCheck::Known {
            hosts: KnownHosts::new(known_hosts),
            first_use: first_use(new_host_keys),
        },
    })
}

/// Connects and logs in.
pub(super) async fn connect(server: &Server, carrier: &Carrier) -> Result<Connected, CommandError> {
    match carrier {
        Carrier::BuiltIn {
            identities,
            known_hosts,
            new_host_keys,
        } => {
            let (known_hosts, answers) = (known_hosts.as_ref(), Answers::default());
            let login = login(server, identities, known_hosts, *new_host_keys, &answers)?;
            Ok(Connected {
                connection: login.connect().await?,
                process: None,
            })
        }
        Carrier::SystemSsh { arguments } => {
            let ssh = ExternalSsh {
                arguments: arguments.clone(),
                user: server.user.clone(),
                port: server.port,
                messages: Messages::Capture,
                ..ExternalSsh::new(server.host.clone())
            };
            let address = data_host(&ssh).await?;
            let external = ssh.connect()?;
            let connection = Connection {
                peer: address,
                ..external.connection
            };
            Ok(Connected {
                connection,
                process: Some(external.process),
            })
        }
    }
}

/// Says why the far side did not answer, when the program that leads there knows.
pub(super) async fn explain(error: NetError, process: Option<Process>) -> CommandError {
    match (error, process) {
        (NetError::ConnectionLost(_), Some(process)) => process.explain().await.into(),
        (error, _) => error.into(),
    }
}

fn first_use(rule: NewHostKeys) -> FirstUse {
    match rule {
        NewHostKeys::Accept => FirstUse::AcceptNew,
        NewHostKeys::Ask if ui::can_ask() => FirstUse::Ask(Arc::new(ui::confirm_host_key)),
        NewHostKeys::Ask => FirstUse::Refuse,
    }
}

/// Everything there is to log in with: keys that were named, what the environment offers, and a person.
fn credentials(identities: &[PathBuf], answers: &Answers) -> Credentials {
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let mut credentials = Credentials::from_environment(&home, |name| env::var(name).ok());
    if home.as_os_str().is_empty() {
        credentials.default_keys.clear();
    }
    let named = identities.iter().cloned().map(KeySource::File);
    credentials.keys.splice(0..0, named);
    if ui::can_ask() {
        let prompt = answers.prompt();
        credentials.passphrase = Some(prompt.clone());
        credentials
            .password
            .get_or_insert_with(|| PasswordSource::Ask(prompt));
    }
    credentials
}

/// Returns the address that datagrams go to: that of the host as the ssh program's configuration names it.
async fn data_host(ssh: &ExternalSsh) -> Result<SocketAddr, CommandError> {
    let name = match configured_name(ssh).await {
        Some(name) => name,
        None => ssh.host.to_string(),
    };
    let not_found = |source| NetError::HostNotFound {
        host: name.clone(),
        source,
    };
    let mut addresses = tokio::net::lookup_host((name.as_str(), 0))
        .await
        .map_err(not_found)?;
    let first = addresses.next();
    Ok(first.ok_or_else(|| not_found(io::ErrorKind::NotFound.into()))?)
}

/// Asks the ssh program what it makes of the name: `Host` entries may stand for another machine.
async fn configured_name(ssh: &ExternalSsh) -> Option<String> {
    let output = Command::new(&ssh.program)
        .args(&ssh.arguments)
        .args(["-G", "--", &ssh.host.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .await
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("hostname "));
    name.map(|name| name.trim().to_owned())
}
