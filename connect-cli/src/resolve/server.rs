//! What the commands below `server` need.

use std::{
    env,
    ffi::OsString,
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::Arc,
};

use aspera_conf::store::SERVER_FILE;
use fasp_core::Rate;
use fasp_server::{
    ConfSource, ExternalSettings,
    log::LogFormat,
    operator_file, own_name,
    state::StateDir,
    users::{AuthorizedKey, Permissions, User, UserRoot, UserStore},
};

use super::log::state_home;
use crate::{
    args::{ServerSessionArgs, ServerStartArgs, StateArgs, UserAddArgs},
    error::CommandError,
};

/// The largest file with public keys, bytes.
const KEY_FILE_MAX: u64 = 1 << 20;

/// An account to add.
#[derive(Debug)]
pub struct NewUser {
    /// The account, without its password.
    pub user: User,
    /// Whether a password is to be read from standard input.
    pub reads_password: bool,
}

/// What a server needs to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// Where to listen, TCP and UDP.
    pub listen: SocketAddr,
    /// The state directory.
    pub state: PathBuf,
    /// The highest rate of a session with policy `fixed`.
    pub fixed_policy_cap: Option<Rate>,
    /// Clients may say to whom files belong.
    pub keep_owners: bool,
    /// Where `aspera.conf` is.
    pub conf: ConfSource,
    /// The UDP ports tried for data.
    pub udp_ports: Option<RangeInclusive<u16>>,
    /// A program that runs before and after sessions.
    pub prepost: Option<PathBuf>,
    /// What has to stay free for uploads, bytes.
    pub free_space_floor: Option<u64>,
    /// How log records are written.
    pub log_format: LogFormat,
    /// Where they go.
    pub log_destination: LogDestination,
}

/// What serving one client over standard input and output needs.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// Whom to serve, and with which rules.
    pub external: ExternalSettings,
    /// The state directory of the log and how it is written, if there is to be one.
    pub log: Option<(PathBuf, LogFormat)>,
}

/// Where a server's log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogDestination {
    /// Standard error, for a service manager to collect.
    StandardError,
    /// The file in the state directory.
    File,
}

/// Returns the account that `server user add` describes. Reads key files, and looks whether the docroot exists.
///
/// # Errors
///
/// When nothing could open the account, or a part of it is not valid.
pub fn new_user(args: &UserAddArgs) -> Result<NewUser, CommandError> {
    let name = args.name.parse()?;
    if args.authorized_keys.is_empty() && !args.password_stdin {
        return Err(CommandError::arguments(
            "nothing would open this account",
            "add --authorized-key FILE or --password-stdin",
        ));
    }
    let root = args.docroot.as_deref().map(docroot).transpose()?;
    let mut user = User::new(name, root);
    user.groups.clone_from(&args.groups);
    for file in &args.authorized_keys {
        let text = operator_file::read(file, KEY_FILE_MAX)?;
        user.authorized_keys
            .extend(AuthorizedKey::parse_file(&text)?);
    }
    user.permissions = Permissions {
        read: !args.write_only,
        write: !args.read_only,
        list: !args.no_list,
    };
    user.rate_cap_kbps = args.rate_cap.map(|rate| rate.kbps().max(1));
    user.max_sessions = args.max_sessions;
    Ok(NewUser {
        user,
        reads_password: args.password_stdin,
    })
}

/// Opens the accounts of a state directory.
///
/// # Errors
///
/// When the directory cannot be opened or is not private.
pub fn user_store(args: &StateArgs) -> Result<UserStore, CommandError> {
    let state = StateDir::open(&state_path(args, |name| env::var_os(name))?)?;
    Ok(UserStore::new(Arc::new(state)))
}

