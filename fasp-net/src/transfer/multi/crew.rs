//! The sessions of a transfer that run, steered as one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender, unbounded};
use fasp_core::{ErrorCode, Rate, RatePolicy, SessionId};
use tokio::sync::mpsc;

use super::Shared;
use crate::control::message::Locks;
use crate::control::{Message, message};
use crate::engine::{Command, Handle};
use crate::event::RateChange;

/// A session that runs.
#[derive(Debug, Clone)]
pub(in crate::transfer) struct Member {
    pub(in crate::transfer) session: SessionId,
    pub(in crate::transfer) handle: Handle,
}

/// Rates of the whole transfer.
#[derive(Debug, Clone, Copy)]
pub(in crate::transfer) struct Wanted {
    pub(in crate::transfer) target: Option<Rate>,
    pub(in crate::transfer) min: Rate,
    /// The server's.
    pub(in crate::transfer) cap: Option<Rate>,
    /// What the server does not let us change.
    pub(in crate::transfer) locks: Locks,
}

impl Wanted {
    /// What each of `count` sessions gets (protocol §13.1).
    pub(super) fn share(self, count: usize) -> (Option<Rate>, Rate) {
        let part = |rate: Rate| {
            Rate::from_bits_per_second((rate.bits_per_second() / count.max(1) as u64).max(1))
        };
        let ceiling = match (self.target, self.cap) {
            (Some(target), Some(cap)) => Some(target.min(cap)),
            (target, cap) => target.or(cap),
        };
        let min = match self.min {
            Rate::ZERO => Rate::ZERO,
            min => part(min),
        };
        (ceiling.map(part), min)
    }
}

/// The running sessions. Clones share them.
#[derive(Debug, Clone)]
pub(in crate::transfer) struct Crew(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    is_upload: bool,
    wishes: mpsc::UnboundedSender<Message>,
    joins: Sender<Member>,
    /// Of file data now, kbit/s.
    rate: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    members: Vec<Member>,
    rates: Wanted,
    is_paused: bool,
    /// Of the rates, not told yet.
    changes: Vec<RateChange>,
    /// Why every session ends.
    end: Option<Command>,
    /// The result is known: nobody joins any more.
    is_over: bool,
    /// What is shared, once there may be a second session.
    shared: Option<Shared>,
}

impl Crew {
    /// A crew of one, and where those appear who join it.
    pub(in crate::transfer) fn new(
        first: Member,
        rates: Wanted,
        is_upload: bool,
        wishes: mpsc::UnboundedSender<Message>,
        shared: Option<Shared>,
    ) -> (Self, Receiver<Member>) {
        let (joins, joined) = unbounded();
        // The receiver is returned, so this one arrives.
        joins.send(first.clone()).ok();
        let inner = Inner {
            is_upload,
            wishes,
            joins,
            rate: AtomicU64::new(0),
            state: Mutex::new(State {
                members: vec![first],
                rates,
                is_paused: false,
                changes: Vec::new(),
                end: None,
                is_over: false,
                shared,
            }),
        };
        (Self(Arc::new(inner)), joined)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is whole when the lock is free, whoever panicked.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::transfer) fn wish(&self, message: impl Into<Message>) {
        // A transfer that is over needs no steering.
        self.0.wishes.send(message.into()).ok();
    }

    /// Takes a further session in; false when the transfer is over, and the session is ended.
    pub(super) fn join(&self, member: Member) -> bool {
        let mut state = self.state();
        let refusal = state.is_over.then(|| Command::Abort {
            code: ErrorCode::Cancelled,
            message: "the transfer is over".into(),
        });
        if let Some(end) = state.end.clone().or(refusal) {
            member.handle.send(end);
        }
        if state.is_over {
            return false;
        }
        if state.is_paused {
            self.pause_one(&member, true);
        }
        state.members.push(member.clone());
        self.divide(&state, None);
        // The events thread lives until the transfer is over.
        self.0.joins.send(member).ok();
        true
    }

    /// How many sessions were started.
    pub(super) fn count(&self) -> usize {
        self.state().members.len()
    }

    pub(super) fn rates(&self) -> Wanted {
        self.state().rates
    }

    /// Whether another session may be started.
    pub(super) fn is_open(&self) -> bool {
        let state = self.state();
        !state.is_over && state.end.is_none()
    }

