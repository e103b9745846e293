//! Granting a session (protocol §2.3).

use std::collections::BTreeSet;
use std::sync::Arc;

use fasp_core::{
    AddressToken, DatagramCipher, ErrorCode, KeyMaterial, NotKept, Rate, RateLimits, Role,
    SessionConfig, SessionId, Side,
};
use transfer_spec::{Direction, FileChecksum, FileRules, Filter, Preserve, SymlinkPolicy};
use zeroize::Zeroizing;

use super::joint::{Joint, Seat};
use super::{Client, Context, FileGrant, Grant, Observer, Refusal};
use crate::control::message::{Accept, BindingKind, ContentProtection, Open};
use crate::control::source_pages::Charge;
use crate::engine::{
    self, Assembly, Destination, FirstPage, Handle, Lister, Pool, ReceiverOptions, Rules,
    SenderOptions, Sources, Spawn, Split, Work, promised, wanted_at_once,
};
use crate::port::Port;
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
    list: Option<Charge>,
) -> Result<Opened, Refusal> {
    let (context, client) = (context.clone(), Arc::clone(client));
    // Looking at files and verifying accounts may block.
    let task =
        tokio::task::spawn_blocking(move || open_blocking(&context, &client, open, joint, list));
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
    list: Option<Charge>,
) -> Result<Opened, Refusal> {
    check_sessions(&open)?;
    let (mut grant, observer) = context.access.session(client, &open)?;
    if list.is_some() {
        // The room of the list is held as long as the session's place.
        grant.place = Some(Arc::new((grant.place.take(), list)));
    }
    check_deletion(&grant, &open)?;
    let cipher = choose_cipher(&grant, &open)?;
    amend(&grant, &mut open)?;
    let rates = grant.rates.grant(open.rate_wish());
    if !grant.files.may_follow_links && open.symlinks == SymlinkPolicy::Follow {
        open.symlinks = SymlinkPolicy::Skip;
    }
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
        Some(joint) => join(&grant, &open, joint)?,
    };
    let port = grant.port.clone().unwrap_or_else(|| context.port.clone());
    let (session_id, registration) = port.register().map_err(Refusal::from)?;
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
    let datagram_max = open
        .datagram_max
        .min(largest_datagram(&port, client))
        .min(grant.datagram_max.unwrap_or(DATAGRAM_MAX));
    let usual = SessionConfig::new(Side::Server, role, keys, crate::random_u64());
    let config = SessionConfig {
        cipher,
        max_datagram: datagram_max,
        receive_buffer: u32::try_from(port.receive_buffer()).unwrap_or(u32::MAX),
        limits: RateLimits {
            target: rates.target,
            min: rates.min,
            cap: rates.cap.unwrap_or(Rate::MAX),
            policy: rates.policy,
        },
        path: client.path,
        address_token,
        data_timeout: grant.data_timeout.unwrap_or(usual.data_timeout),
        hello_timeout: grant.hello_timeout.unwrap_or(usual.hello_timeout),
        ..usual
    };
    let udp_port = port.local_address().port();
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
        udp_port,
        cipher,
        binding: client.binding_kind,
        target_rate: rates.target,
        rate_cap: rates.cap,
        min_rate: rates.min,
        policy: rates.policy,
        datagram_max,
        destination_is_new,
        first_page,
        address_token: address_token.map(|token| token.token),
        locks: grant.rates.locks(),
        not_kept: refused(&grant, &open),
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

/// Adds to the client's rules about files what the server says about them.
fn amend(grant: &Grant, open: &mut Open) -> Result<(), Refusal> {
    let Grant { filter, files, .. } = grant;
    if files.checksum == FileChecksum::None && filter.is_empty() {
        return Ok(());
    }
    let rules = open.files.get_or_insert_default();
    rules.checksum = files.checksum;
    if !filter.is_empty() {
        let client = &rules.filter;
        let all = filter.iter().chain(client.rules()).cloned().collect();
        let (newer, older) = (client.newer_than, client.older_than);
        let text = "there are too many rules about what is sent";
        let all = Filter::new(all).map_err(|_| Refusal::new(ErrorCode::Usage, text))?;
        rules.filter = all.with_ages(newer, older);
    }
    Ok(())
}

/// Who may not replace files may not delete them either.
fn check_deletion(grant: &Grant, open: &Open) -> Result<(), Refusal> {
    let deletes = open
        .files
        .as_deref()
        .is_some_and(|files| files.delete_absent);
    if deletes && !grant.files.may_overwrite {
        let text = "the account may not replace or delete files";
        return Err(Refusal::new(ErrorCode::Authorization, text));
    }
    Ok(())
}

fn largest_datagram(port: &Port, client: &Client) -> u16 {
    client
        .peer
        .map_or(DATAGRAM_MAX, |peer| port.max_datagram(peer.ip()))
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
fn join(grant: &Grant, open: &Open, joint: Joint) -> Result<Begun, Refusal> {
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
                rules: rules(grant, open),
                first_page: FirstPage::Done,
                promised: BTreeSet::new(),
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

/// What is kept of files. What is read of them for a download is not the server's to give away.
fn granted(grant: &Grant, direction: Direction, asked: Preserve) -> Preserve {
    let FileGrant {
        keep_times,
        keep_owner,
        keep_xattrs,
        ..
    } = grant.files;
    let may_own = keep_owner || direction == Direction::Download;
    Preserve {
        times: keep_times.unwrap_or(asked.times),
        access_time: asked.access_time && keep_times != Some(false),
        mode: asked.mode,
        owner: asked.owner && may_own,
        group: asked.group && may_own,
        xattrs: asked.xattrs && keep_xattrs,
    }
}

/// What the client asks for and no file gets, so that it is told once. It knows about modification times, which nobody
/// asked for in particular.
fn refused(grant: &Grant, open: &Open) -> NotKept {
    let asked = open.preserve;
    let granted = granted(grant, open.direction, asked);
    NotKept {
        times: asked.access_time && !granted.access_time,
        mode: false,
        owner: asked.owner && !granted.owner,
        group: asked.group && !granted.group,
        xattrs: asked.xattrs && !granted.xattrs,
    }
}

fn rules(grant: &Grant, open: &Open) -> Rules {
    let Open {
        overwrite,
        resume,
        preserve,
        symlinks,
        ..
    } = *open;
    let files = grant.files;
    Rules {
        overwrite,
        may_overwrite: files.may_overwrite,
        resume,
        preserve: granted(grant, Direction::Upload, preserve),
        symlinks: match files.may_create_links {
            true => symlinks,
            false => SymlinkPolicy::Skip,
        },
        files: Arc::new(open.files.as_deref().cloned().unwrap_or_default()),
        creation: files.creation,
    }
}

fn begin(grant: &Grant, open: &mut Open, is_proven: bool) -> Result<Begun, Refusal> {
    match open.direction {
        Direction::Upload => {
            let count = open.source_count as usize;
            let destination =
                Destination::beneath(&grant.root, &open.destination, count, open.create_dir)?
                    .replacing(grant.files.creation.replacement);
            let destination = match open.protection {
                ContentProtection::None => destination,
                ContentProtection::Passphrase | ContentProtection::StrongPassphrase => {
                    destination.taking_envelopes()
                }
            };
            let rules = rules(grant, open);
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
                promised: promised(&first_page),
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
            let sources = Sources::beneath(&grant.root, &open.sources, &rules)?.keeping(granted(
                grant,
                open.direction,
                open.preserve,
            ));
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
