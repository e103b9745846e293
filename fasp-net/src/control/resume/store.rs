//! What a server remembers of those it let in (protocol §2.5): in memory only, bounded, each ticket for one use.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use fasp_core::PathMemory;
use zeroize::Zeroizing;

use crate::control::{message::Ticket, ssh::server::UserHandle};

/// How long a ticket lasts once the connection that got it has ended (protocol §12).
pub(super) const LIFETIME: Duration = Duration::from_secs(120);
/// How long after a log-in one ticket may lead to the next: whoever lost the key must not stay for ever.
const MAX_CHAIN: Duration = Duration::from_secs(3600);
/// Tickets of a server.
const MAX_TICKETS: usize = 4096;
/// Tickets of an account.
const MAX_OF_ACCOUNT: usize = 8;

/// Who a ticket lets in.
#[derive(Clone)]
pub(super) struct Remembered {
    pub(super) secret: Zeroizing<[u8; 32]>,
    pub(super) user: UserHandle,
    /// What the account was like before the log-in.
    pub(super) state: [u8; 32],
    /// When the user last proved who it is.
    pub(super) logged_in: Instant,
    /// What the server saw of the path as a sender of files.
    pub(super) path: Option<PathMemory>,
}

struct Entry {
    remembered: Remembered,
    /// When it is forgotten; nothing while its connection lasts.
    ends: Option<Instant>,
    /// Grows from one to the next.
    age: u64,
}

#[derive(Default)]
struct Entries {
    by_id: HashMap<[u8; 16], Entry>,
    issued: u64,
}

/// The tickets of a server. Clones share them.
#[derive(Clone, Default)]
pub struct Tickets(Arc<Mutex<Entries>>);

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tickets").field(&self.count()).finish()
    }
}

impl Tickets {
    /// Returns how many there are.
    pub fn count(&self) -> usize {
        self.entries().by_id.len()
    }

    /// Makes a ticket, which does not age before [`release`](Self::release).
    fn issue(&self, now: Instant, user: UserHandle, state: [u8; 32], logged_in: Instant) -> Ticket {
        let mut ticket = Ticket {
            id: [0; 16],
            secret: [0; 32],
            lifetime: LIFETIME.as_secs() as u32,
        };
        crate::fill_random(&mut ticket.id);
        crate::fill_random(&mut ticket.secret);
        let mut entries = self.entries();
        entries.by_id.retain(|_, entry| !entry.is_over(now));
        let of_account = |entry: &Entry| entry.remembered.user == user;
        if entries.by_id.values().filter(|e| of_account(e)).count() >= MAX_OF_ACCOUNT {
            entries.forget_oldest(of_account);
        }
        if entries.by_id.len() >= MAX_TICKETS {
            entries.forget_oldest(|_| true);
        }
        entries.issued += 1;
        let age = entries.issued;
        let remembered = Remembered {
            secret: Zeroizing::new(ticket.secret),
            user,
            state,
            logged_in,
            path: None,
        };
        let entry = Entry {
            remembered,
            ends: None,
            age,
        };
        entries.by_id.insert(ticket.id, entry);
        ticket
    }

    /// From now on the ticket ages.
    fn release(&self, now: Instant, id: &[u8; 16]) {
        if let Some(entry) = self.entries().by_id.get_mut(id) {
            entry.ends = Some(now + LIFETIME);
        }
    }

    fn remember(&self, id: &[u8; 16], path: PathMemory) {
        if let Some(entry) = self.entries().by_id.get_mut(id) {
            entry.remembered.path = Some(path);
        }
    }

    /// Looks at a ticket without using it: whoever merely knows the id must not use it up.
    pub(super) fn find(&self, now: Instant, id: &[u8; 16]) -> Option<Zeroizing<[u8; 32]>> {
        let entries = self.entries();
        let entry = entries.by_id.get(id).filter(|entry| !entry.is_over(now))?;
        Some(entry.remembered.secret.clone())
    }

    /// Uses a ticket; of several that try at once, one gets it.
    pub(super) fn take(&self, now: Instant, id: &[u8; 16]) -> Option<Remembered> {
        let entry = self.entries().by_id.remove(id)?;
        (!entry.is_over(now)).then_some(entry.remembered)
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // Every change is a single call on the map, so it is whole whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_over(&self, now: Instant) -> bool {
        self.ends.is_some_and(|ends| now >= ends)
    }
}

impl Entries {
    fn forget_oldest(&mut self, of: impl Fn(&Entry) -> bool) {
        let candidates = self.by_id.iter().filter(|(_, entry)| of(entry));
        let oldest = candidates
            .min_by_key(|(_, entry)| entry.age)
            .map(|(id, _)| *id);
        if let Some(id) = oldest {
            self.by_id.remove(&id);
        }
    }
}

