//! What accounts may do, decided anew for every session and listing.

use std::{net::SocketAddr, sync::Arc};

use docroot::Docroot;
use fasp_core::{DatagramCipher, ErrorCode, Rate, RatePolicy};
use fasp_net::{
    control::message::{List, Open},
    engine::Report,
    event::EventDirection,
    serve::{Access, Client, Grant, Observer, Refusal},
};
use tracing::{error, info};
use transfer_spec::{Direction, FileRules};

use crate::{
    Error,
    limits::SessionRegistry,
    log::{SessionRecord, SessionStatus},
    users::{User, UserStore},
};

/// The rules of a server: its accounts, and what holds for all of them.
#[derive(Debug)]
pub(crate) struct AccountAccess {
    pub(crate) users: Arc<UserStore>,
    pub(crate) sessions: SessionRegistry,
    pub(crate) fixed_cap: Option<Rate>,
    pub(crate) ciphers: Vec<DatagramCipher>,
    /// Our end of the data path, for the log.
    pub(crate) local: SocketAddr,
}

/// What somebody wants to do, in the words of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Upload,
    Download,
    /// Remove or move what was downloaded.
    Remove,
    List,
}

impl Wish {
    fn may(self, user: &User) -> bool {
        match self {
            Self::Upload | Self::Remove => user.permissions.write,
            Self::Download => user.permissions.read,
            Self::List => user.permissions.list,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Download => "download",
            Self::Remove => "remove files after a transfer",
            Self::List => "list directories",
        }
    }
}

impl AccountAccess {
    /// Returns the account as it is now: it may have been changed or removed since the login.
    fn account(&self, client: &Client, wish: Wish) -> Result<User, Refusal> {
        let name = client.user.name.as_str();
        let users = self.users.current().map_err(|error| unusable(&error))?;
        let user = name.parse().ok().and_then(|name| users.find(&name));
        let Some(user) = user else {
            info!(user = name, "the account is gone");
            return Err(Refusal::new(
                ErrorCode::Authorization,
                "the account does not exist any more",
            ));
        };
        if !wish.may(user) {
            info!(user = name, wish = wish.words(), "not allowed");
            let refusal = Refusal::new(
                ErrorCode::Authorization,
                format!("the account may not {}", wish.words()),
            );
            return Err(refusal.hint("ask the server's administrator for the permission"));
        }
        Ok(user.clone())
    }

    fn root(user: &User) -> Result<Docroot, Refusal> {
        Docroot::open(user.docroot.path()).map_err(|error| {
            // Where the directory is and what is wrong with it is the administrator's business.
            error!(
                user = user.name.as_str(),
                errcode = error.code().number(),
                docroot = %user.docroot.path().display(),
                "the docroot cannot be opened: {error}"
            );
            Refusal::new(
                ErrorCode::BadConfiguration,
                "the account's directory is not available",
            )
            .hint("tell the server's administrator; the server's log has the reason")
        })
    }

    fn record(&self, client: &Client, user: &User, open: &Open, grant: &Grant) -> SessionRecord {
        let cap = match (open.policy, self.fixed_cap) {
            (RatePolicy::Fixed, Some(fixed)) => user.rate_cap().map_or(fixed, |cap| cap.min(fixed)),
            _ => user.rate_cap().unwrap_or(Rate::MAX),
        };
        let policy = match open.policy {
            RatePolicy::Fixed if self.fixed_cap.is_none() => RatePolicy::Fair,
            policy => policy,
        };
        let allowed = |cipher: &&DatagramCipher| grant.ciphers.contains(cipher);
        SessionRecord {
            transfer_id: open.transfer_id,
            direction: match open.direction {
                Direction::Upload => EventDirection::Receive,
                Direction::Download => EventDirection::Send,
            },
            user: user.name.clone(),
            local: self.local,
            peer: client.peer.unwrap_or_else(unknown_peer),
            target_rate: open.target_rate.map(|rate| rate.min(cap)),
            min_rate: open.min_rate.min(cap),
            policy,
            // Without a common cipher there is no session, and the record is never written.
            cipher: open
                .ciphers
                .iter()
                .find(allowed)
                .copied()
                .unwrap_or_default(),
        }
    }
}

impl Access for AccountAccess {
    fn session(&self, client: &Client, open: &Open) -> Result<(Grant, Observer), Refusal> {
        let wish = match open.direction {
            Direction::Upload => Wish::Upload,
            Direction::Download => Wish::Download,
        };
        let user = self.account(client, wish)?;
        let touches_sources = |files: &FileRules| !files.after.is_nothing();
        if wish == Wish::Download && open.files.as_deref().is_some_and(touches_sources) {
            self.account(client, Wish::Remove)?;
        }
        let place = self.sessions.open_session(&user.name, user.max_sessions);
        let place = place.map_err(|limit| {
            info!(user = user.name.as_str(), "no place for a session: {limit}");
            Refusal::new(ErrorCode::Authorization, limit.to_string())
                .hint("try again when other transfers have ended")
        })?;
        let grant = Grant {
            root: Self::root(&user)?,
            rate_cap: user.rate_cap(),
            fixed_cap: self.fixed_cap,
            ciphers: self.ciphers.clone(),
            place: Some(Arc::new(place)),
        };
        let record = self.record(client, &user, open, &grant);
        Ok((grant, observer(record)))
    }

    fn listing(&self, client: &Client, _: &List) -> Result<Docroot, Refusal> {
        Self::root(&self.account(client, Wish::List)?)
    }
}

/// Writes the session's log lines: the first when it reports for the first time, so that what was refused after all
/// leaves none.
fn observer(record: SessionRecord) -> Observer {
    let mut is_started = false;
    Box::new(move |report| {
        if !is_started {
            is_started = true;
            record.log_start();
        }
        if let Report::Finished(finish) = report {
            record.log_stop(match finish.error {
                Some((code, _)) if finish.outcome.files_failed == 0 => SessionStatus::Failed(code),
                _ => SessionStatus::Ended(&finish.outcome),
            });
        }
    })
}

fn unusable(error: &Error) -> Refusal {
    error!(
        errcode = error.code().number(),
        "accounts cannot be read: {error}"
    );
    Refusal::new(
        ErrorCode::BadConfiguration,
        "the server's accounts cannot be read",
    )
    .hint("tell the server's administrator; the server's log has the reason")
}

fn unknown_peer() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 0))
}
