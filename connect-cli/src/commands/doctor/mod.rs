//! `doctor`

mod finding;

use std::path::Path;

use docroot::Docroot;
use fasp_core::ErrorCode;
use fasp_net::{
    Error as NetError,
    control::ssh::client::{self, CONNECT_TIMEOUT},
    transfer::probe::{DataPath, Probe, ServerFacts},
};
use tokio::time::Instant;

use self::finding::{Check, Finding};
use super::{
    connection::{self, Connected},
    signals::Signals,
};
use crate::{
    error::CommandError,
    resolve::{Carrier, Listing, known_hosts_path},
    ui::{Ui, byte_count},
};

/// Clocks that differ by more than this mislead rules that compare times of files, milliseconds.
const CLOCK_MAX_MS: u64 = 30_000;
/// Datagrams smaller than this mean that a tunnel takes more than tunnels usually do, bytes of UDP payload.
const DATAGRAM_USUAL: u16 = 1280;
/// A disk with less than this part of it free is nearly full.
const NEARLY_FULL: u64 = 100;

pub(super) fn run(ui: &Ui, request: &Listing) -> Result<(), CommandError> {
    super::on_runtime(|runtime| {
        let mut signals = runtime.block_on(async { Signals::new() })?;
        let mut report = Report::new(*ui);
        runtime.block_on(signals.unless(examine(&mut report, request)))?;
        report.end()
    })
}

/// Looks at everything in order. What fails is a finding, not an error.
async fn examine(report: &mut Report, request: &Listing) -> Result<(), CommandError> {
    if let Some(connected) = connect(report, request).await? {
        let Connected {
            connection,
            process,
        } = connected;
        match Probe::start(connection, request.path.clone()).await {
            Ok((probe, facts)) => {
                if matches!(request.carrier, Carrier::SystemSsh { .. }) {
                    let led = Finding::Good("the ssh program leads to connect-cli there".into());
                    report.add(Check::Ssh, led)?;
                }
                report.add(Check::Version, version(&facts))?;
                data_path(report, probe).await?;
                report.add(Check::Clock, clock(&facts))?;
                report.add(Check::ServerDisk, server_disk(&facts))?;
            }
            Err(error) => {
                let error = connection::explain(error, process).await;
                // With the ssh program nobody has spoken yet before this.
                let check = match request.carrier {
                    Carrier::BuiltIn { .. } => Check::Version,
                    Carrier::SystemSsh { .. } => Check::Ssh,
                };
                report.add(check, Finding::bad(&error))?;
            }
        }
    }
    report.add(Check::LocalDisk, local_disk())
}

/// Looks at everything up to the login.
async fn connect(
    report: &mut Report,
    request: &Listing,
) -> Result<Option<Connected>, CommandError> {
    let Carrier::BuiltIn { known_hosts, .. } = &request.carrier else {
        for check in [Check::Dns, Check::Tcp, Check::HostKey, Check::Login] {
            report.leave(check, "the ssh program does this");
        }
        return match connection::connect(&request.server, &request.carrier).await {
            Ok(connected) => Ok(Some(connected)),
            Err(error) => report.add(Check::Ssh, Finding::bad(&error)).map(|()| None),
        };
    };
    let host = request.server.host.to_string();
    let port = request
        .server
        .port
        .unwrap_or(fasp_net::control::ssh::DEFAULT_PORT);
    if !reach(report, &host, port).await? {
        return Ok(None);
    }
    let known_hosts = match known_hosts {
        Some(path) => Some(path.clone()),
        None => known_hosts_path(|name| std::env::var_os(name)).ok(),
    };
    match connection::connect(&request.server, &request.carrier).await {
        Ok(connected) => {
            report.add(
                Check::Ssh,
                Finding::Good("the handshake is complete".into()),
            )?;
            report.add(
                Check::HostKey,
                Finding::Good("it is the expected one".into()),
            )?;
            let user = request.server.user.as_deref().unwrap_or_default();
            report.add(Check::Login, Finding::Good(format!("as {user}")))?;
            Ok(Some(connected))
        }
        Err(error) => {
            let failed = failed_check(&error, known_hosts.as_deref());
            for check in [Check::Ssh, Check::HostKey] {
                if check == failed {
                    break;
                }
                report.add(check, Finding::Good("in order".into()))?;
            }
            report.add(failed, Finding::bad(&error)).map(|()| None)
        }
    }
}

