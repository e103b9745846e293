//! The client's tickets, in a file of the user's own beside the list of known hosts (protocol §2.5).
//!
//! One line a ticket, fields separated by spaces: when it ends (seconds since 1970), port, rate in bit/s and round-trip
//! time in microseconds of the last upload (zero when not known), then in base64 host, user, credential, host key, id
//! and secret.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use data_encoding::BASE64;
use fasp_core::{PathMemory, Rate};
use zeroize::Zeroizing;

use crate::{
    Error,
    control::user_file::{self, Privacy},
};

/// Tickets kept for one server and account: as many transfers as are likely to run side by side.
const MAX_FOR_SERVER: usize = 4;
/// Tickets kept in all.
const MAX_TICKETS: usize = 256;
/// No ticket is believed to last longer, whatever a server says.
const MAX_LIFETIME: Duration = Duration::from_secs(120);

/// What a ticket is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control) struct Purpose {
    pub(in crate::control) host: String,
    pub(in crate::control) port: u16,
    pub(in crate::control) user: String,
}

/// A ticket as the client keeps it. Prints no secret.
#[derive(Clone)]
pub(in crate::control) struct Kept {
    pub(in crate::control) purpose: Purpose,
    /// What let the user in at the log-in that led to it.
    pub(in crate::control) credential: String,
    /// The server's key then, as known-hosts files have it.
    pub(in crate::control) host_key: String,
    pub(in crate::control) id: [u8; 16],
    pub(in crate::control) secret: Zeroizing<[u8; 32]>,
    pub(in crate::control) path: Option<PathMemory>,
    /// Seconds since 1970.
    ends: u64,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept")
            .field("purpose", &self.purpose)
            .finish_non_exhaustive()
    }
}

impl Kept {
    /// A ticket that ends `lifetime` from now, if the clock can tell.
    pub(in crate::control) fn new(
        purpose: Purpose,
        credential: String,
        host_key: String,
        ticket: &crate::control::message::Ticket,
        path: Option<PathMemory>,
    ) -> Self {
        let lifetime = Duration::from_secs(ticket.lifetime.into()).min(MAX_LIFETIME);
        Self {
            purpose,
            credential,
            host_key,
            id: ticket.id,
            secret: Zeroizing::new(ticket.secret),
            path,
            ends: now().saturating_add(lifetime.as_secs()),
        }
    }

    fn is_over(&self, now: u64) -> bool {
        // One from the future comes from a clock that was set back; it would never be over.
        now >= self.ends || self.ends > now.saturating_add(MAX_LIFETIME.as_secs())
    }

    fn line(&self) -> Zeroizing<String> {
        let path = self.path.unwrap_or(PathMemory {
            rate: Rate::ZERO,
            rtt: Duration::ZERO,
        });
        let secret = Zeroizing::new(BASE64.encode(&*self.secret));
        let [host, user, credential, host_key, id] = [
            self.purpose.host.as_bytes(),
            self.purpose.user.as_bytes(),
            self.credential.as_bytes(),
            self.host_key.as_bytes(),
            &self.id,
        ]
        .map(|field| BASE64.encode(field));
        Zeroizing::new(format!(
            "{} {} {} {} {host} {user} {credential} {host_key} {id} {}\n",
            self.ends,
            self.purpose.port,
            path.rate.bits_per_second(),
            path.rtt.as_micros(),
            *secret,
        ))
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(' ');
        let ends = fields.next()?.parse().ok()?;
        let port = fields.next()?.parse().ok()?;
        let rate: u64 = fields.next()?.parse().ok()?;
        let micros: u64 = fields.next()?.parse().ok()?;
        let mut decoded = || {
            let field = BASE64.decode(fields.next()?.as_bytes()).ok()?;
            Some(Zeroizing::new(field))
        };
        let mut text = || String::from_utf8(decoded()?.to_vec()).ok();
        let (host, user, credential, host_key) = (text()?, text()?, text()?, text()?);
        let id = decoded()?.as_slice().try_into().ok()?;
        let secret = Zeroizing::new(decoded()?.as_slice().try_into().ok()?);
        let rate = Rate::from_bits_per_second(rate.min(Rate::MAX.bits_per_second()));
        let path = (rate > Rate::ZERO && micros > 0).then(|| PathMemory {
            rate,
            rtt: Duration::from_micros(micros),
        });
        Some(Self {
            purpose: Purpose { host, port, user },
            credential,
            host_key,
            id,
            secret,
            path,
            ends,
        })
    }
}

/// The file. It need not exist yet.
#[derive(Debug, Clone)]
pub struct TicketFile {
    path: PathBuf,
}

impl TicketFile {
    /// Names the file that belongs to a list of known hosts: its name with `.tickets` behind it.
    pub fn beside(known_hosts: &Path) -> Self {
        let mut path = known_hosts.as_os_str().to_owned();
        path.push(".tickets");
        Self { path: path.into() }
    }

    /// Returns where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the newest ticket for `purpose` that `fits` out of the file; nothing when it cannot be taken out.
    ///
    /// # Errors
    /// [`Error::UserFile`] for a file that others may read or that cannot be read or written: it is not used.
    pub(in crate::control) fn take(
        &self,
        purpose: &Purpose,
        fits: impl Fn(&Kept) -> bool,
    ) -> Result<Option<Kept>, Error> {
        let mut kept = self.read()?;
        let is_right = |ticket: &Kept| ticket.purpose == *purpose && fits(ticket);
        let Some(at) = kept.iter().rposition(is_right) else {
            return Ok(None);
        };
        let ticket = kept.remove(at);
        // It is used only when nobody can use it again from here.
        self.write(&kept)?;
        Ok(Some(ticket))
    }

