//! Agreeing with the server on a session (protocol §2.3, §3).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fasp_core::{
    AddressToken, KeyMaterial, PathMemory, Rate, RateLimits, Role, SessionConfig, SessionId, Side,
    TransferId,
};
use transfer_spec::{AfterTransfer, Direction, FileChecksum, FileRules, Filter};
use zeroize::Zeroizing;

use super::multi::{Shared, Wanted};
use super::{Job, LocalDestination, OPEN_TIMEOUT};
use crate::Error;
use crate::control::message::{Accept, BindingKind, Hello, Open, VERSION};
use crate::control::resume::dial::{Dialled, Keeper, Presented};
use crate::control::ssh::client::Connection;
use crate::control::{Control, ControlReceiver, Message, message, source_pages};
use crate::engine::{
    self, Assembly, Destination, FirstPage, Handle, Listed, Lister, Pool, PoolOwner, Protection,
    ReceiverOptions, Rules, SenderOptions, Spawn, Split, Work,
};
use crate::event::{EventDirection, Started};
use crate::port::Port;
use crate::request::TransferOptions;
use crate::serve::Creation;

/// A session that runs.
pub(super) struct Agreed {
    pub(super) session: SessionId,
    pub(super) handle: Handle,
    pub(super) port: Port,
    pub(super) started: Started,
    pub(super) control: Control,
    /// Keeps the ticket that comes.
    pub(super) keeper: Option<Keeper>,
    pub(super) rates: Wanted,
    /// What the server grants less of than was asked for.
    pub(super) notices: Vec<String>,
    /// For further sessions, if there may be any.
    pub(super) shared: Option<Shared>,
    /// Without what the first session has taken of it.
    pub(super) job: Job,
    pub(super) ground: Ground,
    /// Closes the pool at the end.
    pub(super) owner: Option<PoolOwner>,
}

/// What all sessions on a control connection stand on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ground {
    binding: [u8; 32],
    peer: SocketAddr,
    rtt: Duration,
    path: Option<PathMemory>,
}

impl Ground {
    /// Where datagrams go.
    pub(super) fn server(&self, accept: &Accept, options: &TransferOptions) -> SocketAddr {
        let own = SocketAddr::new(self.peer.ip(), accept.udp_port);
        options.data_address.unwrap_or(own)
    }
}

pub(super) async fn agree(
    dialled: Dialled,
    job: Job,
    options: &TransferOptions,
) -> Result<Agreed, Error> {
    // The list is begun, and a download's destination is looked at, before the server is asked for anything.
    let (job, mut plan) = Plan::new(job, options)?;
    let first_page = plan.first_page().await;
    let ask = || Asked::new(&job, options, first_page.clone());
    let (mut connection, asked) = say(dialled, ask).await?;
    let accept = tokio::time::timeout(OPEN_TIMEOUT, answer(&mut connection.control.receiver))
        .await
        .map_err(|_| Error::ConnectionLost(None))??;
    let ground = Ground {
        binding: connection.binding,
        peer: connection.peer,
        rtt: connection.rtt,
        path: connection.path,
    };
    let udp = ground.server(&accept, options);
    let port = Port::connect(udp)?;
    let registration = port.register_as(accept.session_id)?;
    let role = plan.role();
    let config = configuration(&accept, &ground, &asked, role, &port, options)?;
    let started = Started {
        transfer_id: asked.open.transfer_id,
        direction: if role == Role::Sender {
            EventDirection::Send
        } else {
            EventDirection::Receive
        },
        peer: udp.to_string().as_str().into(),
        session_id: accept.session_id,
        cipher: config.cipher,
        policy: accept.policy,
        target_rate_kbps: config.limits.target.map(Rate::kbps),
        rate_cap_kbps: accept.rate_cap.map(Rate::kbps),
    };
    let session = accept.session_id;
    let rates = Wanted {
        target: accept.target_rate.or(options.target_rate),
        min: accept.min_rate,
        cap: accept.rate_cap,
        locks: accept.locks,
    };
    let notices = told(options, &accept);
    let shared = plan.shared(options, &accept);
    let (work, owner) = plan.work(options, accept);
    let handle = engine::spawn(Spawn {
        port: port.clone(),
        registration,
        config,
        work,
    })?;
    Ok(Agreed {
        session,
        handle,
        port,
        started,
        control: connection.control,
        keeper: connection.keeper,
        rates,
        notices,
        shared,
        job,
        ground,
        owner,
    })
}