/// Looks at name and TCP; returns whether both work.
async fn reach(report: &mut Report, host: &str, port: u16) -> Result<bool, CommandError> {
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    let timed_out = |_| NetError::ConnectTimeout {
        host: host.to_owned(),
        port,
        limit: CONNECT_TIMEOUT,
    };
    let lookup = tokio::time::timeout_at(deadline, client::resolve(host, port)).await;
    let addresses = match lookup.map_err(timed_out).flatten() {
        Ok(addresses) => addresses,
        Err(error) => {
            return report
                .add(Check::Dns, Finding::bad(&error.into()))
                .map(|()| false);
        }
    };
    let names: Vec<_> = addresses.iter().map(|a| a.ip().to_string()).collect();
    report.add(
        Check::Dns,
        Finding::Good(format!("{host} is {}", names.join(", "))),
    )?;
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    match client::reach(host, &addresses, deadline, CONNECT_TIMEOUT).await {
        Ok((_, address, rtt)) => {
            let ms = rtt.as_secs_f64() * 1e3;
            let found = format!("{address} answers after {ms:.1} ms");
            report.add(Check::Tcp, Finding::Good(found))?;
            Ok(true)
        }
        Err(error) => report
            .add(Check::Tcp, Finding::bad(&error.into()))
            .map(|()| false),
    }
}

/// Says which part of connecting an error belongs to.
fn failed_check(error: &CommandError, known_hosts: Option<&Path>) -> Check {
    match error {
        CommandError::Net(
            NetError::HostKeyChanged { .. } | NetError::HostKeyUnconfirmed { .. },
        ) => Check::HostKey,
        CommandError::Net(NetError::UserFile { path, .. })
            if known_hosts.is_some_and(|known| Path::new(path) == known) =>
        {
            Check::HostKey
        }
        CommandError::Net(NetError::Authentication { .. } | NetError::UserFile { .. }) => {
            Check::Login
        }
        _ => Check::Ssh,
    }
}

fn version(facts: &ServerFacts) -> Finding {
    let ours = concat!("fasp-net/", env!("CARGO_PKG_VERSION"));
    if facts.software == ours {
        return Finding::Good(format!("{ours} on both sides"));
    }
    Finding::Odd {
        message: format!("{} there, {ours} here", facts.software),
        hint: "use the same release on both sides".to_owned(),
    }
}

/// Looks at both directions of UDP and at the size of datagrams.
async fn data_path(report: &mut Report, probe: Probe) -> Result<(), CommandError> {
    match probe.data_path().await {
        Ok(path) => {
            let ms = path.rtt.as_secs_f64() * 1e3;
            let there = format!("datagrams arrive at {}", path.address);
            report.add(Check::UdpOut, Finding::Good(there))?;
            let back = format!("and come back after {ms:.1} ms");
            report.add(Check::UdpBack, Finding::Good(back))?;
            report.add(Check::PathMtu, path_mtu(&path))
        }
        Err(error) => {
            let error = CommandError::from(error);
            let failed = match error.code() {
                // Something got through, so the way there is open.
                ErrorCode::DataBlocked | ErrorCode::Stalled => {
                    let there = Finding::Good("datagrams arrive at the server".to_owned());
                    report.add(Check::UdpOut, there)?;
                    Check::UdpBack
                }
                _ => Check::UdpOut,
            };
            report.add(failed, Finding::bad(&error))
        }
    }
}

fn path_mtu(path: &DataPath) -> Finding {
    match path.datagram {
        None => Finding::NotChecked("the account may not send files".to_owned()),
        Some(size) if size < DATAGRAM_USUAL => Finding::Odd {
            message: format!("not more than {size} bytes come through"),
            hint: "transfers work with that; look for a tunnel or VPN with a small MTU".to_owned(),
        },
        Some(size) => Finding::Good(format!("up to {size} bytes come through")),
    }
}

fn clock(facts: &ServerFacts) -> Finding {
    let Some(ahead) = facts.clock_ahead_ms else {
        return Finding::NotChecked("the server does not say".to_owned());
    };
    let seconds = ahead.unsigned_abs() / 1000;
    let side = if ahead < 0 { "behind" } else { "ahead" };
    if ahead.unsigned_abs() <= CLOCK_MAX_MS {
        return Finding::Good("both sides agree".to_owned());
    }
    Finding::Odd {
        message: format!("the server's is {seconds} s {side} of the one here"),
        hint: "set both clocks by NTP; until then --overwrite older picks the wrong files"
            .to_owned(),
    }
}