    /// Adds a ticket.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub(in crate::control) fn add(&self, ticket: Kept) -> Result<(), Error> {
        let mut kept = self.read()?;
        let of_server = |other: &Kept| other.purpose == ticket.purpose;
        let count = kept.iter().filter(|other| of_server(other)).count();
        if count >= MAX_FOR_SERVER
            && let Some(oldest) = kept.iter().position(of_server)
        {
            kept.remove(oldest);
        }
        let excess = (kept.len() + 1).saturating_sub(MAX_TICKETS);
        kept.drain(..excess);
        kept.push(ticket);
        self.write(&kept)
    }

    /// Returns the tickets that are not over, oldest first. Lines that are none are dropped.
    fn read(&self) -> Result<Vec<Kept>, Error> {
        let content = user_file::read(&self.path, Privacy::Secret)?;
        let Some(content) = content else {
            return Ok(Vec::new());
        };
        let now = now();
        let kept = content.lines().filter_map(Kept::parse);
        Ok(kept.filter(|ticket| !ticket.is_over(now)).collect())
    }

    fn write(&self, kept: &[Kept]) -> Result<(), Error> {
        let mut content = Zeroizing::new(String::with_capacity(kept.len() * 1024));
        for ticket in kept {
            content.push_str(&ticket.line());
        }
        user_file::replace(&self.path, content.as_bytes())
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "test set-up")]

    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;
    use crate::control::message::Ticket;

    fn purpose(user: &str) -> Purpose {
        Purpose {
            host: "h.example".to_owned(),
            port: 33001,
            user: user.to_owned(),
        }
    }

    fn kept(user: &str, id: u8, lifetime: u32) -> Kept {
        let ticket = Ticket {
            id: [id; 16],
            secret: [id; 32],
            lifetime,
        };
        let path = PathMemory {
            rate: Rate::from_mbps(80),
            rtt: Duration::from_millis(300),
        };
        let (credential, host_key) = ("key SHA256:x".to_owned(), "ssh-ed25519 AAAA".to_owned());
        Kept::new(purpose(user), credential, host_key, &ticket, Some(path))
    }

    fn file(dir: &tempfile::TempDir) -> TicketFile {
        TicketFile::beside(&dir.path().join("known_hosts"))
    }

    fn id(taken: Result<Option<Kept>, Error>) -> Option<u8> {
        taken.unwrap().map(|ticket| ticket.id[0])
    }

    #[test]
    fn a_ticket_comes_back_once_with_everything_that_belongs_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = file(&dir);
        assert_eq!(id(file.take(&purpose("ada"), |_| true)), None);
        file.add(kept("ada", 1, 120)).unwrap();
        let ticket = file.take(&purpose("ada"), |_| true).unwrap().unwrap();
        assert_eq!(ticket.line(), kept("ada", 1, 120).line());
        assert_eq!(*ticket.secret, [1; 32]);
        assert_eq!(id(file.take(&purpose("ada"), |_| true)), None);
    }

    #[test]
    fn a_ticket_is_for_one_host_port_user_and_credential() {
        let dir = tempfile::tempdir().unwrap();
        let file = file(&dir);
        file.add(kept("ada", 1, 120)).unwrap();
        assert_eq!(id(file.take(&purpose("eve"), |_| true)), None);
        let other_port = Purpose {
            port: 22,
            ..purpose("ada")
        };
        assert_eq!(id(file.take(&other_port, |_| true)), None);
        assert_eq!(
            id(file.take(&purpose("ada"), |t| t.credential == "asked")),
            None
        );
        assert_eq!(id(file.take(&purpose("ada"), |_| true)), Some(1));
    }

    #[test]
    fn what_is_over_or_from_the_future_or_no_ticket_is_not_used_and_the_newest_is() {
        let dir = tempfile::tempdir().unwrap();
        let file = file(&dir);
        file.add(kept("ada", 1, 0)).unwrap();
        let mut future = kept("ada", 2, 120);
        future.ends += 10;
        file.add(future).unwrap();
        assert_eq!(id(file.take(&purpose("ada"), |_| true)), None);
        for number in 3..9 {
            file.add(kept("ada", number, 120)).unwrap();
        }
        let text = fs::read_to_string(file.path()).unwrap();
        assert_eq!(text.lines().count(), MAX_FOR_SERVER);
        user_file::replace(file.path(), format!("rubbish\n{text}1 2 3").as_bytes()).unwrap();
        assert_eq!(id(file.take(&purpose("ada"), |_| true)), Some(8));
        assert_eq!(kept("ada", 1, u32::MAX).ends, kept("ada", 1, 120).ends);
    }

    #[test]
    fn c3_a_file_that_others_may_read_is_not_used_and_ours_is_0600() {
        let dir = tempfile::tempdir().unwrap();
        let file = file(&dir);
        file.add(kept("ada", 1, 120)).unwrap();
        let mode = || fs::metadata(file.path()).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o640)).unwrap();
        assert!(file.take(&purpose("ada"), |_| true).is_err());
    }

    #[test]
    fn c4_tickets_never_print() {
        let text = format!("{:?}", kept("ada", 7, 120));
        assert!(text.contains("ada") && !text.contains('7'), "{text}");
    }
}
