//! Granting a session (protocol §2.3).

use std::sync::Arc;

use fasp_core::{
    AddressToken, DatagramCipher, ErrorCode, KeyMaterial, Rate, RateLimits, Role, SessionConfig,
    SessionId, Side,
};
use transfer_spec::{Direction, FileRules};
use zeroize::Zeroizing;

use super::joint::{Joint, Seat};
use super::{Client, Context, Grant, Observer, Refusal};
use crate::control::message::{Accept, BindingKind, Open};
use crate::engine::{
    self, Assembly, Destination, FirstPage, Handle, Lister, Pool, ReceiverOptions, Rules,
    SenderOptions, Sources, Spawn, Split, Work, wanted_at_once,
};
use crate::request::DATAGRAM_MAX;

/// A session that was granted and runs.
pub(super) struct Opened {
    pub(super) id: SessionId,
    pub(super) handle: Handle,
    pub(super) grant: Grant,
    pub(super) accept: Accept,
    pub(super) observer: Observer,
    pub(super) seat: Seat,
}

pub(super) async fn open(
    context: &Context,
    client: &Arc<Client>,
    open: Open,
    joint: Option<Joint>,
) -> Result<Opened, Refusal> {
    let (context, client) = (context.clone(), Arc::clone(client));
    // Looking at files and verifying accounts may block.
    let task = tokio::task::spawn_blocking(move || open_blocking(&context, &client, open, joint));
    task.await.unwrap_or_else(|_| {
        Err(Refusal::new(
            ErrorCode::Internal,
            "the server could not start the session",
        ))
    })
}

fn open_blocking(
    context: &Context,
    client: &Client,
    mut open: Open,
    joint: Option<Joint>,
) -> Result<Opened, Refusal> {
    check_sessions(&open)?;
    let (grant, observer) = context.access.session(client, &open)?;
    let cipher = choose_cipher(&grant, &open)?;
    let (policy, rate_cap) = grant.policy(open.policy);
    let cap = rate_cap.unwrap_or(Rate::MAX);
    let target_rate = open.target_rate.map(|rate| rate.min(cap));
    let min_rate = open.min_rate.min(cap);
    // Nothing is done on the word of an offer alone (protocol §2.5).
    let is_proven = client.binding_kind != BindingKind::Resumed;
    let Begun {
        role,
        work,
        destination_is_new,
        first_page,
        seat,
    } = match joint {
        None => begin(&grant, &mut open, is_proven)?,
        Some(joint) => join(&open, joint)?,
    };
    let (session_id, registration) = context.port.register().map_err(Refusal::from)?;
    let mut server_random = Zeroizing::new([0; 32]);
    crate::fill_random(&mut *server_random);
    let keys = KeyMaterial {
        client_random: Zeroizing::new(open.client_random),
        server_random: server_random.clone(),
        channel_binding: client.binding,
        session: session_id,
        transfer: open.transfer_id,
    };
    let address_token = client.peer.map(|peer| AddressToken {
        token: crate::random_u64().to_be_bytes(),
        ip: peer.ip(),
    });
    let datagram_max = open.datagram_max.min(largest_datagram(context, client));
    let config = SessionConfig {
        cipher,
        max_datagram: datagram_max,
        receive_buffer: u32::try_from(context.port.receive_buffer()).unwrap_or(u32::MAX),
        limits: RateLimits {
            target: target_rate,
            min: min_rate,
            cap,
            policy,
        },
        path: client.path,
        address_token,
        ..SessionConfig::new(Side::Server, role, keys, crate::random_u64())
    };
    let port = context.port.clone();
    let handle = engine::spawn(Spawn {
        port,
        registration,
        config,
        work,
    })
    .map_err(Refusal::from)?;
    let accept = Accept {
        transfer_id: open.transfer_id,
        session_index: open.session_index,
        session_id,
        server_random: *server_random,
        udp_port: context.port.local_address().port(),
        cipher,
        binding: client.binding_kind,
        target_rate,
        rate_cap,
        min_rate,
        policy,
        datagram_max,
        destination_is_new,
        first_page,
        address_token: address_token.map(|token| token.token),
    };
    Ok(Opened {
        id: session_id,
        handle,
        grant,
        accept,
        observer,
        seat,
    })
}

/// Some rules need a receiver that sees the whole list.
fn check_sessions(open: &Open) -> Result<(), Refusal> {
    let needs_one = |files: &FileRules| files.delete_absent || files.dry_run;
    if open.session_count > 1 && open.files.as_deref().is_some_and(needs_one) {
        let text = "several sessions can neither delete nor run dry";
        return Err(Refusal::new(ErrorCode::Protocol, text));
    }
    Ok(())
}

fn largest_datagram(context: &Context, client: &Client) -> u16 {
    client
        .peer
        .map_or(DATAGRAM_MAX, |peer| context.port.max_datagram(peer.ip()))
}

