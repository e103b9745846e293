//! What a server lets be open at once.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::users::UserName;

/// Sessions of one UDP port, in set-up or running (protocol §12).
pub const SESSIONS_PER_PORT: u32 = 4096;
/// Authenticated sessions of a server (protocol §12).
pub const SESSIONS_PER_SERVER: u32 = 1024;
/// Authenticated sessions of one user (protocol §12).
pub const SESSIONS_PER_USER: u32 = 32;
/// Control connections that have not logged in yet.
pub const LOGINS_PER_SERVER: u32 = 64;
/// Control connections from one source network that have not logged in yet.
pub const LOGINS_PER_SOURCE: u32 = 8;
/// How long a control connection may take to log in.
pub const LOGIN_TIME: Duration = Duration::from_secs(30);

/// Which limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitReached {
    /// [`SESSIONS_PER_SERVER`].
    #[error("the server is busy: it has {0} sessions, its limit")]
    Server(u32),
    /// [`SESSIONS_PER_USER`] or the account's own limit.
    #[error("the user is busy: {0} sessions are open, the account's limit")]
    User(u32),
    /// [`LOGINS_PER_SERVER`].
    #[error("the server is busy: {0} connections are logging in, its limit")]
    Logins(u32),
    /// [`LOGINS_PER_SOURCE`].
    #[error("too many connections from one network are logging in: {0}")]
    Source(u32),
}

/// Counts what is open. Clones share the counts.
#[derive(Debug, Clone, Default)]
pub struct SessionRegistry {
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    sessions: u32,
    by_user: HashMap<UserName, u32>,
    logins: u32,
    by_source: HashMap<Source, u32>,
}

/// An IPv4 address, or the first 64 bits of an IPv6 address: what one subscriber usually has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Source(IpAddr);

/// A place for one session; given back when dropped.
#[derive(Debug)]
pub struct SessionPlace {
    registry: SessionRegistry,
    user: UserName,
}

/// A place for one connection that logs in; given back when dropped.
#[derive(Debug)]
pub struct LoginPlace {
    registry: SessionRegistry,
    source: Source,
}

impl SessionRegistry {
    /// Takes a place for a session of `user`, whose account may allow fewer than the protocol does.
    ///
    /// # Errors
    ///
    /// The limit that was reached; nothing is counted then.
    pub fn open_session(
        &self,
        user: &UserName,
        account_limit: Option<u32>,
    ) -> Result<SessionPlace, LimitReached> {
        let limit = account_limit
            .unwrap_or(SESSIONS_PER_USER)
            .min(SESSIONS_PER_USER);
        let mut counts = self.counts();
        if counts.sessions >= SESSIONS_PER_SERVER {
            return Err(LimitReached::Server(SESSIONS_PER_SERVER));
        }
        if counts.by_user.get(user).is_some_and(|open| *open >= limit) || limit == 0 {
            return Err(LimitReached::User(limit));
        }
        counts.sessions += 1;
        *counts.by_user.entry(user.clone()).or_default() += 1;
        Ok(SessionPlace {
            registry: self.clone(),
            user: user.clone(),
        })
    }

    /// Takes a place for a connection that has not logged in.
    ///
    /// # Errors
    ///
    /// The limit that was reached; nothing is counted then.
    pub fn open_login(&self, address: IpAddr) -> Result<LoginPlace, LimitReached> {
        let source = Source::of(address);
        let mut counts = self.counts();
        if counts.logins >= LOGINS_PER_SERVER {
            return Err(LimitReached::Logins(LOGINS_PER_SERVER));
        }
        if counts
            .by_source
            .get(&source)
            .is_some_and(|open| *open >= LOGINS_PER_SOURCE)
        {
            return Err(LimitReached::Source(LOGINS_PER_SOURCE));
        }
        counts.logins += 1;
        *counts.by_source.entry(source).or_default() += 1;
        Ok(LoginPlace {
            registry: self.clone(),
            source,
        })
    }

    /// Returns how many sessions are open.
    pub fn sessions(&self) -> u32 {
        self.counts().sessions
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Every change below leaves the counts consistent, so a panic elsewhere does not matter.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(v4.into()),
            IpAddr::V6(v6) => {
                let network = v6.to_bits() & !u128::from(u64::MAX);
                Self(Ipv6Addr::from_bits(network).into())
            }
        }
    }
}

impl Drop for SessionPlace {
    fn drop(&mut self) {
        let mut counts = self.registry.counts();
        counts.sessions = counts.sessions.saturating_sub(1);
        release(&mut counts.by_user, &self.user);
    }
}

impl Drop for LoginPlace {
    fn drop(&mut self) {
        let mut counts = self.registry.counts();
        counts.logins = counts.logins.saturating_sub(1);
        release(&mut counts.by_source, &self.source);
    }
}

/// Takes one off a count, and forgets it at zero: the map holds only what is open.
fn release<K: Eq + std::hash::Hash>(counts: &mut HashMap<K, u32>, key: &K) {
    if let Some(open) = counts.get_mut(key) {
        *open = open.saturating_sub(1);
        if *open == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> UserName {
        text.parse().unwrap()
    }

    #[test]
    fn a_user_gets_32_sessions_and_not_one_more() {
        let registry = SessionRegistry::default();
        let lea = name("lea");
        let mut places: Vec<_> = (0..SESSIONS_PER_USER)
            .map(|_| registry.open_session(&lea, None).unwrap())
            .collect();
        assert_eq!(
            registry.open_session(&lea, Some(1000)).unwrap_err(),
            LimitReached::User(32)
        );
        assert!(registry.open_session(&name("ben"), None).is_ok());
        places.pop();
        assert!(registry.open_session(&lea, None).is_ok());
    }

    #[test]
    fn an_account_may_have_a_lower_limit_or_none_at_all() {
        let registry = SessionRegistry::default();
        let lea = name("lea");
        let _place = registry.open_session(&lea, Some(1)).unwrap();
        assert!(registry.open_session(&lea, Some(1)).is_err());
        assert!(registry.open_session(&name("ben"), Some(0)).is_err());
    }

    #[test]
    fn a_server_has_1024_sessions_and_places_come_back() {
        let registry = SessionRegistry::default();
        let places: Vec<_> = (0..SESSIONS_PER_SERVER)
            .map(|i| {
                registry
                    .open_session(&name(&format!("u{}", i / 32)), None)
                    .unwrap()
            })
            .collect();
        assert_eq!(
            registry.open_session(&name("late"), None).unwrap_err(),
            LimitReached::Server(1024)
        );
        assert_eq!(registry.sessions(), 1024);
        drop(places);
        assert_eq!(registry.sessions(), 0);
        assert!(registry.counts().by_user.is_empty());
    }

    #[test]
    fn logins_are_counted_by_source_network() {
        let registry = SessionRegistry::default();
        let host = |n: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, n));
        let places: Vec<_> = (0..8)
            .map(|n| registry.open_login(host(n)).unwrap())
            .collect();
        assert_eq!(
            registry.open_login(host(99)).unwrap_err(),
            LimitReached::Source(8)
        );
        assert!(registry.open_login("192.0.2.1".parse().unwrap()).is_ok());
        drop(places);
        assert!(registry.open_login(host(99)).is_ok());
    }

    #[test]
    fn an_ipv4_source_counts_the_same_through_an_ipv6_socket() {
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(Source::of(mapped), Source::of("192.0.2.1".parse().unwrap()));
    }
}
