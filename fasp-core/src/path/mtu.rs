//! Path MTU discovery by padded probes (protocol §8.3, RFC 8899).

use std::time::{Duration, Instant};

use crate::wire::header::{BASE_DATAGRAM, MAX_DATAGRAM};

/// UDP payloads that common paths carry: tunnels, IPv6 and IPv4 over Ethernet, jumbo frames.
const COMMON: [u16; 7] = [1280, 1372, 1452, 1472, 8932, 8972, MAX_DATAGRAM as u16];
/// Search ends when the interval is this narrow.
const RESOLUTION: u16 = 16;
/// Full-size losses in a row, with smaller datagrams arriving, that mean a black hole.
const BLACK_HOLE: u32 = 10;
/// Probes of one size on a path that loses datagrams of any size (RFC 8899 §5.1.2).
const MAX_TRIES: u32 = 3;
/// When to look again after a search has ended.
const SEARCH_AGAIN: Duration = Duration::from_secs(600);
/// The same while a size that has arrived on this path before is not reached: a full queue may have taken all probes of a
/// search. Each time it takes twice as long.
const SEARCH_SOON: Duration = Duration::from_secs(2);

/// The largest size known to arrive, and the search for a larger one.
#[derive(Debug)]
pub(crate) struct MtuDiscovery {
    current: u16,
    /// Largest size that both ends accept and the interface sends.
    limit: u16,
    /// Smallest size known not to arrive.
    too_large: u16,
    /// Sizes to probe now.
    wanted: Vec<u16>,
    outstanding: u32,
    /// Sizes lost in this search and how often.
    tries: Vec<(u16, u32)>,
    search_at: Option<Instant>,
    /// The largest size that ever arrived on this path, and how long the next search for it waits.
    arrived: u16,
    again: Duration,
    /// Full-size losses behind the last full datagram that arrived.
    full_losses: u32,
    /// When the latest datagrams that arrived were sent, full and small ones.
    full_arrived: Option<Instant>,
    small_arrived: Option<Instant>,
}

impl MtuDiscovery {
    pub(crate) fn new(limit: u16) -> Self {
        let limit = limit.clamp(BASE_DATAGRAM as u16, MAX_DATAGRAM as u16);
        let mut discovery = Self {
            current: BASE_DATAGRAM as u16,
            limit,
            too_large: limit + 1,
            wanted: Vec::new(),
            outstanding: 0,
            tries: Vec::new(),
            search_at: None,
            arrived: BASE_DATAGRAM as u16,
            again: SEARCH_SOON,
            full_losses: 0,
            full_arrived: None,
            small_arrived: None,
        };
        discovery.begin();
        discovery
    }

    fn begin(&mut self) {
        let mut sizes: Vec<_> = COMMON
            .into_iter()
            .filter(|s| *s > self.current && *s < self.limit)
            .collect();
        if self.limit > self.current {
            sizes.push(self.limit);
        }
        // The largest two and the common Ethernet sizes tell most paths apart in one round trip.
        let keep = sizes.len().saturating_sub(4);
        self.wanted = sizes.split_off(keep);
        self.tries.clear();
        self.search_at = None;
    }

    /// The size of full datagrams.
    pub(crate) fn current(&self) -> u16 {
        self.current
    }

    /// The peer's limit became known.
    pub(crate) fn set_peer_limit(&mut self, limit: u16) {
        let limit = limit.max(BASE_DATAGRAM as u16);
        if limit < self.limit {
            self.limit = limit;
            self.too_large = self.too_large.min(limit + 1);
            self.wanted.retain(|size| *size <= limit);
            self.current = self.current.min(limit);
            if self.wanted.is_empty() && self.current < limit {
                self.wanted.push(limit);
            }
        }
    }

    /// Takes the size of the next probe to send.
    pub(crate) fn next_probe(&mut self, now: Instant) -> Option<u16> {
        if self.search_at.is_some_and(|at| at <= now) {
            self.too_large = self.limit + 1;
            self.begin();
        }
        loop {
            let size = self.wanted.pop()?;
            if size > self.current && size < self.too_large {
                self.outstanding += 1;
                return Some(size);
            }
        }
    }