/// The right of one connection to one ticket.
pub struct Issuer {
    tickets: Tickets,
    user: UserHandle,
    state: [u8; 32],
    logged_in: Instant,
    issued: Mutex<Option<[u8; 16]>>,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Issuer {
    pub(in crate::control) fn new(
        tickets: Tickets,
        user: UserHandle,
        state: [u8; 32],
        logged_in: Instant,
    ) -> Self {
        Self {
            tickets,
            user,
            state,
            logged_in,
            issued: Mutex::default(),
        }
    }

    /// Returns the connection's ticket the first time, and nothing after that or when the log-in was too long ago.
    pub fn issue(&self) -> Option<Ticket> {
        let mut issued = self.issued();
        let now = Instant::now();
        if issued.is_some() || now.saturating_duration_since(self.logged_in) >= MAX_CHAIN {
            return None;
        }
        let user = self.user.clone();
        let ticket = self.tickets.issue(now, user, self.state, self.logged_in);
        *issued = Some(ticket.id);
        Some(ticket)
    }

    /// Keeps what a session saw of the path for the one that comes with the ticket.
    pub fn remember(&self, path: PathMemory) {
        if let Some(id) = *self.issued() {
            self.tickets.remember(&id, path);
        }
    }

    fn issued(&self) -> MutexGuard<'_, Option<[u8; 16]>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        if let Some(id) = *self.issued() {
            self.tickets.release(Instant::now(), &id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserHandle {
        UserHandle {
            name: name.to_owned(),
        }
    }

    #[test]
    fn w1_a_ticket_is_taken_once() {
        let (tickets, now) = (Tickets::default(), Instant::now());
        let ticket = tickets.issue(now, user("ada"), [1; 32], now);
        assert_eq!(
            tickets.find(now, &ticket.id).as_deref(),
            Some(&ticket.secret)
        );
        assert_eq!(tickets.find(now, &[0; 16]), None);
        let taken = tickets.take(now, &ticket.id).unwrap();
        assert_eq!((taken.user, taken.state), (user("ada"), [1; 32]));
        assert!(tickets.take(now, &ticket.id).is_none());
        assert!(tickets.find(now, &ticket.id).is_none());
    }

    #[test]
    fn a_ticket_lasts_two_minutes_from_the_end_of_its_connection() {
        let (tickets, now) = (Tickets::default(), Instant::now());
        let ticket = tickets.issue(now, user("ada"), [1; 32], now);
        let hour = now + Duration::from_secs(3600);
        assert!(
            tickets.find(hour, &ticket.id).is_some(),
            "its connection lasts"
        );
        tickets.release(hour, &ticket.id);
        let last = hour + LIFETIME - Duration::from_millis(1);
        assert!(tickets.find(last, &ticket.id).is_some());
        assert!(tickets.find(hour + LIFETIME, &ticket.id).is_none());
        assert!(tickets.take(hour + LIFETIME, &ticket.id).is_none());
    }

    #[test]
    fn tickets_are_bounded_in_all_and_for_an_account_and_the_oldest_goes() {
        let (tickets, now) = (Tickets::default(), Instant::now());
        let first = tickets.issue(now, user("ada"), [1; 32], now);
        let second = tickets.issue(now, user("ada"), [1; 32], now);
        for _ in 1..MAX_OF_ACCOUNT {
            tickets.issue(now, user("ada"), [1; 32], now);
        }
        assert!(tickets.find(now, &first.id).is_none());
        assert!(tickets.find(now, &second.id).is_some());
        for number in 0..MAX_TICKETS {
            tickets.issue(now, user(&format!("u{number}")), [1; 32], now);
        }
        assert_eq!(tickets.count(), MAX_TICKETS);
        assert!(tickets.find(now, &second.id).is_none());
    }

    #[test]
    fn a_connection_gets_one_ticket_and_its_end_starts_the_clock() {
        let tickets = Tickets::default();
        let issuer = Issuer::new(tickets.clone(), user("ada"), [1; 32], Instant::now());
        let ticket = issuer.issue().unwrap();
        assert!(issuer.issue().is_none());
        let path = PathMemory {
            rate: fasp_core::Rate::from_mbps(1),
            rtt: Duration::from_millis(1),
        };
        issuer.remember(path);
        drop(issuer);
        let later = Instant::now() + LIFETIME;
        assert!(tickets.find(later, &ticket.id).is_none());
        let taken = tickets.take(Instant::now(), &ticket.id).unwrap();
        assert_eq!(taken.path, Some(path));
    }

    #[test]
    fn w1_an_hour_after_the_log_in_one_ticket_leads_to_no_other() {
        let Some(then) = Instant::now().checked_sub(MAX_CHAIN) else {
            // A machine that has not run for an hour.
            return;
        };
        let issuer = Issuer::new(Tickets::default(), user("ada"), [1; 32], then);
        assert!(issuer.issue().is_none());
    }
}
