//! What the server decides about one session: the account and `aspera.conf`, resolved once when the session is granted.
//!
//! Two rules hold everywhere. A value that nobody set changes nothing: without a file, and with an empty one, the server
//! does what it does by itself. And what the file demands and this server cannot do is refused, not left out.

mod files;
mod person;
mod protection;
mod rates;
mod restriction;
mod root;

use std::{net::IpAddr, path::PathBuf, time::Duration};

use aspera_conf::{
    effective::{Authorization, Bandwidth, Effective, LogRule, Manifest},
    resolve::Resolver,
};
use fasp_core::{DatagramCipher, ErrorCode, Rate};
use fasp_net::{
    control::message::Open,
    serve::{FileGrant, RateRules, Refusal},
};
use tracing::{error, info};
use transfer_spec::{Direction, FileRules, filter::FilterRule};

pub(crate) use person::Identity;
pub(crate) use root::RootPlan;

use protection::AtRest;

use crate::{conf::Document, users::User};

/// Whether a path exists where these restrictions hold (feature `testing`).
#[cfg(feature = "testing")]
pub(crate) fn restriction_admits(patterns: &[&str], path: &[u8], looked: docroot::Looked) -> bool {
    let pattern = |text: &&str| aspera_conf::effective::Pattern::parse(text);
    let patterns: Vec<_> = patterns.iter().map(pattern).collect();
    restriction::Restriction::new(&patterns).admits(path, looked)
}

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Upload,
    Download,
    /// Remove or move what was downloaded.
    Remove,
    List,
}

/// What holds for all accounts, whatever the file says.
#[derive(Debug, Clone)]
pub(crate) struct Defaults {
    pub(crate) fixed_cap: Option<Rate>,
    pub(crate) ciphers: Vec<DatagramCipher>,
    /// Clients may say to whom what they send belongs.
    pub(crate) keeps_owners: bool,
    /// Where an account has its files for which nobody names a directory; `None` gives it none (rule P-1).
    pub(crate) root: Option<PathBuf>,
}

/// Everything that was decided.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) root: RootPlan,
    pub(crate) rates: RateRules,
    pub(crate) ciphers: Vec<DatagramCipher>,
    pub(crate) files: FileGrant,
    /// Rules about what is sent, before those of the client.
    pub(crate) filter: Vec<FilterRule>,
    pub(crate) data_timeout: Option<Duration>,
    pub(crate) hello_timeout: Option<Duration>,
    pub(crate) udp_port: Option<u16>,
    pub(crate) datagram_max: Option<u16>,
    /// The virtual link the session belongs to, by its number.
    pub(crate) trunk: Option<u8>,
    /// What uploads have to be at rest.
    pub(crate) at_rest: AtRest,
    pub(crate) log_files: bool,
    pub(crate) log_interval: Option<Duration>,
    /// Where receipts go, and their suffix until they are complete.
    pub(crate) manifest: Option<ManifestPlan>,
}

/// Where receipts of transfers go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManifestPlan {
    pub(crate) directory: String,
    pub(crate) suffix: String,
}

impl Wish {
    pub(crate) fn of(open: &Open) -> Self {
        match open.direction {
            Direction::Upload => Self::Upload,
            Direction::Download => Self::Download,
        }
    }

    /// Whether a session asks for [`Wish::Remove`] as well.
    pub(crate) fn removes_sources(open: &Open) -> bool {
        let touches_sources = |files: &FileRules| !files.after.is_nothing();
        Self::of(open) == Self::Download && open.files.as_deref().is_some_and(touches_sources)
    }

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Download => "download",
            Self::Remove => "remove files after a transfer",
            Self::List => "list directories",
        }
    }

    fn may(self, user: &User) -> bool {
        match self {
            Self::Upload | Self::Remove => user.permissions.write,
            Self::Download => user.permissions.read,
            Self::List => user.permissions.list,
        }
    }
}

impl Policy {
    /// Decides about a wish of an account, and logs when it is refused.
    ///
    /// # Errors
    /// What the client is told: that it may not, or that the server's configuration does not allow it to begin.
    pub(crate) fn of(
        document: &Document,
        user: &User,
        peer: Option<IpAddr>,
        wish: Wish,
        defaults: &Defaults,
    ) -> Result<Self, Refusal> {
        Self::decide(document, user, peer, wish, defaults).inspect_err(|refusal| {
            info!(
                user = user.name.as_str(),
                wish = wish.words(),
                errcode = refusal.code.number(),
                "refused: {}",
                refusal.message
            );
        })
    }

    /// As [`Policy::of`], without a word in the log: nobody wishes for it.
    pub(crate) fn decide(
        document: &Document,
        user: &User,
        peer: Option<IpAddr>,
        wish: Wish,
        defaults: &Defaults,
    ) -> Result<Self, Refusal> {
        if !wish.may(user) {
            return Err(not_allowed(wish));
        }
        let Some(conf) = &document.conf else {
            return Self::without_file(user, defaults);
        };
        let identity = Identity::of(user);
        let groups: Vec<&str> = identity.groups.iter().map(String::as_str).collect();
        let resolver = Resolver::new(conf, identity.person(user.name.as_str(), &groups, peer));
        let effective = Effective::of(&resolver).map_err(|why| misconfigured(user, &why))?;
        rights(&effective, wish)?;
        let at_rest = protection::uploads(&effective.encryption, wish)?;
        let bandwidth = match wish {
            Wish::Upload => &effective.incoming,
            Wish::Download | Wish::Remove | Wish::List => &effective.outgoing,
        };
        let filter = files::filter(&effective.files, user)?;
        let mut root = RootPlan::of(&effective, user, defaults)?;
        if wish == Wish::Upload && !filter.is_empty() {
            // The client sends what it likes: what the rules leave out does not come in.
            root.admit_only(filter.clone());
        }
        if at_rest.is_protected {
            root.admit_envelopes_only();
        }
        let policy = Self {
            root,
            rates: rates::rules(bandwidth, user, defaults.fixed_cap),
            ciphers: protection::ciphers(&effective.encryption, &defaults.ciphers)?,
            files: files::grant(&effective.files, user, defaults)?,
            filter: filter.rules().to_vec(),
            data_timeout: limited(effective.timeouts.session.said()),
            hello_timeout: limited(effective.timeouts.connection.said()),
            udp_port: effective.udp_port.said().copied(),
            datagram_max: datagram(effective.datagram_size.said().copied().flatten()),
            trunk: bandwidth.trunk.value,
            at_rest,
            log_files: effective.log.files.said() == Some(&true),
            log_interval: interval(&effective.log),
            manifest: manifest(&effective.files.manifest)?,
        };
        policy.on_link(document, bandwidth)
    }

