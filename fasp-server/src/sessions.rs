//! The sessions that run: what administrators see of them, and how they are steered.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use fasp_core::{
    ErrorCode, Rate, RateLimits, RatePolicy, SessionId, TransferId, session::Statistics,
};
use fasp_net::{
    engine::Command,
    serve::{GrantedRates, RunningSessions},
};
use transfer_spec::Direction;

use crate::{
    conf::Document,
    users::UserName,
    vlink::{Bounds, Link, ways, week_time},
};

/// Facts of a session that do not change.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) transfer: TransferId,
    pub(crate) user: UserName,
    pub(crate) peer: SocketAddr,
    pub(crate) direction: Direction,
    pub(crate) trunk: Option<u8>,
}

/// A session as it is now.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    pub(crate) facts: Facts,
    pub(crate) since: Instant,
    pub(crate) rates: GrantedRates,
    /// What an administrator allows at most.
    pub(crate) ceiling: Option<Rate>,
    /// What the virtual link allows at most.
    pub(crate) share: Option<Rate>,
    pub(crate) statistics: Statistics,
    /// What is moved now, over about a second.
    pub(crate) rate: Rate,
    counted: (u64, Instant),
}

/// Every session and virtual link of a server. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct SessionTable(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    sessions: BTreeMap<u64, Live>,
    links: BTreeMap<u8, Link>,
    /// Where wishes go; nothing before the server runs.
    running: Option<RunningSessions>,
    document: Arc<Document>,
}

/// A virtual link as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkState {
    pub(crate) id: u8,
    pub(crate) name: String,
    /// Of a link with a capacity for each direction.
    pub(crate) direction: Option<Direction>,
    pub(crate) capacity: Rate,
    pub(crate) used: Rate,
    pub(crate) sessions: usize,
}

/// An entry of the table; taken out when dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    table: SessionTable,
    id: SessionId,
}

/// The shortest time a shown rate is measured over.
const MEASURED: std::time::Duration = std::time::Duration::from_millis(400);

impl SessionTable {
    /// Says where wishes go, and what is in force.
    pub(crate) fn begin(&self, running: RunningSessions, document: Arc<Document>) {
        let mut table = self.table();
        table.running = Some(running);
        table.document = document;
    }

    /// Says what is in force from now on: capacities change at once, what sessions were granted stays.
    pub(crate) fn set_document(&self, document: Arc<Document>) {
        let mut table = self.table();
        table.document = document;
        table.share(Instant::now());
    }

    /// Takes a session in.
    pub(crate) fn enter(&self, id: SessionId, facts: Facts, rates: GrantedRates) -> Entry {
        let now = Instant::now();
        let mut table = self.table();
        let live = Live {
            facts,
            since: now,
            rates,
            ceiling: None,
            share: None,
            statistics: Statistics::default(),
            rate: Rate::ZERO,
            counted: (0, now),
        };
        if let Some(trunk) = live.facts.trunk {
            let link = table.links.entry(trunk).or_default();
            link.join(id.0, live.facts.direction, live.bounds(), now);
        }
        table.sessions.insert(id.0, live);
        table.share(now);
        Entry {
            table: self.clone(),
            id,
        }
    }

    /// Takes a session's figures.
    pub(crate) fn on_statistics(&self, id: SessionId, statistics: &Statistics) {
        let now = Instant::now();
        let mut table = self.table();
        let bytes = statistics.bytes_sent + statistics.bytes_received;
        let Some(live) = table.sessions.get_mut(&id.0) else {
            return;
        };
        live.statistics = *statistics;
        let (before, then) = live.counted;
        let elapsed = now.saturating_duration_since(then);
        if elapsed >= MEASURED {
            live.rate = Rate::from_bytes_in(bytes.saturating_sub(before), elapsed);
            live.counted = (bytes, now);
        }
        if let Some(trunk) = live.facts.trunk
            && let Some(link) = table.links.get_mut(&trunk)
        {
            link.on_bytes(id.0, bytes, now);
            table.share(now);
        }
    }

    /// Takes what a client has changed in flight: its virtual link shares by the new policy.
    pub(crate) fn on_limits(&self, id: SessionId, limits: RateLimits) {
        let mut table = self.table();
        let Some(live) = table.sessions.get_mut(&id.0) else {
            return;
        };
        live.rates = GrantedRates {
            target: limits.target,
            min: limits.min,
            policy: limits.policy,
            ..live.rates
        };
        let (bounds, trunk) = (live.bounds(), live.facts.trunk);
        if let Some(link) = trunk.and_then(|trunk| table.links.get_mut(&trunk)) {
            link.set_bounds(id.0, bounds);
            table.share(Instant::now());
        }
    }

