//! The first flight of a resumed connection: only what was sealed opens, and a change anywhere is noticed.

use fasp_net::control::message::Ticket;
use fasp_net::testing::{opened_offer, sealed_offer};

/// The first two bytes say where to change an offer of the rest; the rest is taken for an offer as well.
pub(crate) fn check(bytes: &[u8]) {
    let Some(([high, low], rest)) = bytes.split_first_chunk() else {
        return;
    };
    let ticket = Ticket {
        id: [1; 16],
        secret: [2; 32],
        lifetime: 120,
    };
    // Nobody who does not know the secret makes one of these.
    assert_eq!(opened_offer(&ticket, rest), None);
    let Some(mut offer) = sealed_offer(&ticket, &[3; 32], &[4; 32], rest) else {
        assert!(rest.is_empty() || rest.len() > 65_536);
        return;
    };
    assert_eq!(opened_offer(&ticket, &offer).as_deref(), Some(rest));
    let at = usize::from(u16::from_be_bytes([*high, *low])) % offer.len();
    assert_eq!(opened_offer(&ticket, &offer[..at]), None);
    offer[at] ^= 0x10;
    assert_eq!(opened_offer(&ticket, &offer), None);
}
