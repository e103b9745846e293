//! Who is at the other end, and may data go there (protocol §8.1, §8.2).

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// Bytes that may go to an address per byte received from it before it is validated (rule W-20).
const AMPLIFICATION: u64 = 3;
/// Address changes that are acted on per minute (rule W-21).
const CHANGES_PER_MINUTE: u32 = 10;
/// How long a challenge may stay unanswered before another address may be tried.
const CHALLENGE_TIME: Duration = Duration::from_secs(3);

/// A challenge that the control connection carried to the client (protocol §8.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressToken {
    /// What the client answers with its `HELLO`.
    pub token: [u8; 8],
    /// The IP that the control connection comes from. The server's end looks at it, the client's does not.
    pub ip: IpAddr,
}

/// An address that a challenge is on its way to.
#[derive(Debug)]
struct Candidate {
    address: SocketAddr,
    token: [u8; 8],
    since: Instant,
    resend_at: Instant,
    received: u64,
    sent: u64,
}

impl Candidate {
    /// Whether the address may be sent this many bytes more (rule W-20).
    fn affords(&self, size: u64) -> bool {
        self.sent + size <= self.received * AMPLIFICATION
    }
}

/// What a validated candidate means for the estimates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Switch {
    /// The first address of the session.
    First,
    /// Only the port changed: a NAT gave another one; the path is the same.
    PortOnly,
    /// Another path: estimates start anew.
    NewPath,
}

/// The peer's address: the one in use, and one being checked.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    current: Option<SocketAddr>,
    candidate: Option<Candidate>,
    /// A challenge that went out over the control connection, until it has been answered.
    promised: Option<AddressToken>,
    /// The address checked last, which may be checked again without counting as a change.
    last_checked: Option<SocketAddr>,
    minute: Option<Instant>,
    changes: u32,
}

impl Peer {
    /// An address known to be right: the client's view of the server it opened the session with.
    pub(crate) fn known(address: SocketAddr) -> Self {
        Self {
            current: Some(address),
            ..Self::default()
        }
    }

    /// Nobody yet, or whoever answers this token from its IP first.
    pub(crate) fn promised(token: Option<AddressToken>) -> Self {
        Self {
            promised: token,
            ..Self::default()
        }
    }

