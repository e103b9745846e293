//! One client that came through somebody else's SSH server: what `connect-cli server session` runs.
//!
//! The machine's own permissions decide, as they do for `scp`, and `aspera.conf` as it does for a server's accounts.

use std::{
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::Arc,
};

use aspera_conf::{effective::Effective, resolve::Resolver};
use docroot::Docroot;
use fasp_core::{DatagramCipher, ErrorCode, Rate};
use fasp_net::{
    control::{
        Control,
        message::{List, Open},
    },
    port::Port,
    serve::{self, Access, Client, Context, Grant, Observer, Refusal},
};
use nix::unistd;
use tracing::error;

use crate::{
    Error,
    admit::Admit,
    conf::{ConfSource, Configuration, Document},
    hook::Hook,
    limits::SessionRegistry,
    policy::{ADMINISTRATOR, Defaults, Identity, Policy, Wish},
    server::CLOCK,
    sessions::SessionTable,
    users::{User, UserName},
};

/// The UDP ports tried first: firewalls that know the protocol let these through.
pub const USUAL_UDP_PORTS: RangeInclusive<u16> = 33001..=33100;

/// Whom to serve, and with which rules.
#[derive(Debug, Clone)]
pub struct ExternalSettings {
    /// The account that this process runs as.
    pub user: UserName,
    /// Where its relative paths begin when nobody names a docroot.
    pub home: PathBuf,
    /// Where the client comes from, if the SSH server says so.
    pub peer: Option<SocketAddr>,
    /// Where `aspera.conf` is; read once.
    pub conf: ConfSource,
    /// The UDP port for data; `None` takes what `aspera.conf` names or a port behind it, else one of
    /// [`USUAL_UDP_PORTS`], else any that is free.
    pub udp_port: Option<u16>,
    /// As for a server of our own, [`crate::ServerSettings::fixed_cap`].
    pub fixed_cap: Option<Rate>,
    /// As for a server of our own, [`crate::ServerSettings::prepost`].
    pub prepost: Option<PathBuf>,
    /// As for a server of our own, [`crate::ServerSettings::free_space_floor`].
    pub free_space_floor: Option<u64>,
}

/// What the account that runs this process may do.
#[derive(Debug)]
struct OwnAccount {
    user: User,
    home: PathBuf,
    peer: Option<SocketAddr>,
    /// Where it cannot be read, nothing begins.
    document: Result<Arc<Document>, Refusal>,
    port: Port,
    fixed_cap: Option<Rate>,
    admit: Admit,
}

/// Serves the client at the other end of `control` until it leaves.
///
/// What `aspera.conf` says holds as it does for a server of our own. Where nobody names a docroot, paths with a leading
/// `/` are the machine's, and all others start in the home directory. A virtual link counts the sessions of this client
/// only: there is one process for each. Must run on a tokio runtime.
///
/// # Errors
/// [`Error::Net`] when there is no port, or the client breaks the protocol; what is wrong with the program of
/// [`ExternalSettings::prepost`]. A client whose rules cannot be read is told so.
pub async fn serve_external(control: Control, settings: ExternalSettings) -> Result<(), Error> {
    let document = Configuration::load(settings.conf.clone()).map(|conf| conf.current());
    let document = document.map_err(|why| unusable(&why));
    let user = User::new(settings.user.clone(), None);
    let configured = configured_port(document.as_deref().ok(), &user, settings.peer);
    let port = data_port(settings.udp_port, configured)?;
    let table = SessionTable::default();
    let own = OwnAccount {
        user,
        home: settings.home,
        peer: settings.peer,
        document,
        port: port.clone(),
        fixed_cap: settings.fixed_cap,
        admit: Admit {
            sessions: SessionRegistry::default(),
            table: table.clone(),
            hook: settings.prepost.map(Hook::new).transpose()?,
            free_space_floor: settings.free_space_floor,
        },
    };
    let in_force = own.document.clone().unwrap_or_default();
    let context = Context::new(port, Arc::new(own));
    table.begin(context.sessions.clone(), in_force);
    let client = Client::external(settings.user.to_string());
    let mut serving = std::pin::pin!(serve::serve(context, client, control));
    let mut clock = tokio::time::interval(CLOCK);
    loop {
        tokio::select! {
            served = &mut serving => return Ok(served?),
            _ = clock.tick() => table.tick(),
        }
    }
}

/// Returns the name of the account that this process runs as. Where several have its number, it is `said`, which is what an
/// SSH server puts into `USER`, if that is one of them.
///
/// # Errors
/// [`Error::InvalidName`] for a name that no account of ours can have.
pub fn own_name(said: Option<&str>) -> Result<UserName, Error> {
    let id = unistd::geteuid();
    let is_ours = |name: &&str| {
        let account = unistd::User::from_name(name).ok().flatten();
        account.is_some_and(|account| account.uid == id)
    };
    if let Some(name) = said.filter(is_ours) {
        return name.parse();
    }
    let account = unistd::User::from_uid(id).ok().flatten();
    // One without a name has its number.
    account
        .map_or_else(|| id.to_string(), |account| account.name)
        .parse()
}