    /// A probe was reported.
    pub(crate) fn on_probe_delivered(&mut self, now: Instant, size: u16) {
        self.outstanding = self.outstanding.saturating_sub(1);
        if size > self.current && size < self.too_large {
            self.current = size;
            self.full_losses = 0;
        }
        if size >= self.arrived {
            self.arrived = size;
            self.again = SEARCH_SOON;
        }
        self.narrow(now);
    }

    /// A probe was lost on a path that loses this share of its datagrams, 0 to 1.
    pub(crate) fn on_probe_lost(&mut self, now: Instant, size: u16, loss: f64) {
        self.outstanding = self.outstanding.saturating_sub(1);
        let tries = match loss {
            l if l < 0.001 => 1,
            l if l < 0.02 => 2,
            _ => MAX_TRIES,
        };
        if size > self.current && size < self.too_large {
            let failed = match self.tries.iter_mut().find(|(tried, _)| *tried == size) {
                Some((_, count)) => {
                    *count += 1;
                    *count
                }
                None => {
                    self.tries.push((size, 1));
                    1
                }
            };
            if failed < tries {
                self.wanted.push(size);
            } else {
                self.too_large = size;
            }
        }
        self.narrow(now);
    }

    fn narrow(&mut self, now: Instant) {
        if self.outstanding > 0 || !self.wanted.is_empty() {
            return;
        }
        let (low, high) = (self.current, self.too_large);
        if high.saturating_sub(low) > RESOLUTION {
            // Between common sizes try the common one, otherwise the middle.
            let common = COMMON.into_iter().rev().find(|s| *s > low && *s < high);
            self.wanted.push(common.unwrap_or(low + (high - low) / 2));
        } else if self.search_at.is_none() {
            let wait = if self.current < self.arrived {
                let wait = self.again;
                self.again = (wait * 2).min(SEARCH_AGAIN);
                wait
            } else {
                SEARCH_AGAIN
            };
            self.search_at = Some(now + wait);
        }
    }

    /// A datagram that was sent at this moment has arrived.
    pub(crate) fn on_delivered(&mut self, sent: Instant, size: u16) {
        if size <= BASE_DATAGRAM as u16 {
            self.small_arrived = Some(sent).max(self.small_arrived);
        } else if Some(sent) >= self.full_arrived {
            self.full_arrived = Some(sent);
            self.full_losses = 0;
        }
    }

    /// A datagram that was sent at this moment is lost. True when the size fell back.
    ///
    /// Losses are told many at a time and behind what arrived in their midst, so only those count behind which no full
    /// datagram has arrived: in a black hole that is all of them, and hardly ever a few of random ones.
    pub(crate) fn on_lost(&mut self, sent: Instant, size: u16) -> bool {
        let base = BASE_DATAGRAM as u16;
        if self.current <= base || size <= base || self.full_arrived >= Some(sent) {
            return false;
        }
        self.full_losses += 1;
        if self.full_losses < BLACK_HOLE || self.small_arrived <= self.full_arrived {
            return false;
        }
        self.fall_back();
        true
    }

    /// The kernel refused a datagram of the current size (rule W-35).
    pub(crate) fn on_too_big(&mut self, size: u16) {
        if size <= self.current {
            self.fall_back();
        }
        self.too_large = self.too_large.min(size.max(BASE_DATAGRAM as u16 + 1));
        self.wanted.retain(|wanted| *wanted < size);
    }

    /// Starts anew on another path.
    pub(crate) fn restart(&mut self) {
        *self = Self::new(self.limit);
    }