    /// Where data goes.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.current
    }

    /// Where an answer goes: the validated address, or else the one being checked.
    pub(crate) fn answer_address(&self) -> Option<SocketAddr> {
        self.current
            .or_else(|| self.candidate.as_ref().map(|c| c.address))
    }

    /// An authenticated datagram came from `from`; `highest` says that its number is the highest so far.
    pub(crate) fn on_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        size: u64,
        highest: bool,
        token: u64,
    ) {
        if self.current == Some(from) {
            return;
        }
        if let Some(candidate) = self.candidate.as_mut().filter(|c| c.address == from) {
            candidate.received += size;
            return;
        }
        let busy = self
            .candidate
            .as_ref()
            .is_some_and(|c| now < c.since + CHALLENGE_TIME);
        if !highest || busy || self.last_checked != Some(from) && !self.may_change(now) {
            return;
        }
        self.last_checked = Some(from);
        self.candidate = Some(Candidate {
            address: from,
            token: token.to_be_bytes(),
            since: now,
            resend_at: now,
            received: size,
            sent: 0,
        });
    }

    fn may_change(&mut self, now: Instant) -> bool {
        if self
            .minute
            .is_none_or(|since| now >= since + Duration::from_secs(60))
        {
            self.minute = Some(now);
            self.changes = 0;
        }
        self.changes += 1;
        self.changes <= CHANGES_PER_MINUTE
    }

    /// Takes a challenge that is due, within what the address may be sent.
    pub(crate) fn next_challenge(
        &mut self,
        now: Instant,
        size: u64,
        rtt: Duration,
    ) -> Option<(SocketAddr, [u8; 8])> {
        let candidate = self.candidate.as_mut()?;
        if now >= candidate.since + CHALLENGE_TIME {
            self.candidate = None;
            return None;
        }
        if now < candidate.resend_at || !candidate.affords(size) {
            return None;
        }
        candidate.sent += size;
        candidate.resend_at = now + rtt.max(Duration::from_millis(50)) * 2;
        Some((candidate.address, candidate.token))
    }

    /// Whether this many bytes may go to an address that is not validated yet.
    pub(crate) fn take_allowance(&mut self, to: SocketAddr, size: u64) -> bool {
        match self.candidate.as_mut().filter(|c| c.address == to) {
            Some(candidate) if candidate.affords(size) => {
                candidate.sent += size;
                true
            }
            Some(_) => false,
            None => self.current == Some(to),
        }
    }

    /// When the next challenge of `size` bytes is due, or the one under way is given up.
    pub(crate) fn next_timeout(&self, size: u64) -> Option<Instant> {
        let candidate = self.candidate.as_ref()?;
        let given_up = candidate.since + CHALLENGE_TIME;
        Some(match candidate.affords(size) {
            true => candidate.resend_at.min(given_up),
            false => given_up,
        })
    }

    /// A response came from `from`; returns what kind of switch it completes.
    pub(crate) fn on_response(&mut self, from: SocketAddr, token: [u8; 8]) -> Option<Switch> {
        let is_promised = self.current.is_none()
            && self.promised.is_some_and(|promised| {
                promised.token == token && promised.ip.to_canonical() == from.ip().to_canonical()
            });
        let candidate = self
            .candidate
            .take_if(|c| c.address == from && (c.token == token || is_promised))?;
        self.promised = self.promised.filter(|_| !is_promised);
        let previous = self.current.replace(candidate.address);
        Some(match previous {
            None => Switch::First,
            Some(old) if old.ip() == candidate.address.ip() => Switch::PortOnly,
            Some(_) => Switch::NewPath,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    const RTT: Duration = Duration::from_millis(10);

    #[test]
    fn w20_at_most_three_times_the_received_bytes_go_to_an_unvalidated_address() {
        let now = Instant::now();
        let mut peer = Peer::default();
        peer.on_datagram(now, address(1), 100, true, 7);
        assert_eq!(peer.address(), None);
        let mut sent = 0;
        for i in 0..100 {
            if peer.next_challenge(now + RTT * i, 45, RTT).is_some()
                || peer.take_allowance(address(1), 45)
            {
                sent += 45;
            }
        }
        assert!(sent <= 300, "{sent}");
        assert_eq!(
            peer.on_response(address(2), 7u64.to_be_bytes()),
            None,
            "another address"
        );
        assert_eq!(
            peer.on_response(address(1), 8u64.to_be_bytes()),
            None,
            "another token"
        );
        assert_eq!(
            peer.on_response(address(1), 7u64.to_be_bytes()),
            Some(Switch::First)
        );
        assert_eq!(peer.address(), Some(address(1)));
    }

    #[test]
    fn w20_a_token_of_the_control_connection_validates_one_address_of_its_ip_once() {
        let now = Instant::now();
        let token = AddressToken {
            token: [9; 8],
            ip: "::ffff:127.0.0.1".parse().expect("an address"),
        };
        let elsewhere = SocketAddr::from(([127, 0, 0, 2], 1));
        let mut peer = Peer::promised(Some(token));
        peer.on_datagram(now, elsewhere, 100, true, 7);
        assert_eq!(peer.on_response(elsewhere, [9; 8]), None, "another machine");
        let mut peer = Peer::promised(Some(token));
        peer.on_datagram(now, address(1), 100, true, 7);
        assert_eq!(peer.on_response(address(1), [8; 8]), None, "another token");
        assert_eq!(peer.on_response(address(1), [9; 8]), Some(Switch::First));
        peer.on_datagram(now, address(2), 100, true, 7);
        assert_eq!(peer.on_response(address(2), [9; 8]), None, "used");
        assert_eq!(peer.address(), Some(address(1)));
    }

    #[test]
    fn w21_only_the_highest_number_moves_the_session_and_ten_times_a_minute() {
        let now = Instant::now();
        let mut peer = Peer::known(address(1));
        peer.on_datagram(now, address(2), 100, false, 7);
        assert!(peer.candidate.is_none());
        let mut switches = 0;
        for port in 2..30 {
            peer.on_datagram(now, address(port), 100, true, 7);
            if peer.on_response(address(port), 7u64.to_be_bytes()) == Some(Switch::PortOnly) {
                switches += 1;
            }
        }
        assert_eq!(switches, 10);
    }
}