    /// Returns every session, by its id.
    pub(crate) fn sessions(&self) -> Vec<(SessionId, Live)> {
        let table = self.table();
        let sessions = table.sessions.iter();
        sessions
            .map(|(id, live)| (SessionId(*id), live.clone()))
            .collect()
    }

    /// Returns every virtual link that is on, and each direction of one that has a capacity for each.
    pub(crate) fn links(&self) -> Vec<LinkState> {
        let table = self.table();
        let time = week_time();
        let trunks = table.document.trunks.iter().filter(|trunk| trunk.is_on);
        trunks
            .flat_map(|trunk| ways(trunk.is_each_way).iter().map(move |way| (trunk, *way)))
            .map(|(trunk, direction)| {
                let link = table.links.get(&trunk.id);
                let (sessions, used) = link.map(|link| link.used(direction)).unwrap_or_default();
                LinkState {
                    id: trunk.id,
                    name: trunk.name.clone(),
                    direction,
                    capacity: trunk.capacity.at(time),
                    used,
                    sessions,
                }
            })
            .collect()
    }

    /// Sets what an administrator allows a session at most, its minimum rate or its policy; false when it is gone.
    pub(crate) fn steer(
        &self,
        id: SessionId,
        ceiling: Option<Rate>,
        min: Option<Rate>,
        policy: Option<RatePolicy>,
    ) -> bool {
        let mut table = self.table();
        let Some(live) = table.sessions.get_mut(&id.0) else {
            return false;
        };
        live.ceiling = ceiling.or(live.ceiling);
        live.rates.min = min.unwrap_or(live.rates.min);
        live.rates.policy = policy.unwrap_or(live.rates.policy);
        let (limit, bounds, trunk) = (live.limit(), live.bounds(), live.facts.trunk);
        if min.is_some() || policy.is_some() {
            let command = Command::Rates {
                target: None,
                min,
                policy,
            };
            table.send(id.0, command);
        }
        table.send(id.0, Command::Limit(limit));
        if let Some(link) = trunk.and_then(|trunk| table.links.get_mut(&trunk)) {
            link.set_bounds(id.0, bounds);
            table.share(Instant::now());
        }
        true
    }

    /// Ends a session, and tells its client why.
    pub(crate) fn cancel(&self, id: SessionId, code: ErrorCode, message: &str) {
        if let Some(running) = &self.table().running {
            running.cancel(id, code, message);
        }
    }

    /// Shares the links out anew: the time of day may have changed what they carry.
    pub(crate) fn tick(&self) {
        self.table().share(Instant::now());
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every change is whole when the lock is free, whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    fn bounds(&self) -> Bounds {
        let GrantedRates {
            target,
            cap,
            min,
            policy,
        } = self.rates;
        let limits = [target, cap, self.ceiling];
        Bounds {
            policy,
            min,
            most: limits.into_iter().flatten().min().unwrap_or(Rate::MAX),
        }
    }

    /// What it may reach now.
    pub(crate) fn most(&self) -> Option<Rate> {
        [self.rates.cap, self.limit()].into_iter().flatten().min()
    }

    /// The lowest of what others decide while the session runs.
    fn limit(&self) -> Option<Rate> {
        [self.ceiling, self.share].into_iter().flatten().min()
    }
}

impl Table {
    fn send(&self, id: u64, command: Command) {
        if let Some(running) = &self.running {
            running.command(SessionId(id), command);
        }
    }

    fn share(&mut self, now: Instant) {
        let mut changed = Vec::new();
        let time = week_time();
        for (id, link) in &mut self.links {
            match self.document.trunk(*id) {
                Some(trunk) => {
                    let capacity = trunk.capacity.at(time);
                    let shares = link.share(capacity, trunk.is_each_way, now);
                    changed.extend(shares.into_iter().map(|(id, rate)| (id, Some(rate))));
                }
                // Taken out of the file, or switched off, while sessions are on it.
                None => changed.extend(link.release().into_iter().map(|id| (id, None))),
            }
        }
        self.links.retain(|_, link| !link.is_empty());
        for (id, share) in changed {
            if let Some(live) = self.sessions.get_mut(&id) {
                live.share = share;
                let limit = live.limit();
                self.send(id, Command::Limit(limit));
            }
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut table = self.table.table();
        let gone = table.sessions.remove(&self.id.0);
        if let Some(trunk) = gone.and_then(|live| live.facts.trunk) {
            if let Some(link) = table.links.get_mut(&trunk) {
                link.leave(self.id.0);
            }
            table.share(Instant::now());
        }
    }
}
