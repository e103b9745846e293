//! Parsers of what a peer or a file says that nothing else makes public (feature `testing`).

use crate::control::{known_hosts, message::Ticket, resume, ssh};

/// Returns the numbers, from 1, of the lines of a known-hosts file that hold a key of this host.
pub fn known_host_lines(text: &str, host: &str, port: u16) -> Vec<usize> {
    known_hosts::lines_about(text, host, port)
}

/// Returns what one side of an SSH handshake sent before encryption, given in pieces of at most `piece` bytes.
///
/// `None` when it is refused or the bytes end before encryption starts.
pub fn recorded_handshake(from_client: bool, bytes: &[u8], piece: usize) -> Option<Vec<u8>> {
    ssh::recorded(from_client, bytes, piece)
}

/// Makes an offer of `messages` with a ticket (protocol §2.5); `None` when they are none or too many.
pub fn sealed_offer(
    ticket: &Ticket,
    random: &[u8; 32],
    share: &[u8; 32],
    messages: &[u8],
) -> Option<Vec<u8>> {
    resume::seal(&ticket.secret, &ticket.id, random, share, messages)
}

/// Opens an offer with a ticket's secret.
pub fn opened_offer(ticket: &Ticket, offer: &[u8]) -> Option<Vec<u8>> {
    resume::open(&ticket.secret, offer)
}
