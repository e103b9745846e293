//! Who may connect at all (W-37): limits on connections nobody has authenticated yet, and penalties per source network.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Penalty for a connection whose logins failed.
const FAILED_LOGIN: Duration = Duration::from_secs(5);
/// Penalty for a connection that ended without a login.
const NO_LOGIN: Duration = Duration::from_secs(1);
/// Penalties below this only accumulate; above, the network is turned away until they have run off.
const REFUSE_FROM: Duration = Duration::from_secs(15);
/// Most penalty at once.
const MAX_PENALTY: Duration = Duration::from_secs(600);
/// Networks remembered.
const MAX_NETWORKS: usize = 4096;
/// Share of connections turned away at random when half of the places are taken, per mille.
const EARLY_DROP: u64 = 300;

/// How many connections a gate lets through.
#[derive(Debug, Clone, Copy)]
pub(super) struct Capacity {
    pub(super) unauthenticated: usize,
    pub(super) per_network: usize,
    pub(super) connections: usize,
}

/// Why a connection was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// All places are taken.
    Full,
    /// The network has its share.
    NetworkFull,
    /// Chosen at random because more than half of the places are taken.
    EarlyDrop,
    /// The network's logins failed too often.
    Penalty,
}

/// A /24 of IPv4 or a /56 of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Network {
    V4(u32),
    V6(u128),
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(Ipv4Addr::to_bits(address) >> 8),
            IpAddr::V6(address) => Self::V6(Ipv6Addr::to_bits(address) >> 72),
        }
    }
}

#[derive(Debug, Default)]
struct Source {
    unauthenticated: usize,
    /// When the penalty has run off; its length is what is left until then.
    penalty_until: Option<Instant>,
}

#[derive(Debug, Default)]
struct Counts {
    connections: usize,
    unauthenticated: usize,
    networks: BTreeMap<Network, Source>,
}

/// The gate in front of an endpoint.
#[derive(Debug)]
pub(super) struct Gate {
    capacity: Capacity,
    counts: Mutex<Counts>,
}

impl Gate {
    pub(super) fn new(capacity: Capacity) -> Arc<Self> {
        Arc::new(Self {
            capacity,
            counts: Mutex::default(),
        })
    }

    /// Lets a connection in or says why not. `chance` is random, evenly spread over all values.
    pub(super) fn enter(
        self: &Arc<Self>,
        now: Instant,
        address: IpAddr,
        chance: u64,
    ) -> Result<Ticket, Refusal> {
        let network = Network::from(address);
        let mut counts = self.lock();
        if counts.networks.len() >= MAX_NETWORKS {
            counts.forget_idle(now);
        }
        self.check(&counts, now, network, chance)?;
        counts.connections += 1;
        counts.unauthenticated += 1;
        counts.networks.entry(network).or_default().unauthenticated += 1;
        Ok(Ticket {
            gate: Arc::clone(self),
            network,
            stage: Stage::NoLogin,
        })
    }

    fn check(
        &self,
        counts: &Counts,
        now: Instant,
        network: Network,
        chance: u64,
    ) -> Result<(), Refusal> {
        let full = self.capacity.unauthenticated;
        if counts.connections >= self.capacity.connections || counts.unauthenticated >= full {
            return Err(Refusal::Full);
        }
        match counts.networks.get(&network) {
            Some(source) if source.penalty(now) >= REFUSE_FROM => return Err(Refusal::Penalty),
            Some(source) if source.unauthenticated >= self.capacity.per_network => {
                return Err(Refusal::NetworkFull);
            }
            // Only a flood from thousands of networks at once gets here.
            None if counts.networks.len() >= MAX_NETWORKS => return Err(Refusal::Full),
            _ => {}
        }
        let half = full / 2;
        if counts.unauthenticated >= half && full > half {
            // From 30 % at half of the places, growing evenly to all of them.
            let beyond = (counts.unauthenticated - half) as u64;
            let drop = EARLY_DROP + (1000 - EARLY_DROP) * beyond / (full - half) as u64;
            if chance % 1000 < drop {
                return Err(Refusal::EarlyDrop);
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // The counts are plain numbers: whoever panicked left them whole.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn forget_idle(&mut self, now: Instant) {
        self.networks
            .retain(|_, source| source.unauthenticated > 0 || source.penalty(now) > Duration::ZERO);
    }

    fn leave_unauthenticated(&mut self, network: Network, penalty: Duration, now: Instant) {
        self.unauthenticated = self.unauthenticated.saturating_sub(1);
        let Some(source) = self.networks.get_mut(&network) else {
            return;
        };
        source.unauthenticated = source.unauthenticated.saturating_sub(1);
        if penalty > Duration::ZERO {
            let left = (source.penalty(now) + penalty).min(MAX_PENALTY);
            source.penalty_until = Some(now + left);
        } else if source.unauthenticated == 0 && source.penalty(now).is_zero() {
            self.networks.remove(&network);
        }
    }
}

impl Source {
    fn penalty(&self, now: Instant) -> Duration {
        self.penalty_until
            .map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }
}

/// What a connection has achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    NoLogin,
    FailedLogin,
    Authenticated,
}

/// A place behind the gate; given back when dropped.
#[derive(Debug)]
pub(in crate::control) struct Ticket {
    gate: Arc<Gate>,
    network: Network,
    stage: Stage,
}

impl Ticket {
    /// Remembers that a login was refused.
    pub(in crate::control) fn login_failed(&mut self) {
        if self.stage == Stage::NoLogin {
            self.stage = Stage::FailedLogin;
        }
    }

