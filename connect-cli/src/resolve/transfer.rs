//! What `upload`, `download` and `ls` need.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
    time::Duration,
};

use fasp_core::{DatagramCipher, RatePolicy};
use fasp_net::{
    event::ShownText,
    request::{DATAGRAM_MAX, DATAGRAM_MIN, TransferOptions},
    retry::RetryPolicy,
    transfer::LocalDestination,
};
use transfer_spec::{
    Direction, Faux, FauxSource, Host, Location, ParseLocationError, Preserve, RemoteLocation,
};

use super::client_conf;
use super::growing::{Growing, growing};
use super::protection::{self, Protection};
use super::rules::{self, ListFile};
use crate::{
    args::{
        ConnectionArgs, DoctorArgs, DownloadArgs, KeepXattrs, ListArgs, PreserveArgs, RuleArgs,
        TransferArgs, UploadArgs,
    },
    error::CommandError,
};

/// The TCP port of a server's own control endpoint.
const DEFAULT_PORT: u16 = 33001;

/// A transfer, decided in every detail that the client decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferRequest {
    /// Whom to ask.
    pub server: Server,
    /// How to reach it.
    pub carrier: Carrier,
    /// Which files go where.
    pub work: Work,
    /// The file with the sources, if they are not named.
    pub list: Option<ListFile>,
    /// What is fetched goes to standard output instead.
    pub to_standard_output: bool,
    /// The directory for the manifest, if one is written.
    pub manifest: Option<PathBuf>,
    /// When it is tried again.
    pub retry: Retry,
    /// What happens to the content of files.
    pub protection: Protection,
    /// The policies.
    pub options: TransferOptions,
}

/// When a transfer that failed is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// How often, and after how long.
    pub policy: RetryPolicy,
    /// Also when it never began, which more often has a cause that does not pass by itself.
    pub from_the_start: bool,
}

impl Retry {
    fn of(args: &TransferArgs) -> Self {
        let usual = RetryPolicy::default();
        Self {
            policy: RetryPolicy {
                count: args.retry.unwrap_or(usual.count),
                interval: Duration::from_secs(args.retry_interval.into()),
            },
            from_the_start: args.retry.is_some(),
        }
    }
}

/// A directory to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Whom to ask.
    pub server: Server,
    /// How to reach it.
    pub carrier: Carrier,
    /// The directory, as the server names it; empty for the start directory.
    pub path: Vec<u8>,
    /// Whether more than names is wanted.
    pub long: bool,
}

/// An account on a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The account; `None` leaves it to the ssh program.
    pub user: Option<String>,
    /// The machine.
    pub host: Host,
    /// The TCP port; `None` leaves it to the ssh program.
    pub port: Option<u16>,
}

/// How the control connection gets to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carrier {
    /// Our own SSH client to the server's own endpoint.
    BuiltIn {
        /// Private keys to offer; none named means the usual ones.
        identities: Vec<PathBuf>,
        /// The file with known host keys; `None` for the usual one.
        known_hosts: Option<PathBuf>,
        /// What happens with a key that is not in it.
        new_host_keys: NewHostKeys,
    },
    /// The ssh program of this machine, which starts `connect-cli` on the other one.
    SystemSsh {
        /// Its further arguments.
        arguments: Vec<OsString>,
    },
}

/// What happens with the key of a server never seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewHostKeys {
    /// A person is asked; without one the connection is refused.
    Ask,
    /// It is trusted and remembered.
    Accept,
}

/// Which files go where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// From here to the server.
    Upload {
        /// Files and directories here, or made up here.
        sources: Vec<LocalSource>,
        /// The path there.
        destination: Vec<u8>,
    },
    /// From the server to here.
    Download {
        /// Files and directories there.
        sources: Vec<Vec<u8>>,
        /// The path here, or nowhere.
        destination: LocalDestination,
    },
}

/// Something to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalSource {
    /// A file or directory.
    Path(PathBuf),
    /// Synthetic files.
    Faux(FauxSource),
    /// Standard input; of so many bytes, where that is known.
    StandardInput(Option<u64>),
    /// A file that is still being written.
    Growing(Growing),
}