    /// The result is known when nobody has joined until now.
    pub(in crate::transfer) fn close(&self) {
        let mut state = self.state();
        state.is_over = true;
        if let Some(shared) = &state.shared {
            shared.close();
        }
    }

    /// A further session has ended well.
    pub(in crate::transfer) fn leave(&self) {
        if let Some(shared) = &self.state().shared {
            shared.leave();
        }
    }

    /// Ends every session, and those that join later.
    pub(in crate::transfer) fn abort(&self, code: ErrorCode, message: &str) {
        let end = Command::Abort {
            code,
            message: message.to_owned(),
        };
        let mut state = self.state();
        for member in &state.members {
            member.handle.send(end.clone());
        }
        state.end.get_or_insert(end);
    }

    pub(in crate::transfer) fn set_paused(&self, paused: bool) {
        let mut state = self.state();
        state.is_paused = paused;
        for member in &state.members {
            self.pause_one(member, paused);
        }
    }

    fn pause_one(&self, member: &Member, paused: bool) {
        if self.0.is_upload {
            member.handle.send(Command::Pause(paused));
        } else {
            self.wish(message::Pause {
                session_id: member.session,
                paused,
            });
        }
    }

    /// Changes the rates of the whole transfer; what is absent stays.
    pub(in crate::transfer) fn set_rates(
        &self,
        target: Option<Rate>,
        min: Option<Rate>,
        policy: Option<RatePolicy>,
    ) {
        let mut state = self.state();
        let locks = state.rates.locks;
        let target = target.filter(|_| !locks.target);
        let min = min.filter(|_| !locks.min);
        let policy = policy.filter(|_| !locks.policy);
        if let [only] = &state.members[..] {
            self.rates_one(only, target, min, policy);
        }
        state.rates.target = target.or(state.rates.target);
        state.rates.min = min.unwrap_or(state.rates.min);
        let cap = state.rates.cap.unwrap_or(Rate::MAX);
        let kbps = |rate: Rate| rate.min(cap).kbps();
        state.changes.push(RateChange {
            target_rate_kbps: target.map(kbps),
            min_rate_kbps: min.map(kbps),
            policy,
        });
        self.divide(&state, policy);
    }

    /// What has been changed since this was asked last.
    pub(in crate::transfer) fn take_changes(&self) -> Vec<RateChange> {
        std::mem::take(&mut self.state().changes)
    }

    /// Gives each of several sessions its part of the rates.
    fn divide(&self, state: &State, policy: Option<RatePolicy>) {
        let count = state.members.len();
        if count < 2 {
            return;
        }
        let (target, min) = state.rates.share(count);
        if target.is_some() || state.rates.min > Rate::ZERO || policy.is_some() {
            for member in &state.members {
                self.rates_one(member, target, Some(min), policy);
            }
        }
    }

    fn rates_one(
        &self,
        member: &Member,
        target: Option<Rate>,
        min: Option<Rate>,
        policy: Option<RatePolicy>,
    ) {
        if self.0.is_upload {
            member.handle.send(Command::Rates {
                target,
                min,
                policy,
            });
        }
        // The server clamps, logs, and for a download applies it.
        self.wish(message::Rate {
            session_id: member.session,
            target_rate: target,
            min_rate: min,
            policy,
        });
    }

    pub(in crate::transfer) fn set_rate_now(&self, kbps: u64) {
        self.0.rate.store(kbps, Ordering::Relaxed);
    }

    pub(super) fn rate_now(&self) -> Rate {
        Rate::from_kbps(self.0.rate.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_share_the_lower_of_target_and_cap() {
        let wanted = |target, cap| Wanted {
            target,
            min: Rate::from_mbps(30),
            cap,
            locks: Locks::default(),
        };
        let (mbps, tenth) = (Rate::from_mbps, Rate::from_mbps(10));
        assert_eq!(wanted(None, None).share(3), (None, tenth));
        assert_eq!(
            wanted(Some(mbps(900)), None).share(3),
            (Some(mbps(300)), tenth)
        );
        assert_eq!(
            wanted(Some(mbps(900)), Some(mbps(300))).share(3),
            (Some(mbps(100)), tenth)
        );
        assert_eq!(
            wanted(None, Some(mbps(300))).share(3),
            (Some(mbps(100)), tenth)
        );
    }
}