/// What the client has said and keeps: its half of the keys.
pub(super) struct Asked {
    pub(super) open: Open,
    client_random: Zeroizing<[u8; 32]>,
}

impl Asked {
    fn new(job: &Job, options: &TransferOptions, first_page: Vec<u8>) -> Self {
        let mut transfer = [0; 16];
        crate::fill_random(&mut transfer);
        Self::of(open(
            TransferId(transfer),
            [0; 32],
            job,
            options,
            first_page,
        ))
    }

    /// Adds new random bytes.
    pub(super) fn of(mut open: Open) -> Self {
        let mut client_random = Zeroizing::new([0; 32]);
        crate::fill_random(&mut *client_random);
        open.client_random = *client_random;
        Self {
            open,
            client_random,
        }
    }

    /// `Hello` and `Open`, which leave together.
    fn frames(&self) -> Result<Vec<u8>, Error> {
        let mut frames = Message::from(hello()).to_frame()?;
        let mut open = self.open.clone();
        for sources in source_pages::take_out(&mut open) {
            frames.extend(Message::from(sources).to_frame()?);
        }
        frames.extend(Message::from(open).to_frame()?);
        Ok(frames)
    }
}

/// Says the first messages, with a ticket or behind a log-in; new ones where a ticket was refused.
async fn say(dialled: Dialled, ask: impl Fn() -> Asked) -> Result<(Connection, Asked), Error> {
    let connection = match dialled {
        Dialled::LoggedIn(connection) => *connection,
        Dialled::Offering(offering) => {
            let asked = ask();
            match offering.present(&asked.frames()?).await {
                Presented::Resumed(connection) => return Ok((*connection, asked)),
                Presented::Refused(relogin) => relogin.log_in().await?,
            }
        }
    };
    let asked = ask();
    let sender = &connection.control.sender;
    sender.send_frames(asked.frames()?).await?;
    Ok((connection, asked))
}

pub(super) fn configuration(
    accept: &Accept,
    ground: &Ground,
    asked: &Asked,
    role: Role,
    port: &Port,
    options: &TransferOptions,
) -> Result<SessionConfig, Error> {
    let binding = ground.binding;
    let udp = ground.server(accept, options);
    let keys = KeyMaterial {
        client_random: asked.client_random.clone(),
        server_random: Zeroizing::new(accept.server_random),
        channel_binding: match accept.binding {
            BindingKind::SshTranscript | BindingKind::Resumed => binding,
            BindingKind::None => [0; 32],
        },
        session: accept.session_id,
        transfer: asked.open.transfer_id,
    };
    if accept.binding == BindingKind::None && binding != [0; 32] {
        return Err(Error::Violation(
            "the server gave up the channel binding".into(),
        ));
    }
    let side = Side::Client { server: udp };
    Ok(SessionConfig {
        cipher: chosen_cipher(accept, options)?,
        max_datagram: accept
            .datagram_max
            .min(options.datagram_max.unwrap_or(u16::MAX))
            .min(port.max_datagram(udp.ip())),
        receive_buffer: u32::try_from(port.receive_buffer()).unwrap_or(u32::MAX),
        limits: RateLimits {
            target: accept.target_rate.or(options.target_rate),
            min: accept.min_rate,
            cap: accept.rate_cap.unwrap_or(Rate::MAX),
            policy: accept.policy,
        },
        rtt: (!ground.rtt.is_zero()).then_some(ground.rtt),
        path: ground.path,
        address_token: address_token(accept, udp),
        leaves: true,
        ..SessionConfig::new(side, role, keys, crate::random_u64())
    })
}

/// The challenge that the first datagram answers (protocol §8.2).
pub(super) fn address_token(accept: &Accept, server: SocketAddr) -> Option<AddressToken> {
    let ip = server.ip();
    accept.address_token.map(|token| AddressToken { token, ip })
}