fn local_source(source: &OsStr) -> Result<LocalSource, CommandError> {
    if let Some(size) = rules::standard_input(source)? {
        return Ok(LocalSource::StandardInput(size));
    }
    if let Some(growing) = growing(source)? {
        return Ok(LocalSource::Growing(growing));
    }
    match parse(source)? {
        Location::Local(path) => Ok(LocalSource::Path(path)),
        Location::Faux(Faux::Source(source)) => Ok(LocalSource::Faux(source)),
        Location::Faux(Faux::Sink) => Err(CommandError::arguments(
            "faux:// alone is a destination and holds no files",
            "name synthetic files as faux:///NAME?SIZE, such as faux:///test?10g",
        )),
        Location::Remote(_) => Err(CommandError::arguments(
            format!("the source '{}' is on another machine", shown(source)),
            format!(
                "for a local file with a colon in its name, write ./{}",
                shown(source)
            ),
        )),
    }
}

/// Resolves `upload`.
///
/// # Errors
///
/// When locations or options do not fit together.
pub fn upload(
    args: UploadArgs,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<TransferRequest, CommandError> {
    let list = rules::list_file(&args.rules);
    let (destination, sources) = split_last(&args.paths, list.is_none())?;
    rules::no_sources_beside(list.as_ref(), sources)?;
    let Location::Remote(remote) = parse(destination)? else {
        return Err(CommandError::arguments(
            format!(
                "the destination '{}' is on this machine",
                shown(destination)
            ),
            "name it as [USER@]HOST:PATH; to fetch files, use connect-cli download",
        ));
    };
    rules::one_reader(list.as_ref(), sources)?;
    let sources = sources
        .iter()
        .map(|source| local_source(source))
        .collect::<Result<Vec<_>, _>>()?;
    let mut options = options(&args.transfer, &args.rules)?;
    client_conf::apply(&mut options, &args.transfer, Direction::Upload, &variable)?;
    let protection = protection::upload(&args.protection, &sources, &remote.host, &variable)?;
    let (server, carrier, destination) = connection(remote, args.connection, variable)?;
    Ok(TransferRequest {
        server,
        carrier,
        work: Work::Upload {
            sources,
            destination,
        },
        list,
        to_standard_output: false,
        manifest: args.rules.file_manifest.clone(),
        retry: Retry::of(&args.transfer),
        protection,
        options,
    })
}

/// Resolves `download`.
///
/// # Errors
///
/// When locations or options do not fit together.
pub fn download(
    args: DownloadArgs,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<TransferRequest, CommandError> {
    let list = rules::list_file(&args.rules);
    let (destination, sources) = split_last(&args.paths, true)?;
    rules::one_source_above(list.as_ref(), sources)?;
    let to_standard_output = rules::is_standard(destination);
    let destination = match parse(destination) {
        _ if to_standard_output => LocalDestination::Sink,
        Err(error) => return Err(error),
        Ok(location) => match location {
            Location::Local(path) => LocalDestination::Path(path),
            Location::Faux(Faux::Sink) => LocalDestination::Sink,
            Location::Faux(Faux::Source(_)) => {
                return Err(CommandError::arguments(
                    format!("the destination '{}' is a source", shown(destination)),
                    "to throw away what arrives, write faux://",
                ));
            }
            Location::Remote(_) => {
                return Err(CommandError::arguments(
                    format!(
                        "the destination '{}' is on another machine",
                        shown(destination)
                    ),
                    "name a path here; to send files, use connect-cli upload",
                ));
            }
        },
    };
    if to_standard_output && (sources.len() > 1 || list.is_some()) {
        return Err(CommandError::arguments(
            "only one file can be written to standard output",
            "name one source",
        ));
    }
    let mut remotes = sources.iter().map(|source| remote(source));
    let first = remotes.next().unwrap_or_else(|| Err(too_few_paths()))?;
    let mut paths = vec![first.path.clone()];
    for next in remotes {
        let next = next?;
        if (&next.user, &next.host, next.port) != (&first.user, &first.host, first.port) {
            return Err(CommandError::arguments(
                "the sources are on different servers or accounts",
                "download from one server at a time",
            ));
        }
        paths.push(next.path);
    }
    let mut options = options(&args.transfer, &args.rules)?;
    client_conf::apply(&mut options, &args.transfer, Direction::Download, &variable)?;
    let protection = protection::download(args.decryption, &paths, list.as_ref(), &variable);
    let (server, carrier, _) = connection(first, args.connection, variable)?;
    Ok(TransferRequest {
        server,
        carrier,
        work: Work::Download {
            sources: paths,
            destination,
        },
        list,
        to_standard_output,
        manifest: args.rules.file_manifest.clone(),
        retry: Retry::of(&args.transfer),
        protection,
        options,
    })
}

/// Resolves `ls`.
///
/// # Errors
///
/// When the location is not on another machine.
pub fn ls(
    args: ListArgs,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Listing, CommandError> {
    let location = remote(&args.location)?;
    let (server, carrier, path) = connection(location, args.connection, variable)?;
    Ok(Listing {
        server,
        carrier,
        path,
        long: args.long,
    })
}

/// Resolves `doctor`, which takes a host alone as well.
///
/// # Errors
///
/// When the location is not on another machine.
pub fn doctor(
    args: DoctorArgs,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Listing, CommandError> {
    let location = remote(&with_path(args.host))?;
    let (server, carrier, path) = connection(location, args.connection, variable)?;
    Ok(Listing {
        server,
        carrier,
        path,
        long: false,
    })
}

/// Adds the colon that a location without a path lacks: behind `HOST`, `[ADDRESS]` and `HOST:PORT`.
pub(super) fn with_path(mut host: OsString) -> OsString {
    let bytes = host.as_encoded_bytes();
    // Colons in brackets belong to an address.
    let outside = bytes
        .rsplit(|byte| *byte == b']')
        .next()
        .unwrap_or_default();
    let lacks_colon = match outside.iter().position(|byte| *byte == b':') {
        None => true,
        Some(colon) => {
            let port = &outside[colon + 1..];
            !port.is_empty() && port.iter().all(u8::is_ascii_digit)
        }
    };
    if lacks_colon {
        host.push(":");
    }
    host
}

/// Returns the file with the keys of known servers: beside the user's other settings.
///
/// # Errors
///
/// When the environment has no home directory.
pub fn known_hosts_path(
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<PathBuf, CommandError> {
    config_directory(variable)
        .map(|directory| directory.join("known_hosts"))
        .ok_or_else(|| {
            CommandError::arguments(
                "there is no home directory for the keys of known servers",
                "name a file with --known-hosts FILE",
            )
        })
}

/// Where the user's settings are; nothing where the environment has no home directory.
pub(super) fn config_directory(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_CONFIG_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".config")))
        .map(|base| base.join("connect"))
}

fn split_last(
    paths: &[OsString],
    needs_source: bool,
) -> Result<(&OsString, &[OsString]), CommandError> {
    match paths.split_last() {
        Some((last, rest)) if !rest.is_empty() || !needs_source => Ok((last, rest)),
        _ => Err(too_few_paths()),
    }
}

fn too_few_paths() -> CommandError {
    CommandError::arguments(
        "a source and a destination are needed",
        "connect-cli upload FILE USER@HOST:PATH",
    )
}

pub(super) fn remote(text: &OsStr) -> Result<RemoteLocation, CommandError> {
    match parse(text)? {
        Location::Remote(remote) => Ok(remote),
        Location::Local(_) | Location::Faux(_) => Err(CommandError::arguments(
            format!("'{}' is on this machine", shown(text)),
            "name it as [USER@]HOST:PATH",
        )),
    }
}

fn parse(text: &OsStr) -> Result<Location, CommandError> {
    Location::parse(text).map_err(|error: ParseLocationError| {
        CommandError::arguments(
            ShownText::from_message(&error.to_string()).to_string(),
            "name a path here as PATH, one on a server as [USER@]HOST[:PORT]:PATH",
        )
    })
}

pub(super) fn connection(
    remote: RemoteLocation,
    args: ConnectionArgs,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<(Server, Carrier, Vec<u8>), CommandError> {
    let port = one_port(remote.port, args.port)?;
    if args.ssh || !args.ssh_arg.is_empty() {
        return ssh_connection(remote, args, port);
    }
    let user = match remote.user {
        Some(user) => user,
        None => variable("USER")
            .and_then(|user| user.into_string().ok())
            .filter(|user| !user.is_empty())
            .ok_or_else(|| {
                CommandError::arguments("no user is named", "name one as USER@HOST:PATH")
            })?,
    };
    let server = Server {
        user: Some(user),
        host: remote.host,
        port: Some(port.unwrap_or(DEFAULT_PORT)),
    };
    let carrier = Carrier::BuiltIn {
        identities: args.identity,
        known_hosts: args.known_hosts,
        new_host_keys: if args.accept_new_host_key {
            NewHostKeys::Accept
        } else {
            NewHostKeys::Ask
        },
    };
    Ok((server, carrier, remote.path))
}

fn ssh_connection(
    remote: RemoteLocation,
    args: ConnectionArgs,
    port: Option<u16>,
) -> Result<(Server, Carrier, Vec<u8>), CommandError> {
    if args.accept_new_host_key || args.known_hosts.is_some() {
        return Err(CommandError::arguments(
            "with --ssh the ssh program checks the server's key",
            "use --ssh-arg=-oStrictHostKeyChecking=accept-new or --ssh-arg=-oUserKnownHostsFile=FILE",
        ));
    }
    let mut arguments = args.ssh_arg;
    for identity in args.identity {
        arguments.extend([OsString::from("-i"), identity.into_os_string()]);
    }
    let server = Server {
        user: remote.user,
        host: remote.host,
        port,
    };
    Ok((server, Carrier::SystemSsh { arguments }, remote.path))
}

fn one_port(in_location: Option<u16>, in_option: Option<u16>) -> Result<Option<u16>, CommandError> {
    match (in_location, in_option) {
        (Some(a), Some(b)) if a != b => Err(CommandError::arguments(
            format!("two ports are named: {a} in the location and {b} with --port"),
            "name one of them",
        )),
        (a, b) => Ok(a.or(b)),
    }
}

fn options(args: &TransferArgs, rules: &RuleArgs) -> Result<TransferOptions, CommandError> {
    check_rates(args)?;
    let datagram_max = match args.datagram_size {
        0 => None,
        size @ DATAGRAM_MIN..=DATAGRAM_MAX => Some(size),
        size => {
            return Err(CommandError::arguments(
                format!("a datagram of {size} bytes is not possible"),
                format!("use {DATAGRAM_MIN} to {DATAGRAM_MAX}, or 0 to let the path decide"),
            ));
        }
    };
    Ok(TransferOptions {
        overwrite: args.overwrite,
        resume: args.resume,
        symlinks: args.symbolic_links,
        preserve: preserve(args),
        create_dir: args.create_dir,
        files: rules::file_rules(rules)?,
        target_rate: args.target_rate,
        min_rate: args.min_rate,
        policy: args.policy,
        ciphers: args.cipher.map_or_else(
            || vec![DatagramCipher::Aes128Gcm, DatagramCipher::Aes256Gcm],
            |cipher| vec![cipher],
        ),
        datagram_max,
        sessions: args.sessions,
        split_threshold: args.split_threshold,
        ..TransferOptions::default()
    })
}

fn preserve(args: &TransferArgs) -> Preserve {
    let PreserveArgs {
        preserve_access_time,
        preserve_file_owner_uid,
        preserve_file_owner_gid,
        preserve_xattrs,
    } = args.keep;
    Preserve {
        mode: args.preserve,
        access_time: args.preserve || preserve_access_time,
        owner: preserve_file_owner_uid,
        group: preserve_file_owner_gid,
        xattrs: preserve_xattrs == KeepXattrs::Native,
        ..Preserve::default()
    }
}

fn check_rates(args: &TransferArgs) -> Result<(), CommandError> {
    match args.target_rate {
        Some(target) if args.min_rate > target => Err(CommandError::arguments(
            format!(
                "the minimum rate {} is above the target rate {target}",
                args.min_rate
            ),
            "lower --min-rate or raise --target-rate",
        )),
        None if args.policy == Some(RatePolicy::Fixed) => Err(CommandError::arguments(
            "policy 'fixed' needs a target rate: it sends at that rate whatever happens",
            "add --target-rate, such as -l 100m, or use --policy high",
        )),
        _ => Ok(()),
    }
}

pub(super) fn shown(text: &OsStr) -> ShownText {
    ShownText::from_bytes(text.as_encoded_bytes())
}