    fn without_file(user: &User, defaults: &Defaults) -> Result<Self, Refusal> {
        Ok(Self {
            root: RootPlan::of_account(user, defaults)?,
            rates: rates::of_account(user, defaults.fixed_cap),
            ciphers: defaults.ciphers.clone(),
            files: FileGrant {
                keep_owner: defaults.keeps_owners,
                ..FileGrant::default()
            },
            filter: Vec::new(),
            data_timeout: None,
            hello_timeout: None,
            udp_port: None,
            datagram_max: None,
            trunk: None,
            at_rest: AtRest::default(),
            log_files: false,
            log_interval: None,
            manifest: None,
        })
    }

    /// Looks at the virtual link: one that is not there or off limits nothing, and `conf check` says so.
    fn on_link(mut self, document: &Document, bandwidth: &Bandwidth) -> Result<Self, Refusal> {
        self.trunk = bandwidth
            .trunk
            .value
            .filter(|id| document.trunk(*id).is_some());
        Ok(self)
    }
}

fn not_allowed(wish: Wish) -> Refusal {
    let text = format!("the account may not {}", wish.words());
    Refusal::new(ErrorCode::Authorization, text)
        .hint("ask the server's administrator for the permission")
}

/// Rights in the docroot, and who authorises transfers.
fn rights(effective: &Effective, wish: Wish) -> Result<(), Refusal> {
    let (may, authorization, asks_elsewhere) = match wish {
        Wish::Upload => (
            &effective.may_write,
            effective.uploads.value,
            effective.uploads_ask_elsewhere.value,
        ),
        Wish::Download => (
            &effective.may_read,
            effective.downloads.value,
            effective.downloads_ask_elsewhere.value,
        ),
        Wish::Remove => (&effective.may_write, Authorization::Allow, false),
        Wish::List => (&effective.may_list, Authorization::Allow, false),
    };
    if !may.value || authorization == Authorization::Deny {
        return Err(not_allowed(wish));
    }
    if authorization == Authorization::Token {
        let text = format!("the account may {} with a token only", wish.words());
        return Err(Refusal::new(ErrorCode::Unauthorized, text)
            .hint("start the transfer from the application that issues tokens for this server"));
    }
    if asks_elsewhere {
        // Nobody is asked here, so nobody has agreed.
        let text = "the server cannot ask the service that authorises transfers";
        return Err(Refusal::new(ErrorCode::Unauthorized, text).hint(ADMINISTRATOR));
    }
    Ok(())
}

/// What a client can do about a configuration that does not work.
pub(crate) const ADMINISTRATOR: &str =
    "tell the server's administrator; the server's log has the reason";

/// The configuration cannot be resolved for this account: the reason is the administrator's business.
pub(super) fn misconfigured(user: &User, why: &dyn std::fmt::Display) -> Refusal {
    error!(
        user = user.name.as_str(),
        errcode = ErrorCode::BadConfiguration.number(),
        "the configuration does not work for this account: {why}"
    );
    Refusal::new(
        ErrorCode::BadConfiguration,
        "the server's configuration does not work for this account",
    )
    .hint(ADMINISTRATOR)
}

/// A time-out that somebody set: at least a second, at most a day (rule W-40 holds for administrators' slips as well).
fn limited(time: Option<&Duration>) -> Option<Duration> {
    let (least, most) = (Duration::from_secs(1), Duration::from_secs(86_400));
    let time = time.filter(|time| !time.is_zero())?;
    Some((*time).clamp(least, most))
}

fn interval(log: &LogRule) -> Option<Duration> {
    log.interval
        .said()
        .copied()
        .filter(|interval| !interval.is_zero())
}

fn datagram(size: Option<u32>) -> Option<u16> {
    use fasp_net::request::{DATAGRAM_MAX, DATAGRAM_MIN};

    size.map(|size| {
        u16::try_from(size)
            .unwrap_or(DATAGRAM_MAX)
            .clamp(DATAGRAM_MIN, DATAGRAM_MAX)
    })
}

fn manifest(manifest: &Manifest) -> Result<Option<ManifestPlan>, Refusal> {
    if !manifest.is_on.value {
        return Ok(None);
    }
    let Some(directory) = manifest.directory.value.clone() else {
        error!("aspera.conf: file_manifest needs file_manifest_path");
        let text = "the server cannot write the receipt that it has to keep";
        return Err(Refusal::new(ErrorCode::BadConfiguration, text).hint(ADMINISTRATOR));
    };
    let suffix = manifest.suffix.value.clone().unwrap_or_default();
    Ok(Some(ManifestPlan { directory, suffix }))
}
