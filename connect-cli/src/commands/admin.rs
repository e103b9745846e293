//! `server status`, `server sessions`, `server reload` and `server drain`.

use std::env;

use fasp_core::Rate;
use fasp_server::{
    admin::{AdminAnswer, AdminClient, AdminRequest, ServerStatus, SessionSteering},
    state::StateDir,
};

use crate::{
    args::{ServerStatusArgs, SessionRateArgs, SessionsCommand, StateArgs},
    error::CommandError,
    resolve,
    ui::{Ui, table},
};

pub(super) fn status(ui: &Ui, args: &ServerStatusArgs) -> Result<(), CommandError> {
    let AdminAnswer::Status(status) = ask(&args.state, &AdminRequest::Status)? else {
        return Ok(());
    };
    if ui.is_json() {
        return ui.print_json(&*status);
    }
    ui.print_data(text(&status).as_bytes())
}

pub(super) fn sessions(ui: &Ui, command: SessionsCommand) -> Result<(), CommandError> {
    match command {
        SessionsCommand::Stop(args) => {
            let answer = ask(&args.state, &AdminRequest::Stop { id: args.id })?;
            done(ui, &answer, "ended");
        }
        SessionsCommand::Rate(args) => {
            let answer = ask(&args.state, &rate_request(&args))?;
            done(ui, &answer, "changed");
        }
    }
    Ok(())
}

pub(super) fn reload(ui: &Ui, state: &StateArgs) -> Result<(), CommandError> {
    ask(state, &AdminRequest::Reload)?;
    ui.note("the configuration is read again; sessions that run keep what they were granted");
    Ok(())
}

pub(super) fn drain(ui: &Ui, state: &StateArgs) -> Result<(), CommandError> {
    let answer = ask(state, &AdminRequest::Drain)?;
    if let AdminAnswer::Done { sessions } = answer {
        ui.note(&format!(
            "nobody is let in any more; the server ends when {sessions} {} done",
            if sessions == 1 {
                "session is"
            } else {
                "sessions are"
            }
        ));
    }
    Ok(())
}

fn rate_request(args: &SessionRateArgs) -> AdminRequest {
    AdminRequest::Rate {
        id: args.id.clone(),
        steering: SessionSteering {
            target_rate_kbps: args.target_rate.map(|rate| rate.kbps().max(1)),
            min_rate_kbps: args.min_rate.map(Rate::kbps),
            policy: args.policy.map(|policy| policy.name().to_owned()),
        },
    }
}

fn ask(state: &StateArgs, request: &AdminRequest) -> Result<AdminAnswer, CommandError> {
    let state = StateDir::open(&resolve::state_path(state, |name| env::var_os(name))?)?;
    Ok(AdminClient::new(&state).ask(request)?)
}

fn done(ui: &Ui, answer: &AdminAnswer, what: &str) {
    if let AdminAnswer::Done { sessions } = answer {
        let noun = if *sessions == 1 {
            "session"
        } else {
            "sessions"
        };
        ui.note(&format!("{what} {sessions} {noun}"));
    }
}

fn text(status: &ServerStatus) -> String {
    let mut text = format!(
        "server     {}, UDP port {}, process {}, version {}, up {}{}\n",
        status.listen,
        status.udp_port,
        status.pid,
        status.version,
        duration(status.uptime_s),
        if status.is_draining { ", draining" } else { "" }
    );
    let conf = status.conf.as_deref().unwrap_or("none");
    text += &format!("conf       {conf}\n");
    text += &format!(
        "sessions   {}, together {}\n",
        status.sessions.len(),
        shown(status.rate_kbps)
    );
    if !status.sessions.is_empty() {
        let head = [
            "SESSION", "USER", "FROM", "WAY", "POLICY", "RATE", "LIMIT", "MOVED", "FOR", "VLINK",
        ];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(status.sessions.iter().map(|session| {
            [
                session.id.clone(),
                session.user.clone(),
                session.peer.clone(),
                session.direction.clone(),
                session.policy.clone(),
                shown(session.rate_kbps),
                session.limit_kbps.map_or_else(|| "-".to_owned(), shown),
                format!("{:.1} MB", session.bytes as f64 / 1e6),
                duration(session.elapsed_s),
                session
                    .vlink
                    .map_or_else(|| "-".to_owned(), |id| id.to_string()),
            ]
        }));
        text += "\n";
        text += &table(&rows);
    }
    if !status.users.is_empty() {
        let mut rows = vec![["USER", "SESSIONS", "RATE"].map(str::to_owned)];
        rows.extend(status.users.iter().map(|user| {
            let count = user.sessions.to_string();
            [user.name.clone(), count, shown(user.rate_kbps)]
        }));
        text += "\n";
        text += &table(&rows);
    }
    if !status.vlinks.is_empty() {
        let mut rows =
            vec![["VLINK", "NAME", "WAY", "CAPACITY", "USED", "SESSIONS"].map(str::to_owned)];
        rows.extend(status.vlinks.iter().map(|link| {
            [
                link.id.to_string(),
                fasp_net::event::ShownText::from(link.name.as_str()).to_string(),
                link.direction.clone().unwrap_or_else(|| "both".to_owned()),
                shown(link.capacity_kbps),
                shown(link.used_kbps),
                link.sessions.to_string(),
            ]
        }));
        text += "\n";
        text += &table(&rows);
    }
    text
}

fn shown(kbps: u64) -> String {
    Rate::from_kbps(kbps).to_string()
}

fn duration(seconds: u64) -> String {
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match hours {
        0 => format!("{minutes}:{:02}", seconds % 60),
        _ => format!("{hours}:{minutes:02}:{:02}", seconds % 60),
    }
}
