//! Ten sessions of the protocol on one virtual link, on a virtual clock: what they move does not depend on the machine.

use std::time::{Duration, Instant};

use fasp_core::{
    Rate, RateLimits, RatePolicy,
    testing::{Arena, FlowId},
};
use netsim::LinkConfig;
use transfer_spec::Direction;

use super::{Bounds, Link};

const CAPACITY: Rate = Rate::from_mbps(12);
/// How often sessions say what they use.
const TICK: Duration = Duration::from_millis(200);
const SECOND: Duration = Duration::from_secs(1);

struct Session {
    flow: FlowId,
    direction: Direction,
    policy: RatePolicy,
    limits: RateLimits,
}

/// Sessions whose path carries far more than the virtual link.
struct Bed {
    arena: Arena,
    link: Link,
    epoch: Instant,
    sessions: Vec<Session>,
}

impl Bed {
    /// Four sessions with `high`, four with `fair`, two with `low`; every other one is an upload.
    fn new(seed: u64) -> Self {
        let bottleneck = LinkConfig {
            rate: Some(100_000_000),
            queue: 1_000_000,
            ..LinkConfig::default()
        };
        let mut bed = Self {
            arena: Arena::new(seed, bottleneck),
            link: Link::default(),
            epoch: Instant::now(),
            sessions: Vec::new(),
        };
        for number in 0..10 {
            bed.add(number);
        }
        bed
    }

    fn add(&mut self, number: u32) {
        let policy = match number {
            0..4 => RatePolicy::High,
            4..8 => RatePolicy::Fair,
            _ => RatePolicy::Low,
        };
        let direction = match number % 2 {
            0 => Direction::Upload,
            _ => Direction::Download,
        };
        let limits = RateLimits {
            target: Some(Rate::from_mbps(100)),
            policy,
            ..RateLimits::default()
        };
        let bounds = Bounds {
            policy,
            min: Rate::ZERO,
            most: Rate::from_mbps(100),
        };
        let rtt = Duration::from_millis(10) * (number + 1);
        let flow = self.arena.add(Duration::ZERO, rtt, limits);
        self.link
            .join(u64::from(number), direction, bounds, self.epoch);
        self.sessions.push(Session {
            flow,
            direction,
            policy,
            limits,
        });
    }

    /// Runs until then, with the shares told as the server tells them, and returns bytes on the wire and of files for
    /// each session.
    fn run(&mut self, until: Duration, is_each_way: bool) -> Vec<(u64, u64)> {
        let before = self.counts();
        while self.arena.elapsed() < until {
            let next = self.arena.elapsed() + TICK;
            self.arena.run_until(next);
            let now = self.epoch + next;
            for (id, session) in self.sessions.iter().enumerate() {
                let sent = self.arena.statistics(session.flow).unwrap().bytes_sent;
                self.link.on_bytes(id as u64, sent, now);
            }
            for (id, share) in self.link.share(CAPACITY, is_each_way, now) {
                self.tell(id as usize, share);
            }
        }
        let after = self.counts().into_iter().zip(before);
        after
            .map(|(after, before)| (after.0 - before.0, after.1 - before.1))
            .collect()
    }

    /// The server is the sender of a download, and the receiver of an upload.
    fn tell(&mut self, id: usize, share: Rate) {
        let Session {
            flow,
            direction,
            limits,
            ..
        } = self.sessions[id];
        match direction {
            Direction::Download => {
                let limits = RateLimits {
                    cap: share,
                    ..limits
                };
                self.arena.set_limits(flow, limits);
            }
            Direction::Upload => self.arena.set_storage(flow, Some(share)),
        }
    }

    fn counts(&self) -> Vec<(u64, u64)> {
        let flows = self.sessions.iter().map(|session| session.flow);
        flows
            .map(|flow| {
                let sent = self.arena.statistics(flow).unwrap().bytes_sent;
                (sent, self.arena.received(flow))
            })
            .collect()
    }

    /// Asserts what the sessions of these numbers have moved in eight seconds.
    fn assert_shares(&self, numbers: &[usize], moved: &[(u64, u64)]) {
        let weight = |n: usize| match self.sessions[n].policy {
            RatePolicy::Low => 0.25,
            RatePolicy::Fair => 1.0,
            RatePolicy::High | RatePolicy::Fixed => 2.0,
        };
        let possible = CAPACITY.bytes_in(8 * SECOND) as f64;
        let sum: u64 = numbers.iter().map(|n| moved[*n].0).sum();
        let part = sum as f64 / possible;
        println!("{part:.4} of the capacity: {moved:?}");
        assert!((0.95..=1.05).contains(&part), "{part:.4}: {moved:?}");
        let files: u64 = numbers.iter().map(|n| moved[*n].1).sum();
        let weights: f64 = numbers.iter().map(|n| weight(*n)).sum();
        for n in numbers {
            let share = moved[*n].1 as f64 / (files as f64 * weight(*n) / weights);
            assert!((0.8..=1.2).contains(&share), "{n}: {share:.3}: {moved:?}");
        }
    }
}

#[test]
fn ten_sessions_move_what_the_link_carries_within_5_percent_and_their_shares_within_20() {
    for seed in [1, 2, 3] {
        let mut bed = Bed::new(seed);
        bed.run(10 * SECOND, false);
        for end in [18, 26] {
            let moved = bed.run(end * SECOND, false);
            bed.assert_shares(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], &moved);
        }
    }
}

#[test]
fn the_sessions_of_each_direction_move_that_where_each_has_its_own() {
    let mut bed = Bed::new(4);
    bed.run(10 * SECOND, true);
    let moved = bed.run(18 * SECOND, true);
    bed.assert_shares(&[0, 2, 4, 6, 8], &moved);
    bed.assert_shares(&[1, 3, 5, 7, 9], &moved);
    // And together again, when the file says so while they run.
    bed.run(28 * SECOND, false);
    let moved = bed.run(36 * SECOND, false);
    bed.assert_shares(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], &moved);
}
