//! Agreeing with the server on a session (protocol §2.3, §3).

use std::net::SocketAddr;
use std::time::Duration;

use fasp_core::{KeyMaterial, Rate, RateLimits, Role, SessionConfig, SessionId, Side, TransferId};
use transfer_spec::Direction;
use zeroize::Zeroizing;

use super::{Job, LocalDestination};
use crate::Error;
use crate::control::message::{Accept, BindingKind, Hello, Open, VERSION};
use crate::control::{ControlReceiver, ControlSender, Message, message};
use crate::engine::{
    self, Destination, Handle, ListOptions, ReceiverOptions, Rules, Sources, Spawn, Work,
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
}

pub(super) async fn agree(
    sender: &ControlSender,
    receiver: &mut ControlReceiver,
    binding: [u8; 32],
    peer: SocketAddr,
    rtt: Duration,
    job: Job,
    options: &TransferOptions,
) -> Result<Agreed, Error> {
    let mut client_random = Zeroizing::new([0; 32]);
    crate::fill_random(&mut *client_random);
    let mut transfer = [0; 16];
    crate::fill_random(&mut transfer);
    let transfer_id = TransferId(transfer);
    let open = open(transfer_id, *client_random, &job, options);
    // A download's destination is looked at before the server is asked for anything.
    let plan = Plan::new(job, options)?;
    sender.send(hello()).await?;
    sender.send(open).await?;
    let accept = tokio::time::timeout(OPEN_TIMEOUT, answer(receiver))
        .await
        .map_err(|_| Error::ConnectionLost(None))??;
    let own = SocketAddr::new(peer.ip(), accept.udp_port);
    let udp = options.data_address.unwrap_or(own);
    let port = Port::connect(udp)?;
    let registration = port.register_as(accept.session_id)?;
    let keys = KeyMaterial {
        client_random,
        server_random: Zeroizing::new(accept.server_random),
        channel_binding: match accept.binding {
            BindingKind::SshTranscript => binding,
            BindingKind::None => [0; 32],
        },
        session: accept.session_id,
        transfer: transfer_id,
    };
    if accept.binding == BindingKind::None && binding != [0; 32] {
        return Err(Error::Violation(
            "the server gave up the channel binding".into(),
        ));
    }
    let role = plan.role();
    let config = SessionConfig {
        cipher: chosen_cipher(&accept, options)?,
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
        rtt: (!rtt.is_zero()).then_some(rtt),
        ..SessionConfig::new(
            Side::Client { server: udp },
            role,
            keys,
            crate::random_u64(),
        )
    };
    let started = Started {
        transfer_id,
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
    };
    let work = plan.work(options, accept.destination_is_new);
    let handle = engine::spawn(Spawn {
        port: port.clone(),
        registration,
        config,
        work,
    })?;
    Ok(Agreed {
        session: accept.session_id,
        handle,
        port,
        started,
    })
}

/// A job whose local side has been looked at.
enum Plan {
    Send(Sources),
    Receive(Destination),
}

impl Plan {
    fn new(job: Job, options: &TransferOptions) -> Result<Self, Error> {
        Ok(match job {
            Job::Upload { sources, .. } => Self::Send(sources),
            Job::Download {
                sources,
                destination,
            } => Self::Receive(match destination {
                LocalDestination::Path(path) => {
                    Destination::local(&path, &sources, options.create_dir)?
                }
                LocalDestination::Sink => Destination::Sink,
            }),
        })
    }

    fn role(&self) -> Role {
        match self {
            Self::Send(_) => Role::Sender,
            Self::Receive(_) => Role::Receiver,
        }
    }

    /// What the session does; `is_new` says that nothing is at the server's destination yet.
    fn work(self, options: &TransferOptions, is_new: bool) -> Work {
        match self {
            Self::Send(sources) => Work::Send {
                sources,
                options: ListOptions {
                    symlinks: options.symlinks,
                    asks_first: !is_new,
                },
            },
            Self::Receive(destination) => Work::Receive(ReceiverOptions {
                destination,
                rules: rules(options),
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
        first_page: Vec::new(),
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