/// What the server grants less of than was asked for: a person would wonder otherwise.
fn told(options: &TransferOptions, accept: &Accept) -> Vec<String> {
    let mut notices = Vec::new();
    if let Some(policy) = options.policy.filter(|policy| *policy != accept.policy) {
        notices.push(format!(
            "the server does not allow the policy '{policy}' and shares as '{}'",
            accept.policy
        ));
    }
    if let Some((asked, granted)) = options.target_rate.zip(accept.target_rate)
        && granted < asked
    {
        notices.push(format!("the server limits the target rate to {granted}"));
    }
    if accept.min_rate < options.min_rate {
        notices.push(match accept.min_rate {
            Rate::ZERO => "the server allows no minimum rate".to_owned(),
            rate => format!("the server limits the minimum rate to {rate}"),
        });
    }
    notices.extend(accept.not_kept.names().map(|name| {
        let what = match name {
            "owner" => "to whom files belong",
            "group" => "the group of files",
            "xattrs" => "extended attributes",
            other => other,
        };
        format!("the server does not keep {what}")
    }));
    notices
}

/// A job whose local side has been looked at.
enum Plan {
    Send {
        lister: Arc<Lister>,
        first: Option<Listed>,
        /// What several sessions share.
        owner: Option<PoolOwner>,
    },
    Receive {
        destination: Destination,
        assembly: Assembly,
    },
}

impl Plan {
    /// Returns the job without what the plan has taken of it.
    fn new(job: Job, options: &TransferOptions) -> Result<(Job, Self), Error> {
        Ok(match job {
            Job::Upload {
                sources,
                destination,
            } => {
                let sources = sources
                    .under(&options.files)?
                    .leaving_out(&options.suffixes)
                    .keeping(options.preserve);
                let split = Split {
                    threshold: options.split_from(),
                    sessions: options.sessions.most().into(),
                };
                let (lister, owner) = match split.sessions {
                    1 => (Lister::start(sources.clone(), options.symlinks)?, None),
                    _ => {
                        let pool = Pool::start(sources.clone(), options.symlinks, split)?;
                        let owner = PoolOwner(pool.clone());
                        (Lister::first_of(pool, options.symlinks)?, Some(owner))
                    }
                };
                let lister = Arc::new(lister);
                let job = Job::Upload {
                    sources,
                    destination,
                };
                let first = None;
                let plan = Self::Send {
                    lister,
                    first,
                    owner,
                };
                (job, plan)
            }
            Job::Download {
                sources,
                destination,
            } => {
                let place = match &destination {
                    LocalDestination::Path(path) => {
                        let in_directory = is_directory(options);
                        Destination::local(path, &sources, in_directory, options)?
                    }
                    LocalDestination::Decrypted { path, decryption } => {
                        let in_directory = is_directory(options);
                        Destination::local(path, &sources, in_directory, options)?
                            .decrypting(decryption.clone())
                    }
                    LocalDestination::Sink => Destination::Sink,
                };
                let job = Job::Download {
                    sources,
                    destination,
                };
                let plan = Self::Receive {
                    destination: place,
                    assembly: Assembly::default(),
                };
                (job, plan)
            }
        })
    }

    /// The first page of the list, for an upload.
    async fn first_page(&mut self) -> Vec<u8> {
        let Self::Send { lister, first, .. } = self else {
            return Vec::new();
        };
        let lister = Arc::clone(lister);
        let taken = tokio::task::spawn_blocking(move || lister.first());
        *first = taken.await.ok().flatten();
        first
            .as_ref()
            .map_or_else(Vec::new, |first| first.page().to_vec())
    }

    fn role(&self) -> Role {
        match self {
            Self::Send { .. } => Role::Sender,
            Self::Receive { .. } => Role::Receiver,
        }
    }

    /// What further sessions need, if there may be any.
    fn shared(&self, options: &TransferOptions, accept: &Accept) -> Option<Shared> {
        match self {
            _ if options.sessions.most() == 1 => None,
            Self::Send { owner, .. } => owner.as_ref().map(|owner| Shared::Send {
                pool: owner.0.clone(),
                asks_first: !accept.destination_is_new,
            }),
            Self::Receive {
                destination,
                assembly,
            } => Some(Shared::Receive {
                destination: destination.clone(),
                assembly: assembly.clone(),
            }),
        }
    }

    /// What the session does.
    fn work(self, options: &TransferOptions, accept: Accept) -> (Work, Option<PoolOwner>) {
        match self {
            Self::Send {
                lister,
                first,
                owner,
            } => {
                // Where nothing is yet, small files need not be asked about.
                lister.proceed(!accept.destination_is_new);
                let work = Work::Send(SenderOptions {
                    lister,
                    first,
                    decisions: accept.first_page,
                });
                (work, owner)
            }
            Self::Receive {
                destination,
                assembly,
            } => {
                let work = Work::Receive(ReceiverOptions {
                    destination,
                    rules: rules(options),
                    first_page: FirstPage::AtOnce(accept.first_page),
                    promised: BTreeSet::new(),
                    assembly,
                });
                (work, None)
            }
        }
    }
}