    fn fall_back(&mut self) {
        // The size itself is tried again as well: a long run of plain loss looks the same.
        self.wanted = COMMON.into_iter().filter(|s| *s < self.current).collect();
        self.wanted.push(self.current);
        self.tries.clear();
        self.too_large = self.current + 1;
        self.current = BASE_DATAGRAM as u16;
        self.full_losses = 0;
        // What was sent before and is lost later says nothing about what follows.
        self.full_arrived = self.full_arrived.max(self.small_arrived);
        self.search_at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(path: u16, limit: u16) -> (u16, u32) {
        let now = Instant::now();
        let mut mtu = MtuDiscovery::new(limit);
        let mut rounds = 0;
        loop {
            let probes: Vec<_> = std::iter::from_fn(|| mtu.next_probe(now)).collect();
            if probes.is_empty() {
                return (mtu.current(), rounds);
            }
            rounds += 1;
            for size in probes {
                if size <= path {
                    mtu.on_probe_delivered(now, size);
                } else {
                    mtu.on_probe_lost(now, size, 0.0);
                }
            }
        }
    }

    #[test]
    fn w34_common_paths_are_found_in_one_or_two_rounds_and_odd_ones_closely() {
        assert_eq!(search(1472, 1472), (1472, 1));
        assert_eq!(search(9216, 9216), (9216, 1));
        assert_eq!(search(1472, 9216).0, 1472);
        for path in 1200..=9216 {
            let (found, rounds) = search(path, 9216);
            assert!(
                found <= path && path - found <= RESOLUTION,
                "{path} {found}"
            );
            assert!(rounds <= 16, "{path}: {rounds}");
        }
    }

    /// A search that finds the whole of 1,472 bytes.
    fn found(now: Instant) -> MtuDiscovery {
        let mut mtu = MtuDiscovery::new(1472);
        while let Some(size) = mtu.next_probe(now) {
            mtu.on_probe_delivered(now, size);
        }
        mtu
    }

    /// Sends full datagrams and a small one into a black hole, a millisecond apart; returns when it was noticed.
    fn black_hole(mtu: &mut MtuDiscovery, from: Instant) -> Option<usize> {
        mtu.on_delivered(from + Duration::from_millis(1), 100);
        (2..50).position(|ms| mtu.on_lost(from + Duration::from_millis(ms), 1472))
    }

    #[test]
    fn f50_a_black_hole_falls_back_to_the_base() {
        let now = Instant::now();
        let mut mtu = found(now);
        for ms in 1..=50 {
            let sent = now + Duration::from_millis(ms);
            assert!(
                !mtu.on_lost(sent, 1472),
                "everything is lost: not the size's fault"
            );
        }
        let mut mtu = found(now);
        mtu.on_delivered(now, 1472);
        assert_eq!(black_hole(&mut mtu, now), Some(BLACK_HOLE as usize - 1));
        assert_eq!(mtu.current(), 1200);
    }

    #[test]
    fn f50_plain_loss_is_no_black_hole_however_it_is_reported() {
        let now = Instant::now();
        let mut mtu = found(now);
        // Reports of a second each, with a tenth lost: first what arrived, then all that did not.
        for report in 0..100u64 {
            let at = |n: u64| now + Duration::from_millis(report * 1000 + n);
            for n in (0..1000).filter(|n| n % 10 != 3) {
                mtu.on_delivered(at(n), if n % 50 == 0 { 100 } else { 1472 });
            }
            for n in (0..1000).filter(|n| n % 10 == 3) {
                assert!(!mtu.on_lost(at(n), 1472), "report {report}");
            }
        }
    }

    #[test]
    fn a_size_that_has_arrived_before_is_looked_for_again_soon() {
        let mut now = Instant::now();
        let mut mtu = found(now);
        assert!(black_hole(&mut mtu, now).is_some());
        // A full queue takes every probe of the search.
        while let Some(size) = mtu.next_probe(now) {
            mtu.on_probe_lost(now, size, 0.3);
        }
        assert_eq!(mtu.current(), 1200);
        now += SEARCH_SOON;
        while let Some(size) = mtu.next_probe(now) {
            mtu.on_probe_delivered(now, size);
        }
        assert_eq!(mtu.current(), 1472);
    }

    #[test]
    fn w35_a_size_the_kernel_refuses_is_an_estimate_not_an_error() {
        let mut mtu = MtuDiscovery::new(9216);
        mtu.on_too_big(9216);
        assert!(std::iter::from_fn(|| mtu.next_probe(Instant::now())).all(|size| size < 9216));
    }
}