    /// Frees the place among the unauthenticated.
    pub(in crate::control) fn authenticated(&mut self) {
        if self.stage != Stage::Authenticated {
            self.stage = Stage::Authenticated;
            let mut counts = self.gate.lock();
            counts.leave_unauthenticated(self.network, Duration::ZERO, Instant::now());
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let penalty = match self.stage {
            Stage::NoLogin => Some(NO_LOGIN),
            Stage::FailedLogin => Some(FAILED_LOGIN),
            Stage::Authenticated => None,
        };
        let mut counts = self.gate.lock();
        counts.connections = counts.connections.saturating_sub(1);
        if let Some(penalty) = penalty {
            counts.leave_unauthenticated(self.network, penalty, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LUCKY: u64 = 999;

    fn gate(unauthenticated: usize, per_network: usize) -> Arc<Gate> {
        Gate::new(Capacity {
            unauthenticated,
            per_network,
            connections: 1024,
        })
    }

    fn v4(a: u8, b: u8) -> IpAddr {
        IpAddr::from([10, 0, a, b])
    }

    #[test]
    fn w37_the_ninth_of_a_network_is_refused_and_others_are_not() {
        let gate = gate(64, 8);
        let now = Instant::now();
        let mut tickets: Vec<_> = (0..8)
            .map(|b| gate.enter(now, v4(1, b), LUCKY).unwrap())
            .collect();
        let ninth = gate.enter(now, v4(1, 200), LUCKY).unwrap_err();
        assert_eq!(ninth, Refusal::NetworkFull);
        let mapped = "::ffff:10.0.1.9".parse().unwrap();
        assert_eq!(
            gate.enter(now, mapped, LUCKY).unwrap_err(),
            Refusal::NetworkFull
        );
        tickets.push(gate.enter(now, v4(2, 1), LUCKY).unwrap());
        tickets[0].authenticated();
        assert!(gate.enter(now, v4(1, 9), LUCKY).is_ok());
    }

    #[test]
    fn w37_ipv6_counts_by_56() {
        let net = |text: &str| Network::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(net("2001:db8:0:1::1"), net("2001:db8:0:ff::2"));
        assert_ne!(net("2001:db8:0:1::1"), net("2001:db8:0:100::1"));
    }

    #[test]
    fn w37_places_run_out_and_chance_decides_from_half() {
        let gate = gate(10, 8);
        let now = Instant::now();
        let mut tickets = Vec::new();
        for n in 0..5 {
            tickets.push(gate.enter(now, v4(n, 1), 0).unwrap());
        }
        assert_eq!(
            gate.enter(now, v4(9, 1), 299).unwrap_err(),
            Refusal::EarlyDrop
        );
        for n in 5..10 {
            tickets.push(gate.enter(now, v4(n, 1), LUCKY).unwrap());
        }
        assert_eq!(
            gate.enter(now, v4(99, 1), LUCKY).unwrap_err(),
            Refusal::Full
        );
        tickets.clear();
        assert!(gate.enter(now, v4(50, 1), 0).is_ok());
    }

    #[test]
    fn c8_penalties_add_up_run_off_and_spare_other_networks() {
        let gate = gate(64, 8);
        for _ in 0..4 {
            gate.enter(Instant::now(), v4(1, 1), LUCKY)
                .unwrap()
                .login_failed();
        }
        let now = Instant::now();
        assert_eq!(
            gate.enter(now, v4(1, 2), LUCKY).unwrap_err(),
            Refusal::Penalty
        );
        assert!(gate.enter(now, v4(2, 1), LUCKY).is_ok());
        let later = now + Duration::from_secs(10);
        assert!(gate.enter(later, v4(1, 1), LUCKY).is_ok());
    }

    #[test]
    fn networks_without_penalty_are_forgotten() {
        let gate = gate(64, 8);
        gate.enter(Instant::now(), v4(1, 1), LUCKY)
            .unwrap()
            .authenticated();
        assert!(gate.lock().networks.is_empty());
        assert_eq!(gate.lock().connections, 0);
    }
}