fn server_disk(facts: &ServerFacts) -> Finding {
    match facts.space {
        Some((free, total)) => disk(free, total, "the server's owner has to free space"),
        None => Finding::NotChecked("the account may not list directories there".to_owned()),
    }
}

/// Looks at the current directory, where downloads to `.` go.
fn local_disk() -> Finding {
    match Docroot::open(Path::new(".")).and_then(|root| root.free_space()) {
        Ok((free, total)) => disk(free, total, "free space, or download to another disk"),
        Err(error) => Finding::NotChecked(format!("the current directory: {error}")),
    }
}

fn disk(free: u64, total: u64, hint: &str) -> Finding {
    let message = format!("{} of {} free", byte_count(free), byte_count(total));
    let hint = hint.to_owned();
    if free == 0 {
        let code = ErrorCode::NoSpace;
        return Finding::Bad {
            code,
            message,
            hint: Some(hint),
        };
    }
    if free < total / NEARLY_FULL {
        return Finding::Odd { message, hint };
    }
    Finding::Good(message)
}

/// The findings so far, shown in the order of the checks as soon as that is possible.
#[derive(Debug)]
struct Report {
    ui: Ui,
    findings: [Option<Finding>; Check::ALL.len()],
    shown: usize,
}

impl Report {
    fn new(ui: Ui) -> Self {
        Self {
            ui,
            findings: [const { None }; Check::ALL.len()],
            shown: 0,
        }
    }

    /// Notes a finding; what comes before it in the order has been looked at, or is not any more.
    fn add(&mut self, check: Check, finding: Finding) -> Result<(), CommandError> {
        self.findings[check as usize] = Some(finding);
        self.show_until(check as usize + 1)
    }

    /// Notes that nobody will look.
    fn leave(&mut self, check: Check, why: &str) {
        self.findings[check as usize] = Some(Finding::NotChecked(why.to_owned()));
    }

    fn show_until(&mut self, end: usize) -> Result<(), CommandError> {
        while self.shown < end {
            let check = Check::ALL[self.shown];
            let why = check.needs().map_or("", Check::name);
            let finding = self.findings[self.shown]
                .get_or_insert_with(|| Finding::NotChecked(format!("it needs: {why}")));
            self.shown += 1;
            if self.ui.is_json() {
                self.ui.print_json(&finding.line(check))?;
            } else {
                self.ui.print_data(finding.text(check).as_bytes())?;
            }
        }
        Ok(())
    }

    /// Fails with the first code when something failed.
    fn end(mut self) -> Result<(), CommandError> {
        self.show_until(Check::ALL.len())?;
        let mut codes = self.findings.iter().flatten().filter_map(Finding::code);
        match codes.next() {
            None => Ok(()),
            Some(code) => Err(CommandError::Unwell {
                code,
                failed: 1 + codes.count(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> ServerFacts {
        ServerFacts {
            software: "other/2".to_owned(),
            clock_ahead_ms: Some(0),
            space: None,
        }
    }

    #[test]
    fn clocks_may_differ_a_little() {
        let with = |ms| {
            clock(&ServerFacts {
                clock_ahead_ms: ms,
                ..facts()
            })
        };
        assert_eq!(with(Some(-30_000)).result(), "good");
        assert_eq!(with(Some(30_001)).result(), "odd");
        assert_eq!(with(Some(i64::MIN)).result(), "odd");
        assert_eq!(with(None).result(), "not_checked");
    }

    /// Code 25.
    #[test]
    fn a_disk_is_full_nearly_full_or_well() {
        assert_eq!(disk(0, 100, "h").code(), Some(ErrorCode::NoSpace));
        assert_eq!(disk(9, 1000, "h").result(), "odd");
        assert_eq!(disk(10, 1000, "h").result(), "good");
        assert_eq!(server_disk(&facts()).result(), "not_checked");
    }

    #[test]
    fn another_release_and_small_datagrams_are_odd() {
        assert_eq!(version(&facts()).result(), "odd");
        let path = |datagram| DataPath {
            address: ([127, 0, 0, 1], 1).into(),
            rtt: std::time::Duration::ZERO,
            datagram,
        };
        assert_eq!(path_mtu(&path(Some(1200))).result(), "odd");
        assert_eq!(path_mtu(&path(Some(1280))).result(), "good");
        assert_eq!(path_mtu(&path(None)).result(), "not_checked");
    }
}
