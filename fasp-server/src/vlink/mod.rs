//! Virtual links: sessions that stay below one capacity together, in whichever direction their files go.
//!
//! Every session says what it uses a few times a second, and is told what it may use: as the sender of files by its own
//! cap, as the receiver through the reports that the other side obeys (protocol §6.3).

mod allocate;
mod clock;
#[cfg(test)]
mod simulated;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use fasp_core::{Rate, RatePolicy};

use transfer_spec::Direction;

use allocate::{Need, allocate};
pub(crate) use clock::week_time;

/// A session that uses less than this part of its share is given room to use a little more; one that uses more wants all.
const HUNGRY: f64 = 0.85;
/// That room.
const ROOM: f64 = 1.4;
/// How much of a new figure counts.
const SMOOTHING: f64 = 0.4;

/// The sessions of one virtual link.
#[derive(Debug, Default)]
pub(crate) struct Link {
    members: BTreeMap<u64, Member>,
}

/// What a session may use at most, besides its share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) policy: RatePolicy,
    pub(crate) min: Rate,
    /// Its target or its cap, whichever is lower.
    pub(crate) most: Rate,
}

#[derive(Debug)]
struct Member {
    /// Which way its files go, as the client sees it.
    direction: Direction,
    bounds: Bounds,
    share: Rate,
    /// Bytes on the wire so far, and when that was.
    counted: (u64, Instant),
    used: Rate,
    /// Shares change what is used; until this long has passed, what is used says little about what is wanted.
    settling_until: Instant,
}

impl Link {
    /// Takes a session in.
    pub(crate) fn join(&mut self, id: u64, direction: Direction, bounds: Bounds, now: Instant) {
        let member = Member {
            direction,
            bounds,
            share: Rate::ZERO,
            counted: (0, now),
            used: Rate::ZERO,
            settling_until: now + SETTLING,
        };
        self.members.insert(id, member);
    }

    /// A session is over.
    pub(crate) fn leave(&mut self, id: u64) {
        self.members.remove(&id);
    }

    /// Lets everybody go; returns those who had a share.
    pub(crate) fn release(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.members).into_keys().collect()
    }

    /// Whether there are no sessions.
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// How many sessions go that way, or both ways, and what they use together.
    pub(crate) fn used(&self, way: Option<Direction>) -> (usize, Rate) {
        let members = self.members.values().filter(|m| m.goes(way));
        let rates: Vec<u64> = members.map(|m| m.used.bits_per_second()).collect();
        (rates.len(), Rate::from_bits_per_second(rates.iter().sum()))
    }

    /// A session has sent and received this many bytes in all.
    pub(crate) fn on_bytes(&mut self, id: u64, bytes: u64, now: Instant) {
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        let (before, then) = member.counted;
        let elapsed = now.saturating_duration_since(then);
        if elapsed < MEASURED {
            return;
        }
        let rate = Rate::from_bytes_in(bytes.saturating_sub(before), elapsed);
        member.counted = (bytes, now);
        let before = member.used.scaled(1.0 - SMOOTHING).bits_per_second();
        let smoothed = rate.scaled(SMOOTHING).bits_per_second() + before;
        member.used = Rate::from_bits_per_second(smoothed);
    }

    /// The bounds of a session have changed.
    pub(crate) fn set_bounds(&mut self, id: u64, bounds: Bounds) {
        if let Some(member) = self.members.get_mut(&id) {
            member.bounds = bounds;
        }
    }

    /// Shares the capacity out, among all or among those of each direction; returns the sessions whose share has changed.
    pub(crate) fn share(
        &mut self,
        capacity: Rate,
        is_each_way: bool,
        now: Instant,
    ) -> Vec<(u64, Rate)> {
        let ways = ways(is_each_way).iter();
        ways.flat_map(|way| self.share_one(*way, capacity, now))
            .collect()
    }

    fn share_one(
        &mut self,
        way: Option<Direction>,
        capacity: Rate,
        now: Instant,
    ) -> Vec<(u64, Rate)> {
        let members = || self.members.values().filter(|m| m.goes(way));
        let needs: Vec<_> = members().map(|m| m.need(now)).collect();
        let shares = allocate(capacity, &needs);
        let mut changed = Vec::new();
        let members = self.members.iter_mut().filter(|(_, m)| m.goes(way));
        for ((id, member), share) in members.zip(shares) {
            if differs(member.share, share) {
                if share > member.share {
                    member.settling_until = now + SETTLING;
                }
                member.share = share;
                changed.push((*id, share));
            }
        }
        changed
    }
}

/// The groups that share one capacity: everybody, or those of each direction.
pub(crate) fn ways(is_each_way: bool) -> &'static [Option<Direction>] {
    match is_each_way {
        true => &[Some(Direction::Upload), Some(Direction::Download)],
        false => &[None],
    }
}

