//! Agreeing with the server on a session (protocol §2.3, §3).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fasp_core::{
    AddressToken, KeyMaterial, Rate, RateLimits, Role, SessionConfig, SessionId, Side, TransferId,
};
use transfer_spec::Direction;
use zeroize::Zeroizing;

use super::{Job, LocalDestination};
use crate::Error;
use crate::control::message::{Accept, BindingKind, Hello, Open, VERSION};
use crate::control::resume::dial::{Dialled, Keeper, Presented};
use crate::control::ssh::client::Connection;
use crate::control::{Control, ControlReceiver, Message, message};
use crate::engine::{
    self, Destination, FirstPage, Handle, Listed, Lister, ReceiverOptions, Rules, SenderOptions,
    Spawn, Work,
};
use crate::event::{EventDirection, Started};
use crate::port::Port;
use crate::request::TransferOptions;

/// How long the server may take to answer `Open`: it may have to look at many files.
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);

/// A session that runs.
pub(super) struct Agreed {
    pub(super) session: SessionId,
    pub(super) handle: Handle,
    pub(super) port: Port,
    pub(super) started: Started,
    pub(super) control: Control,
    /// Keeps the ticket that comes.
    pub(super) keeper: Option<Keeper>,
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
    let own = SocketAddr::new(connection.peer.ip(), accept.udp_port);
    let udp = options.data_address.unwrap_or(own);
    let port = Port::connect(udp)?;
    let registration = port.register_as(accept.session_id)?;
    let role = plan.role();
    let config = configuration(&accept, &connection, &asked, role, &port, udp, options)?;
    let started = Started {
        transfer_id: asked.transfer_id,
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
    let handle = engine::spawn(Spawn {
        port: port.clone(),
        registration,
        config,
        work: plan.work(options, accept),
    })?;
    Ok(Agreed {
        session,
        handle,
        port,
        started,
        control: connection.control,
        keeper: connection.keeper,
    })
}

/// What the client has said and keeps: its half of the keys.
struct Asked {
    transfer_id: TransferId,
    client_random: Zeroizing<[u8; 32]>,
    /// `Hello` and `Open`, which leave together.
    frames: Vec<u8>,
}

impl Asked {
    fn new(job: &Job, options: &TransferOptions, first_page: Vec<u8>) -> Result<Self, Error> {
        let mut client_random = Zeroizing::new([0; 32]);
        crate::fill_random(&mut *client_random);
        let mut transfer = [0; 16];
        crate::fill_random(&mut transfer);
        let transfer_id = TransferId(transfer);
        let open = open(transfer_id, *client_random, job, options, first_page);
        let mut frames = Message::from(hello()).to_frame()?;
        frames.extend(Message::from(open).to_frame()?);
        Ok(Self {
            transfer_id,
            client_random,
            frames,
        })
    }
}

/// Says the first messages, with a ticket or behind a log-in; new ones where a ticket was refused.
async fn say(
    dialled: Dialled,
    ask: impl Fn() -> Result<Asked, Error>,
) -> Result<(Connection, Asked), Error> {
    let connection = match dialled {
        Dialled::LoggedIn(connection) => *connection,
        Dialled::Offering(offering) => {
            let asked = ask()?;
            match offering.present(&asked.frames).await {
                Presented::Resumed(connection) => return Ok((*connection, asked)),
                Presented::Refused(relogin) => relogin.log_in().await?,
            }
        }
    };
    let asked = ask()?;
    let sender = &connection.control.sender;
    sender.send_frames(asked.frames.clone()).await?;
    Ok((connection, asked))
}

fn configuration(
    accept: &Accept,
    connection: &Connection,
    asked: &Asked,
    role: Role,
    port: &Port,
    udp: SocketAddr,
    options: &TransferOptions,
) -> Result<SessionConfig, Error> {
    let binding = connection.binding;
    let keys = KeyMaterial {
        client_random: asked.client_random.clone(),
        server_random: Zeroizing::new(accept.server_random),
        channel_binding: match accept.binding {
            BindingKind::SshTranscript | BindingKind::Resumed => binding,
            BindingKind::None => [0; 32],
        },
        session: accept.session_id,
        transfer: asked.transfer_id,
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
        rtt: (!connection.rtt.is_zero()).then_some(connection.rtt),
        path: connection.path,
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

/// A job whose local side has been looked at.
enum Plan {
    Send {
        lister: Arc<Lister>,
        first: Option<Listed>,
    },
    Receive(Destination),
}

impl Plan {
    /// Returns the job without what the plan has taken of it.
    fn new(job: Job, options: &TransferOptions) -> Result<(Job, Self), Error> {
        Ok(match job {
            Job::Upload {
                sources,
                destination,
            } => {
                let lister = Arc::new(Lister::start(sources.clone(), options.symlinks)?);
                let job = Job::Upload {
                    sources,
                    destination,
                };
                let first = None;
                (job, Self::Send { lister, first })
            }
            Job::Download {
                sources,
                destination,
            } => {
                let place = match &destination {
                    LocalDestination::Path(path) => {
                        Destination::local(path, &sources, options.create_dir)?
                    }
                    LocalDestination::Sink => Destination::Sink,
                };
                let job = Job::Download {
                    sources,
                    destination,
                };
                (job, Self::Receive(place))
            }
        })
    }

    /// The first page of the list, for an upload.
    async fn first_page(&mut self) -> Vec<u8> {
        let Self::Send { lister, first } = self else {
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
            Self::Receive(_) => Role::Receiver,
        }
    }

    /// What the session does.
    fn work(self, options: &TransferOptions, accept: Accept) -> Work {
        match self {
            Self::Send { lister, first } => {
                // Where nothing is yet, small files need not be asked about.
                lister.proceed(!accept.destination_is_new);
                Work::Send(SenderOptions {
                    lister,
                    first,
                    decisions: accept.first_page,
                })
            }
            Self::Receive(destination) => Work::Receive(ReceiverOptions {
                destination,
                rules: rules(options),
                first_page: FirstPage::AtOnce(accept.first_page),
            }),
        }
    }
}

fn rules(options: &TransferOptions) -> Rules {
    let TransferOptions {
        overwrite,
        resume,
        preserve,
        symlinks,
        ..
    } = *options;
    Rules {
        overwrite,
        resume,
        preserve,
        symlinks,
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
        session_count: 1,
        client_random,
        direction,
        sources,
        destination,
        create_dir: options.create_dir,
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
    }
}

async fn answer(receiver: &mut ControlReceiver) -> Result<Accept, Error> {
    loop {
        match receiver.receive().await? {
            Some(Message::Hello(hello)) => {
                message::agree_version(&hello)?;
            }
            Some(Message::Accept(accept)) => return Ok(accept),
            Some(Message::Refuse(refuse)) => {
                let message::Refuse {
                    code,
                    message,
                    hint,
                    ..
                } = refuse;
                return Err(Error::Refused {
                    code,
                    message,
                    hint,
                });
            }
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
