//! The sessions of a server, seen from outside the control connections that opened them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use fasp_core::{ErrorCode, SessionId};

use crate::engine::{Command, Handle};

/// Every session that runs in a [`Context`](super::Context). Clones share them.
#[derive(Debug, Clone, Default)]
pub struct RunningSessions(Arc<Mutex<Running>>);

#[derive(Debug, Default)]
struct Running {
    handles: BTreeMap<u64, Handle>,
    /// Why no session may run any more.
    end: Option<Command>,
}

impl RunningSessions {
    /// Returns how many sessions run.
    pub fn count(&self) -> usize {
        self.running().handles.len()
    }

    /// Returns their ids, in no particular order.
    pub fn ids(&self) -> Vec<SessionId> {
        self.running()
            .handles
            .keys()
            .map(|id| SessionId(*id))
            .collect()
    }

    /// Ends one session and tells its client why, over the data path; false when there is no such session any more.
    pub fn cancel(&self, id: SessionId, code: ErrorCode, message: &str) -> bool {
        let running = self.running();
        let handle = running.handles.get(&id.0);
        if let Some(handle) = handle {
            handle.send(abort(code, message));
        }
        handle.is_some()
    }

    /// Sends a wish to one session, without waiting for it; false when there is no such session any more.
    pub fn command(&self, id: SessionId, command: Command) -> bool {
        let running = self.running();
        let handle = running.handles.get(&id.0);
        if let Some(handle) = handle {
            handle.offer(command);
        }
        handle.is_some()
    }

    /// Ends every session that runs, and every one that would start from now on, as [`cancel`](Self::cancel) does.
    ///
    /// Returns at once; [`count`](Self::count) tells when the last one is gone.
    pub fn end_all(&self, code: ErrorCode, message: &str) {
        let mut running = self.running();
        let end = abort(code, message);
        for handle in running.handles.values() {
            handle.send(end.clone());
        }
        running.end = Some(end);
    }

    /// Counts a session until the place is dropped.
    pub(super) fn enter(&self, id: SessionId, handle: &Handle) -> Place {
        let mut running = self.running();
        running.handles.insert(id.0, handle.clone());
        if let Some(end) = &running.end {
            handle.send(end.clone());
        }
        Place {
            sessions: self.clone(),
            id,
        }
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        // A map of handles is whole whenever the lock is free, whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session's entry among those that run.
#[derive(Debug)]
pub(super) struct Place {
    sessions: RunningSessions,
    id: SessionId,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sessions.running().handles.remove(&self.id.0);
    }
}

/// The wish that a session ends.
pub(super) fn abort(code: ErrorCode, message: &str) -> Command {
    Command::Abort {
        code,
        message: message.to_owned(),
    }
}
