//! How a session that may begin is let in: its place, its space, its watchers. Who may is decided before.

use std::{net::SocketAddr, sync::Arc};

use fasp_core::{DatagramCipher, ErrorCode};
use fasp_net::{
    control::message::Open,
    event::EventDirection,
    port::Port,
    serve::{Grant, Observer, Refusal},
};
use tracing::info;
use transfer_spec::Direction;

use crate::{
    hook::Hook,
    limits::SessionRegistry,
    log::SessionRecord,
    observer::{Space, Watched, observer},
    policy::{Policy, Wish},
    sessions::{Facts, SessionTable},
    users::User,
};

/// What sessions of one process share.
#[derive(Debug)]
pub(crate) struct Admit {
    pub(crate) sessions: SessionRegistry,
    pub(crate) table: SessionTable,
    /// Runs before and after sessions.
    pub(crate) hook: Option<Hook>,
    /// Uploads end where less than this is free, bytes.
    pub(crate) free_space_floor: Option<u64>,
}

impl Admit {
    /// Lets a session in that the policy allows; its data goes over `port`.
    ///
    /// # Errors
    /// What the client is told: there is no place or no space for it, or the program that is asked says no.
    pub(crate) fn session(
        &self,
        user: &User,
        peer: Option<SocketAddr>,
        open: &Open,
        policy: Policy,
        port: Port,
    ) -> Result<(Grant, Observer), Refusal> {
        policy.at_rest.check(open.protection)?;
        let place = self.sessions.open_session(&user.name, user.max_sessions);
        let place = place.map_err(|limit| {
            info!(user = user.name.as_str(), "no place for a session: {limit}");
            Refusal::new(ErrorCode::Authorization, limit.to_string())
                .hint("try again when other transfers have ended")
        })?;
        let mut watched = watched(user, peer, open, &policy, port.local_address());
        let root = policy.root.open(user)?;
        if let Some(floor) = self
            .free_space_floor
            .filter(|_| Wish::of(open) == Wish::Upload)
        {
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
}

/// What the log and administrators see of a session.
fn watched(
    user: &User,
    peer: Option<SocketAddr>,
    open: &Open,
    policy: &Policy,
    local: SocketAddr,
) -> Watched {
    let rates = policy.rates.grant(open.rate_wish());
    let peer = peer.unwrap_or_else(unknown_peer);
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

fn unknown_peer() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 0))
}