fn unusable(why: &Error) -> Refusal {
    error!(
        errcode = why.code().number(),
        "aspera.conf cannot be used: {why}"
    );
    let text = "the server's configuration cannot be read";
    Refusal::new(ErrorCode::BadConfiguration, text).hint(ADMINISTRATOR)
}

/// The UDP port that the file names for the account; one that cannot be resolved is refused when a session begins.
fn configured_port(
    document: Option<&Document>,
    user: &User,
    peer: Option<SocketAddr>,
) -> Option<u16> {
    let conf = document?.conf.as_ref()?;
    let identity = Identity::of(user);
    let groups: Vec<&str> = identity.groups.iter().map(String::as_str).collect();
    let peer = peer.map(|peer| peer.ip());
    let person = identity.person(user.name.as_str(), &groups, peer);
    let effective = Effective::of(&Resolver::new(conf, person)).ok()?;
    effective.udp_port.said().copied()
}

/// Other clients have processes and ports of their own, so what the file names is only the first that is tried.
fn data_port(wanted: Option<u16>, configured: Option<u16>) -> Result<Port, Error> {
    if let Some(port) = wanted {
        return bind(port);
    }
    if let Some(first) = configured {
        let room = USUAL_UDP_PORTS.end() - USUAL_UDP_PORTS.start();
        let ports = first..=first.saturating_add(room);
        let bound = ports.filter_map(|port| bind(port).ok()).next();
        return bound.map_or_else(|| bind(first), Ok);
    }
    USUAL_UDP_PORTS
        .clone()
        .find_map(|port| bind(port).ok())
        .map_or_else(|| bind(0), Ok)
}

/// Binds a port of all addresses; of IPv4 only where there is no IPv6.
fn bind(port: u16) -> Result<Port, Error> {
    let both = SocketAddr::from(([0u16; 8], port));
    let bound = Port::bind(both).or_else(|_| Port::bind(SocketAddr::from(([0, 0, 0, 0], port))));
    Ok(bound?)
}

impl OwnAccount {
    /// Returns where these paths begin when nobody names a docroot; they are all absolute or all relative.
    fn root<'a>(&self, mut paths: impl Iterator<Item = &'a Vec<u8>>) -> Result<PathBuf, Refusal> {
        let is_absolute = |path: &Vec<u8>| path.starts_with(b"/");
        let first = paths.next().is_some_and(is_absolute);
        if paths.any(|path| is_absolute(path) != first) {
            return Err(Refusal::new(
                ErrorCode::AmbiguousTarget,
                "some paths are absolute and some start in the home directory",
            )
            .hint("write all paths with a leading '/', or none"));
        }
        let root = if first { Path::new("/") } else { &self.home };
        Ok(root.to_owned())
    }

    /// Returns what was decided about a wish for these paths.
    fn decide<'a>(
        &self,
        wish: Wish,
        paths: impl Iterator<Item = &'a Vec<u8>>,
    ) -> Result<Policy, Refusal> {
        let document = self.document.as_ref().map_err(Refusal::clone)?;
        let root = self.root(paths);
        let defaults = Defaults {
            fixed_cap: self.fixed_cap,
            ciphers: vec![DatagramCipher::Aes128Gcm, DatagramCipher::Aes256Gcm],
            // As with `scp`, what the account may do decides.
            keeps_owners: true,
            // What stands for one that is ambiguous is never opened.
            root: Some(root.clone().unwrap_or_else(|_| self.home.clone())),
        };
        let peer = self.peer.map(|peer| peer.ip());
        let policy = Policy::of(document, &self.user, peer, wish, &defaults)?;
        if policy.root.is_default {
            root?;
        }
        Ok(policy)
    }
}

impl Access for OwnAccount {
    fn session(&self, _: &Client, open: &Open) -> Result<(Grant, Observer), Refusal> {
        let destination = open.sources.is_empty().then_some(&open.destination);
        let paths = || open.sources.iter().chain(destination);
        let policy = self.decide(Wish::of(open), paths())?;
        if Wish::removes_sources(open) {
            self.decide(Wish::Remove, paths())?;
        }
        let port = self.port.clone();
        self.admit
            .session(&self.user, self.peer, open, policy, port)
    }

    fn listing(&self, _: &Client, list: &List) -> Result<Docroot, Refusal> {
        let policy = self.decide(Wish::List, std::iter::once(&list.path))?;
        policy.root.open(&self.user)
    }
}