/// The shortest time a rate is measured over.
const MEASURED: Duration = Duration::from_millis(100);
/// How long a session needs to use a share that has grown.
const SETTLING: Duration = Duration::from_secs(2);

/// Whether a session has to hear of its new share.
fn differs(old: Rate, new: Rate) -> bool {
    let (old, new) = (old.bits_per_second(), new.bits_per_second());
    old.abs_diff(new) * 200 > old.max(new)
}

impl Member {
    fn goes(&self, way: Option<Direction>) -> bool {
        way.is_none_or(|way| way == self.direction)
    }

    fn need(&self, now: Instant) -> Need {
        let Bounds { policy, min, most } = self.bounds;
        let floor = match policy {
            RatePolicy::Fixed => most,
            _ => min,
        };
        let is_hungry = now < self.settling_until || self.used >= self.share.scaled(HUNGRY);
        let wish = if is_hungry {
            most
        } else {
            self.used.scaled(ROOM).max(allocate::LEAST).min(most)
        };
        Need {
            policy,
            floor,
            wish,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MBPS: fn(u64) -> Rate = Rate::from_mbps;

    fn bounds(policy: RatePolicy) -> Bounds {
        Bounds {
            policy,
            min: Rate::ZERO,
            most: MBPS(1000),
        }
    }

    /// Sessions that send what they may, but for what their own path carries.
    fn run(link: &mut Link, paths: &[(u64, Rate)], start: Instant, seconds: u64) -> Vec<Rate> {
        let mut bytes: BTreeMap<u64, u64> = link
            .members
            .iter()
            .map(|(id, m)| (*id, m.counted.0))
            .collect();
        let tick = Duration::from_millis(200);
        for n in 1..=seconds * 5 {
            let now = start + tick * n as u32;
            for (id, path) in paths {
                let sent = link.members[id].share.min(*path).bytes_in(tick);
                let total = bytes.entry(*id).or_default();
                *total += sent;
                link.on_bytes(*id, *total, now);
            }
            link.share(MBPS(100), false, now);
        }
        paths.iter().map(|(id, _)| link.members[id].used).collect()
    }

    #[test]
    fn what_a_slow_session_leaves_goes_to_the_others_and_comes_back() {
        let start = Instant::now();
        let mut link = Link::default();
        for id in 0..4 {
            link.join(id, Direction::Upload, bounds(RatePolicy::Fair), start);
        }
        let all = |slow| [(0, slow), (1, MBPS(900)), (2, MBPS(900)), (3, MBPS(900))];
        let used = run(&mut link, &all(MBPS(4)), start, 10);
        assert!(used[0] <= MBPS(4) && used[1] > MBPS(30), "{used:?}");
        let sum: u64 = used.iter().map(|rate| rate.bits_per_second()).sum();
        assert!((95_000_000..=100_000_000).contains(&sum), "{used:?}");
        // Its path is better now: it gets its share back.
        let used = run(
            &mut link,
            &all(MBPS(900)),
            start + Duration::from_secs(10),
            30,
        );
        assert!(
            used.iter().all(|rate| (MBPS(24)..=MBPS(26)).contains(rate)),
            "{used:?}"
        );
    }

    #[test]
    fn directions_share_one_capacity_or_have_one_each() {
        let start = Instant::now();
        let mut link = Link::default();
        for (id, direction) in [Direction::Upload, Direction::Download, Direction::Download]
            .into_iter()
            .enumerate()
        {
            link.join(id as u64, direction, bounds(RatePolicy::Fair), start);
        }
        let mut shares = |is_each_way| {
            link.share(MBPS(90), is_each_way, start);
            let kbps = link.members.values().map(|m| m.share.kbps().div_ceil(1000));
            kbps.collect::<Vec<_>>()
        };
        assert_eq!(shares(false), [30, 30, 30]);
        assert_eq!(shares(true), [90, 45, 45]);
        assert_eq!(shares(false), [30, 30, 30]);
        assert_eq!(link.used(Some(Direction::Download)).0, 2);
        assert_eq!(link.used(None).0, 3);
    }

    #[test]
    fn shares_never_add_up_to_more_than_the_capacity_while_sessions_come_and_go() {
        let start = Instant::now();
        let mut link = Link::default();
        let mut random = fastrand::Rng::with_seed(7);
        for n in 0..2000_u64 {
            let now = start + Duration::from_millis(50 * n);
            let id = random.u64(0..12);
            match random.u8(0..4) {
                0 => {
                    let bounds = bounds(RatePolicy::ALL[random.usize(0..4)].0);
                    link.join(id, Direction::Download, bounds, now);
                }
                1 => link.leave(id),
                _ => link.on_bytes(id, n * random.u64(0..1_000_000), now),
            }
            link.share(MBPS(100), false, now);
            let sum: u64 = link
                .members
                .values()
                .map(|m| m.share.bits_per_second())
                .sum();
            // Within what is too little to tell a session of.
            assert!(sum <= 101_000_000, "{sum} at {n}");
        }
    }
}
