//! What accounts may do, decided anew for every session and listing.

use std::{net::SocketAddr, sync::Arc};

use docroot::Docroot;
use fasp_core::{DatagramCipher, ErrorCode};
use fasp_net::{
    control::message::{List, Open},
    event::EventDirection,
    serve::{Access, Client, Grant, Observer, Refusal},
};
use tracing::{error, info};
use transfer_spec::{Direction, FileRules};

use crate::{
    Error,
    conf::Configuration,
    hook::Hook,
    limits::SessionRegistry,
    log::SessionRecord,
    observer::{Space, Watched, observer},
    policy::{Defaults, Policy, Wish},
    ports::Ports,
    sessions::{Facts, SessionTable},
    users::{User, UserStore},
};

/// The rules of a server: its accounts, its configuration, and what holds for all of them.
#[derive(Debug)]
pub(crate) struct AccountAccess {
    pub(crate) users: Arc<UserStore>,
    pub(crate) configuration: Arc<Configuration>,
    pub(crate) sessions: SessionRegistry,
    pub(crate) table: SessionTable,
    pub(crate) defaults: Defaults,
    pub(crate) ports: Ports,
    /// Runs before and after sessions.
    pub(crate) hook: Option<Hook>,
    /// Uploads end where less than this is free, bytes.
    pub(crate) free_space_floor: Option<u64>,
}

impl AccountAccess {
    /// Returns the account as it is now: it may have been changed or removed since the login.
    fn account(&self, client: &Client) -> Result<User, Refusal> {
        let name = client.user.name.as_str();
        let users = self.users.current().map_err(|error| unusable(&error))?;
        let user = name.parse().ok().and_then(|name| users.find(&name));
        user.cloned().ok_or_else(|| {
            info!(user = name, "the account is gone");
            Refusal::new(
                ErrorCode::Authorization,
                "the account does not exist any more",
            )
        })
    }

    /// Returns the account and what was decided about its wish.
    fn decide(&self, client: &Client, wish: Wish) -> Result<(User, Policy), Refusal> {
        let user = self.account(client)?;
        let document = self.configuration.current();
        let peer = client.peer.map(|peer| peer.ip());
        let policy = Policy::of(&document, &user, peer, wish, &self.defaults);
        match policy {
            Ok(policy) => Ok((user, policy)),
            Err(refusal) => {
                info!(
                    user = user.name.as_str(),
                    wish = wish.words(),
                    errcode = refusal.code.number(),
                    "refused: {}",
                    refusal.message
                );
                Err(refusal)
            }
        }
    }
}

impl Access for AccountAccess {
    fn session(&self, client: &Client, open: &Open) -> Result<(Grant, Observer), Refusal> {
        let wish = match open.direction {
            Direction::Upload => Wish::Upload,
            Direction::Download => Wish::Download,
        };
        let (user, policy) = self.decide(client, wish)?;
        if wish == Wish::Upload {
            policy.at_rest.check(open.protection)?;
        }
        let touches_sources = |files: &FileRules| !files.after.is_nothing();
        if wish == Wish::Download && open.files.as_deref().is_some_and(touches_sources) {
            self.decide(client, Wish::Remove)?;
        }
        let place = self.sessions.open_session(&user.name, user.max_sessions);
        let place = place.map_err(|limit| {
            info!(user = user.name.as_str(), "no place for a session: {limit}");
            Refusal::new(ErrorCode::Authorization, limit.to_string())
                .hint("try again when other transfers have ended")
        })?;
        let port = self.ports.of(policy.udp_port)?;
        let local = port.local_address();
        let mut watched = watched(client, &user, open, &policy, local);
        let root = policy.root.open(&user)?;
        if let Some(floor) = self.free_space_floor.filter(|_| wish == Wish::Upload) {
            let space = Space {
                root: root.clone(),
                floor,
            };
            space.check()?;
            watched.space = Some(space);
        }
        if let Some(hook) = &self.hook {
            hook.before(&watched.record)?;
            watched.hook = Some(hook.clone());
        }
        let grant = Grant {
            rates: policy.rates,
            files: policy.files,
            filter: policy.filter,
            data_timeout: policy.data_timeout,
            hello_timeout: policy.hello_timeout,
            datagram_max: policy.datagram_max,
            port: Some(port),
            place: Some(Arc::new(place)),
            ..Grant::new(root, policy.ciphers)
        };
        Ok((grant, observer(watched, self.table.clone())))
    }

    fn listing(&self, client: &Client, _: &List) -> Result<Docroot, Refusal> {
        let (user, policy) = self.decide(client, Wish::List)?;
        policy.root.open(&user)
    }
}

/// What the log and administrators see of a session.
fn watched(
    client: &Client,
    user: &User,
    open: &Open,
    policy: &Policy,
    local: SocketAddr,
) -> Watched {
    let rates = policy.rates.grant(open.rate_wish());
    let peer = client.peer.unwrap_or_else(unknown_peer);
    let allowed = |cipher: &&DatagramCipher| policy.ciphers.contains(cipher);
    Watched {
        record: SessionRecord {
            transfer_id: open.transfer_id,
            direction: match open.direction {
                Direction::Upload => EventDirection::Receive,
                Direction::Download => EventDirection::Send,
            },
            user: user.name.clone(),
            local,
            peer,
            target_rate: rates.target,
            min_rate: rates.min,
            policy: rates.policy,
            // Without a common cipher there is no session, and the record is never written.
            cipher: open
                .ciphers
                .iter()
                .find(allowed)
                .copied()
                .unwrap_or_default(),
        },
        facts: Facts {
            transfer: open.transfer_id,
            user: user.name.clone(),
            peer,
            direction: open.direction,
            trunk: policy.trunk,
        },
        rates,
        logs_files: policy.log_files,
        log_interval: policy.log_interval,
        manifest: policy.manifest.clone(),
        hook: None,
        space: None,
    }
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
