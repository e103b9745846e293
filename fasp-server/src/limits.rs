//! What a server lets be open at once. Connections that have not logged in are counted by the endpoint itself.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::users::UserName;

/// Sessions of one UDP port, in set-up or running (protocol §12).
pub const SESSIONS_PER_PORT: u32 = 4096;
/// Authenticated sessions of a server (protocol §12).
pub const SESSIONS_PER_SERVER: u32 = 1024;
/// Authenticated sessions of one user (protocol §12).
pub const SESSIONS_PER_USER: u32 = 32;

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
}

/// A place for one session; given back when dropped.
#[derive(Debug)]
pub struct SessionPlace {
    registry: SessionRegistry,
    user: UserName,
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

    /// Returns how many sessions are open.
    pub fn sessions(&self) -> u32 {
        self.counts().sessions
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Every change below leaves the counts consistent, so a panic elsewhere does not matter.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SessionPlace {
    fn drop(&mut self) {
        let mut counts = self.registry.counts();
        counts.sessions = counts.sessions.saturating_sub(1);
        release(&mut counts.by_user, &self.user);
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
}
