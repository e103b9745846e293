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
    ConfSource,
    log::LogFormat,
    operator_file,
    state::StateDir,
    users::{AuthorizedKey, Permissions, User, UserRoot, UserStore},
};

use super::log::state_home;
use crate::{
    args::{ServerStartArgs, StateArgs, UserAddArgs},
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
        prepost: args
            .prepost
            .as_deref()
            .map(|path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned())),
        free_space_floor: args.free_space_floor,
        state,
        fixed_policy_cap: args.fixed_policy_cap,
        log_format: if args.json_log {
            LogFormat::Json
        } else {
            LogFormat::Text
        },
        log_destination: if args.log_file {
            LogDestination::File
        } else {
            LogDestination::StandardError
        },
    })
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
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let root = UserRoot::new(&absolute)?;
    operator_file::require_directory(root.path())?;
    Ok(root)
}