fn choose_cipher(grant: &Grant, open: &Open) -> Result<DatagramCipher, Refusal> {
    let allowed = open
        .ciphers
        .iter()
        .find(|cipher| grant.ciphers.contains(cipher));
    allowed.copied().ok_or_else(|| {
        let names: Vec<_> = grant.ciphers.iter().map(|c| c.name()).collect();
        Refusal::new(
            ErrorCode::CipherRefused,
            "the server allows none of the ciphers offered",
        )
        .hint(format!("use one of {}", names.join(", ")))
    })
}

/// What a session begins with.
struct Begun {
    role: Role,
    work: Work,
    destination_is_new: bool,
    /// The first page of `Accept`.
    first_page: Vec<u8>,
    seat: Seat,
}

/// Begins a further session of a transfer (protocol §13.1).
fn join(open: &Open, joint: Joint) -> Result<Begun, Refusal> {
    let seat = Seat::further(joint).ok_or_else(|| {
        Refusal::new(ErrorCode::Protocol, "nothing is left for a further session")
    })?;
    let (role, work, destination_is_new) = match seat.joint() {
        Joint::Send(pool) => {
            // Whether the client has the files already is for the client to say.
            let lister = Lister::further_of(pool.clone(), open.symlinks, true)?;
            let options = SenderOptions {
                lister: Arc::new(lister),
                first: None,
                decisions: Vec::new(),
            };
            (Role::Sender, Work::Send(options), false)
        }
        Joint::Receive {
            destination,
            assembly,
        } => {
            let options = ReceiverOptions {
                destination: destination.clone(),
                rules: rules(open),
                first_page: FirstPage::Done,
                assembly: assembly.clone(),
            };
            (Role::Receiver, Work::Receive(options), destination.is_new())
        }
        Joint::Alone => {
            let text = "the transfer has one session only";
            return Err(Refusal::new(ErrorCode::Protocol, text));
        }
    };
    Ok(Begun {
        role,
        work,
        destination_is_new,
        first_page: Vec::new(),
        seat,
    })
}

fn rules(open: &Open) -> Rules {
    let Open {
        overwrite,
        resume,
        preserve,
        symlinks,
        ..
    } = *open;
    Rules {
        overwrite,
        resume,
        preserve,
        symlinks,
        files: Arc::new(open.files.as_deref().cloned().unwrap_or_default()),
    }
}

fn begin(grant: &Grant, open: &mut Open, is_proven: bool) -> Result<Begun, Refusal> {
    match open.direction {
        Direction::Upload => {
            let count = open.source_count as usize;
            let destination =
                Destination::beneath(&grant.root, &open.destination, count, open.create_dir)?;
            let rules = rules(open);
            let is_dry_run = rules.files.dry_run;
            let destination_is_new = destination.is_new() && !is_dry_run;
            let page = std::mem::take(&mut open.first_page);
            let first_page = match is_dry_run {
                true => Vec::new(),
                false => wanted_at_once(&destination, &page),
            };
            let assembly = Assembly::default();
            let seat = Seat::first(Joint::Receive {
                destination: destination.clone(),
                assembly: assembly.clone(),
            });
            let work = Work::Receive(ReceiverOptions {
                destination,
                rules,
                first_page: match is_proven {
                    true => FirstPage::AtOnce(page),
                    false => FirstPage::Held(page),
                },
                assembly,
            });
            Ok(Begun {
                role: Role::Receiver,
                work,
                destination_is_new,
                first_page,
                seat,
            })
        }
        Direction::Download => {
            let rules = open.files.take().unwrap_or_default();
            let sources = Sources::beneath(&grant.root, &open.sources, &rules)?;
            let split = Split {
                threshold: open.split_threshold.unwrap_or(0),
                sessions: open.session_count,
            };
            let pool = match open.session_count {
                0 | 1 => None,
                _ => Some(Pool::start(sources.clone(), open.symlinks, split)?),
            };
            // Closes the pool should anything fail from here on.
            let seat = Seat::first(pool.clone().map_or(Joint::Alone, Joint::Send));
            let lister = match pool {
                Some(pool) => Lister::first_of(pool, open.symlinks)?,
                None => Lister::start(sources, open.symlinks)?,
            };
            let first = lister.first();
            // Whether the client has the files already is for the client to say.
            lister.proceed(true);
            let first_page = first.as_ref().map(|first| first.page().to_vec());
            let decisions = Vec::new();
            let work = Work::Send(SenderOptions {
                lister: Arc::new(lister),
                first,
                decisions,
            });
            Ok(Begun {
                role: Role::Sender,
                work,
                destination_is_new: false,
                first_page: first_page.unwrap_or_default(),
                seat,
            })
        }
    }
}
