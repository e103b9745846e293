//! The datagrams that carry a second copy of control bytes (protocol §2.7).

use ring::hmac;

/// Bytes of the stream in one datagram: it has to fit every path (protocol §12).
pub(super) const MAX_PIECE: usize = 1100;
const HEADER: usize = 8 + 4;
const TAG: usize = 16;

/// Whose bytes a datagram carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Client,
    Server,
}

impl From {
    /// Who answers.
    pub(super) fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    fn label(self) -> &'static [u8] {
        match self {
            Self::Client => b"c2s",
            Self::Server => b"s2c",
        }
    }
}

/// What both ends derive from the random bytes in the server's identification line.
#[derive(Debug)]
pub(super) struct Keys {
    /// Stands where a session id stands in other datagrams.
    pub(super) id: u64,
    tag: hmac::Key,
}

impl Keys {
    pub(super) fn derive(token: &[u8; 16]) -> Self {
        let token = hmac::Key::new(hmac::HMAC_SHA256, token);
        let id = hmac::sign(&token, b"FDC1 doubled id");
        let mut first = [0; 8];
        first.copy_from_slice(&id.as_ref()[..8]);
        let tag = hmac::sign(&token, b"FDC1 doubled tag");
        Self {
            id: u64::from_be_bytes(first),
            tag: hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref()),
        }
    }

    fn tag(&self, from: From, said: &[u8]) -> [u8; TAG] {
        let mut signing = hmac::Context::with_key(&self.tag);
        signing.update(from.label());
        signing.update(said);
        let mut tag = [0; TAG];
        tag.copy_from_slice(&signing.sign().as_ref()[..TAG]);
        tag
    }

    /// Returns a datagram with the bytes that stand at `offset` of the stream.
    pub(super) fn seal(&self, from: From, offset: u32, bytes: &[u8]) -> Vec<u8> {
        let mut datagram = Vec::with_capacity(HEADER + bytes.len() + TAG);
        datagram.extend_from_slice(&self.id.to_be_bytes());
        datagram.extend_from_slice(&offset.to_be_bytes());
        datagram.extend_from_slice(bytes);
        let tag = self.tag(from, &datagram);
        datagram.extend_from_slice(&tag);
        datagram
    }

    /// Returns offset and bytes, unless the datagram is damaged, reflected or somebody else's.
    pub(super) fn open<'a>(&self, from: From, datagram: &'a [u8]) -> Option<(u32, &'a [u8])> {
        let (said, tag) = datagram.split_last_chunk::<TAG>()?;
        let (header, bytes) = said.split_first_chunk::<HEADER>()?;
        // Compared in constant time by habit: the tag guards against damage and against who has not seen the handshake.
        let expected = self.tag(from, said);
        let differs = expected.iter().zip(tag).fold(0, |d, (a, b)| d | (a ^ b));
        if differs != 0 || bytes.len() > MAX_PIECE {
            return None;
        }
        let [_, _, _, _, _, _, _, _, a, b, c, d] = *header;
        Some((u32::from_be_bytes([a, b, c, d]), bytes))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test set-up")]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_opens_for_its_own_direction_and_connection_only() {
        let keys = Keys::derive(&[7; 16]);
        let datagram = keys.seal(From::Client, 300, b"bytes");
        assert_eq!(
            keys.open(From::Client, &datagram).unwrap(),
            (300, &b"bytes"[..])
        );
        assert_eq!(keys.open(From::Server, &datagram), None);
        assert_eq!(Keys::derive(&[8; 16]).open(From::Client, &datagram), None);
    }

    #[test]
    fn f46_each_damaged_or_shortened_datagram_is_dropped() {
        let keys = Keys::derive(&[7; 16]);
        let datagram = keys.seal(From::Server, 0, b"bytes of a handshake");
        for bit in 0..datagram.len() * 8 {
            let mut damaged = datagram.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(keys.open(From::Server, &damaged), None, "bit {bit}");
        }
        for length in 0..datagram.len() {
            assert_eq!(keys.open(From::Server, &datagram[..length]), None);
        }
    }
}