pub(super) fn rules(options: &TransferOptions) -> Rules {
    let TransferOptions {
        overwrite,
        resume,
        preserve,
        symlinks,
        ..
    } = *options;
    Rules {
        overwrite,
        may_overwrite: true,
        resume,
        preserve,
        symlinks,
        files: Arc::new(options.files.clone()),
        creation: Creation::default(),
    }
}

/// The first message of either side.
pub(crate) fn hello() -> Hello {
    let software = concat!("fasp-net/", env!("CARGO_PKG_VERSION")).to_owned();
    Hello {
        versions: vec![VERSION],
        software,
    }
}

pub(super) fn open(
    transfer_id: TransferId,
    client_random: [u8; 32],
    job: &Job,
    options: &TransferOptions,
    first_page: Vec<u8>,
) -> Open {
    let protection = match job {
        Job::Upload { sources, .. } => sources.protection().map(Protection::claim),
        Job::Download { .. } => None,
    };
    let (direction, sources, destination, source_count) = match job {
        Job::Upload {
            sources,
            destination,
        } => (
            Direction::Upload,
            Vec::new(),
            destination.clone(),
            sources.items.len(),
        ),
        Job::Download { sources, .. } => (
            Direction::Download,
            sources.clone(),
            Vec::new(),
            sources.len(),
        ),
    };
    Open {
        transfer_id,
        session_index: 0,
        session_count: options.sessions.most().into(),
        client_random,
        direction,
        sources,
        destination,
        create_dir: is_directory(options),
        source_count: u32::try_from(source_count).unwrap_or(u32::MAX),
        overwrite: options.overwrite,
        resume: options.resume,
        symlinks: options.symlinks,
        preserve: options.preserve,
        target_rate: options.target_rate,
        min_rate: options.min_rate,
        policy: options.policy,
        ciphers: options.ciphers.clone(),
        datagram_max: options.datagram_max.unwrap_or(crate::request::DATAGRAM_MAX),
        first_page,
        split_threshold: (options.sessions.most() > 1).then_some(options.split_from()),
        files: travelling(options, direction).map(Box::new),
        protection: protection.unwrap_or_default(),
    }
}

/// Whether the destination is a directory whatever is there: what a list names does not take its place.
fn is_directory(options: &TransferOptions) -> bool {
    let FileRules {
        is_list,
        source_base,
        names,
        ..
    } = &options.files;
    options.create_dir || *is_list || source_base.is_some() || !names.is_empty()
}

/// What the server has to know of the rules: how it sends, or what it does with what it receives.
fn travelling(options: &TransferOptions, direction: Direction) -> Option<FileRules> {
    let files = FileRules {
        checksum: FileChecksum::None,
        ..options.files.clone()
    };
    let files = match direction {
        Direction::Download => files,
        Direction::Upload => FileRules {
            source_base: None,
            names: Vec::new(),
            after: AfterTransfer::default(),
            is_list: false,
            // What is left out here is not to be deleted there.
            filter: match files.delete_absent {
                true => files.filter,
                false => Filter::default(),
            },
            ..files
        },
    };
    (files != FileRules::default()).then_some(files)
}

async fn answer(receiver: &mut ControlReceiver) -> Result<Accept, Error> {
    loop {
        match receiver.receive().await? {
            Some(Message::Hello(hello)) => {
                message::agree_version(&hello)?;
            }
            Some(Message::Accept(accept)) => return Ok(accept),
            Some(Message::Refuse(refuse)) => return Err(refuse.into()),
            Some(other) => {
                return Err(Error::Violation(format!(
                    "{} before the session",
                    other.name()
                )));
            }
            None => return Err(Error::ConnectionLost(None)),
        }
    }
}

/// The server must pick one of the ciphers that were offered.
pub(super) fn chosen_cipher(
    accept: &Accept,
    options: &TransferOptions,
) -> Result<fasp_core::DatagramCipher, Error> {
    if options.ciphers.contains(&accept.cipher) {
        Ok(accept.cipher)
    } else {
        Err(Error::Violation(format!(
            "the server chose cipher {}, which was not offered",
            accept.cipher
        )))
    }
}
