//! What accounts may do, decided anew for every session and listing.

use std::sync::Arc;

use docroot::Docroot;
use fasp_core::ErrorCode;
use fasp_net::{
    control::message::{List, Open},
    serve::{Access, Client, Grant, Observer, Refusal},
};
use tracing::{error, info};

use crate::{
    Error,
    admit::Admit,
    conf::Configuration,
    policy::{Defaults, Policy, Wish},
    ports::Ports,
    users::{User, UserStore},
};

/// The rules of a server: its accounts, its configuration, and what holds for all of them.
#[derive(Debug)]
pub(crate) struct AccountAccess {
    pub(crate) users: Arc<UserStore>,
    pub(crate) configuration: Arc<Configuration>,
    pub(crate) defaults: Defaults,
    pub(crate) ports: Ports,
    pub(crate) admit: Admit,
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
        let policy = Policy::of(&document, &user, peer, wish, &self.defaults)?;
        Ok((user, policy))
    }
}

impl Access for AccountAccess {
    fn session(&self, client: &Client, open: &Open) -> Result<(Grant, Observer), Refusal> {
        let (user, policy) = self.decide(client, Wish::of(open))?;
        if Wish::removes_sources(open) {
            self.decide(client, Wish::Remove)?;
        }
        let port = self.ports.of(policy.udp_port)?;
        self.admit.session(&user, client.peer, open, policy, port)
    }

    fn listing(&self, client: &Client, _: &List) -> Result<Docroot, Refusal> {
        let (user, policy) = self.decide(client, Wish::List)?;
        policy.root.open(&user)
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