/// Returns what `server start` needs.
///
/// # Errors
///
/// When there is no state directory to use.
pub fn server_settings(
    args: &ServerStartArgs,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<ServerSettings, CommandError> {
    let state = state_path(&args.state, variable)?;
    Ok(ServerSettings {
        listen: args.listen,
        conf: conf_source(args.conf.as_deref(), &state),
        udp_ports: args.udp_ports.clone(),
        prepost: args.prepost.as_deref().map(absolute),
        free_space_floor: args.free_space_floor,
        state,
        fixed_policy_cap: args.fixed_policy_cap,
        keep_owners: args.keep_owners,
        log_format: log_format(args.json_log),
        log_destination: if args.log_file {
            LogDestination::File
        } else {
            LogDestination::StandardError
        },
    })
}

/// Returns what `server session` needs.
///
/// # Errors
///
/// When the account has a name that cannot be one, or its log nowhere to be.
pub fn session_settings(
    args: &ServerSessionArgs,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<SessionSettings, CommandError> {
    let text = |name: &str| variable(name).and_then(|value| value.into_string().ok());
    let state = state_path(&args.state, &variable);
    let home = variable("HOME").map(PathBuf::from);
    let home = home.filter(|home| home.is_absolute());
    Ok(SessionSettings {
        external: ExternalSettings {
            user: own_name(text("USER").as_deref())?,
            home: home.unwrap_or_else(|| PathBuf::from("/")),
            peer: text("SSH_CONNECTION").as_deref().and_then(ssh_peer),
            conf: match &args.conf {
                Some(file) => ConfSource::File(file.clone()),
                None => session_conf(state.as_deref().ok()),
            },
            udp_port: (args.udp_port != 0).then_some(args.udp_port),
            fixed_cap: args.fixed_policy_cap,
            prepost: args.prepost.as_deref().map(absolute),
            free_space_floor: args.free_space_floor,
        },
        log: match args.log_file {
            true => Some((state?, log_format(args.json_log))),
            false => None,
        },
    })
}

/// What an SSH server says about the connection: the client's address and port, then its own.
fn ssh_peer(text: &str) -> Option<SocketAddr> {
    let mut words = text.split_ascii_whitespace();
    let address = words.next()?.parse().ok()?;
    Some(SocketAddr::new(address, words.next()?.parse().ok()?))
}

/// For everybody but root what the machine's administrator wrote comes first: the account's own file is what the account
/// likes it to be.
fn session_conf(state: Option<&Path>) -> ConfSource {
    let own = state.map(|state| state.join("aspera.conf"));
    let mut places: Vec<_> = own
        .into_iter()
        .chain([PathBuf::from(SERVER_FILE)])
        .collect();
    if !operator_file::is_root() {
        places.reverse();
    }
    ConfSource::FirstOf(places)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn log_format(is_json: bool) -> LogFormat {
    match is_json {
        true => LogFormat::Json,
        false => LogFormat::Text,
    }
}

/// Returns where a server's configuration may lie. What Aspera's own server obeys counts for a server of the whole
/// machine only.
fn conf_source(named: Option<&Path>, state: &Path) -> ConfSource {
    match named {
        Some(file) => ConfSource::File(file.to_owned()),
        None => {
            let mut places = vec![state.join("aspera.conf")];
            if operator_file::is_root() {
                places.push(PathBuf::from(SERVER_FILE));
            }
            ConfSource::FirstOf(places)
        }
    }
}

/// Returns the state directory: the one named, or the place where such files usually are.
///
/// # Errors
///
/// When none is named and the environment has no home directory.
pub fn state_path(
    args: &StateArgs,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<PathBuf, CommandError> {
    if let Some(directory) = &args.directory {
        return Ok(directory.clone());
    }
    if operator_file::is_root() {
        return Ok(PathBuf::from("/var/lib/connect-server"));
    }
    state_home(variable)
        .map(|base| base.join("connect-server"))
        .ok_or_else(|| {
            CommandError::arguments(
                "there is no home directory for the server's files",
                "name a directory with --state DIR",
            )
        })
}

fn docroot(path: &Path) -> Result<UserRoot, CommandError> {
    let root = UserRoot::new(&absolute(path))?;
    operator_file::require_directory(root.path())?;
    Ok(root)
}
