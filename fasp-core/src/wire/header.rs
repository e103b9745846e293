//! The cleartext header of a datagram (protocol §4.1).

use crate::SessionId;

/// Bytes of the header: session id and the low half of the packet number.
pub const HEADER_SIZE: usize = 12;
/// Bytes of the tag behind the sealed frames.
pub const TAG_SIZE: usize = 16;
/// UDP payload that every path carries (protocol §8.3).
pub const BASE_DATAGRAM: usize = 1200;
/// The largest datagram anybody accepts (protocol §12).
pub const MAX_DATAGRAM: usize = 9216;
/// The smallest datagram that can be valid.
pub const MIN_DATAGRAM: usize = HEADER_SIZE + TAG_SIZE;

/// Reads the session id of a datagram, or nothing when its length alone makes it invalid.
///
/// This is what a server demultiplexes by before any cryptography (rule W-15).
pub fn session_id_of(datagram: &[u8]) -> Option<SessionId> {
    if !(MIN_DATAGRAM..=MAX_DATAGRAM).contains(&datagram.len()) {
        return None;
    }
    let id = datagram.first_chunk()?;
    Some(SessionId(u64::from_be_bytes(*id)))
}

/// Reads the low 32 bits of the packet number; the caller has checked the length.
pub(crate) fn truncated_number(datagram: &[u8]) -> Option<u32> {
    let bytes = datagram.get(8..HEADER_SIZE)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

/// Writes the header in front of a datagram.
pub(crate) fn put_header(out: &mut Vec<u8>, session: SessionId, number: u64) {
    out.extend_from_slice(&session.0.to_be_bytes());
    out.extend_from_slice(&(number as u32).to_be_bytes());
}

/// Finds the full packet number closest to `expected` with these low bits (RFC 9000 appendix A.3).
pub(crate) fn expand_number(expected: u64, truncated: u32) -> u64 {
    const WINDOW: u64 = 1 << 32;
    let candidate = (expected & !(WINDOW - 1)) | u64::from(truncated);
    if candidate + WINDOW / 2 <= expected {
        candidate + WINDOW
    } else if candidate > expected + WINDOW / 2 && candidate >= WINDOW {
        candidate - WINDOW
    } else {
        candidate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_expand_to_the_closest_one() {
        for (expected, full) in [
            (0, 0),
            (0, 5),
            (1 << 32, (1 << 32) - 1),
            ((1 << 32) - 1, 1 << 32),
            (0xa_82f3_0ea0, 0xa_82f3_9b32),
            (5 << 32, (5 << 32) + (1 << 31)),
        ] {
            assert_eq!(
                expand_number(expected, full as u32),
                full,
                "{expected:#x} {full:#x}"
            );
        }
    }

    #[test]
    fn w36_lengths_outside_the_range_have_no_session() {
        assert_eq!(session_id_of(&[0; MIN_DATAGRAM - 1]), None);
        assert_eq!(session_id_of(&[0; MIN_DATAGRAM]), Some(SessionId(0)));
        assert_eq!(session_id_of(&[0; MAX_DATAGRAM]), Some(SessionId(0)));
        assert_eq!(session_id_of(&[0; MAX_DATAGRAM + 1]), None);
    }
}
