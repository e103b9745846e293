//! The client's first flight, and the keys of both ends (protocol §2.5).

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral},
    digest, hkdf, hmac,
    rand::SystemRandom,
};
use zeroize::Zeroizing;

use super::{expand, extract, record::RecordKey};

/// What a resumed connection begins with.
pub(super) const MAGIC: [u8; 8] = *b"\xfdCtrl\r\n\x01";
/// Everything before the sealed messages.
pub(super) const HEAD: usize = 8 + 16 + 32 + 32 + 4;
/// Most bytes of messages in an offer.
pub(super) const MAX_MESSAGES: usize = 65_536;
/// What AES-GCM adds.
pub(super) const TAG: usize = 16;
/// Bytes of an answer that accepts.
pub(super) const ACCEPTED: usize = 1 + 32 + 32;

/// The part of an offer that the server reads before it knows how long the rest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) id: [u8; 16],
    pub(super) share: [u8; 32],
    /// Bytes that follow.
    pub(super) length: usize,
}

impl Head {
    /// Reads a head; `None` for anything but an offer of this version and of a permitted length.
    pub(super) fn parse(bytes: &[u8; HEAD]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (id, rest) = rest.split_first_chunk::<16>()?;
        let (_nonce, rest) = rest.split_first_chunk::<32>()?;
        let (share, rest) = rest.split_first_chunk::<32>()?;
        let length = u32::from_be_bytes(*rest.first_chunk::<4>()?) as usize;
        let is_offer = *magic == MAGIC && (TAG + 1..=MAX_MESSAGES + TAG).contains(&length);
        is_offer.then_some(Self {
            id: *id,
            share: *share,
            length,
        })
    }
}

/// Makes an offer of `messages`. `random` is fresh; should it ever repeat, other messages still get another key.
pub(crate) fn seal(
    secret: &[u8; 32],
    id: &[u8; 16],
    random: &[u8; 32],
    share: &[u8; 32],
    messages: &[u8],
) -> Option<Vec<u8>> {
    let length = u32::try_from(messages.len() + TAG).ok()?;
    if !(1..=MAX_MESSAGES).contains(&messages.len()) {
        return None;
    }
    let early = extract(b"FDC1 ticket", secret);
    let mut key = Zeroizing::new([0; 32]);
    expand(&early, &[b"nonce"], &mut *key);
    let mut hashing = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &*key));
    hashing.update(random);
    hashing.update(messages);
    let nonce = hashing.sign();
    let mut offer = Vec::with_capacity(HEAD + messages.len() + TAG);
    offer.extend_from_slice(&MAGIC);
    offer.extend_from_slice(id);
    offer.extend_from_slice(nonce.as_ref());
    offer.extend_from_slice(share);
    offer.extend_from_slice(&length.to_be_bytes());
    let (key, iv) = early_key(&early, &offer)?;
    let aad = Aad::from(offer.clone());
    offer.extend_from_slice(messages);
    let tag = key
        .seal_in_place_separate_tag(iv, aad, &mut offer[HEAD..])
        .ok()?;
    offer.extend_from_slice(tag.as_ref());
    Some(offer)
}

/// Opens a whole offer and returns its messages; `None` when anything is wrong with it.
pub(crate) fn open(secret: &[u8; 32], offer: &[u8]) -> Option<Vec<u8>> {
    let (head, sealed) = offer.split_first_chunk::<HEAD>()?;
    let parsed = Head::parse(head)?;
    if sealed.len() != parsed.length {
        return None;
    }
    let (key, iv) = early_key(&extract(b"FDC1 ticket", secret), head)?;
    let mut sealed = sealed.to_vec();
    let length = key
        .open_in_place(iv, Aad::from(head), &mut sealed)
        .ok()?
        .len();
    sealed.truncate(length);
    Some(sealed)
}

/// The key of one offer, from its id, nonce and share.
fn early_key(early: &hkdf::Prk, head: &[u8]) -> Option<(LessSafeKey, Nonce)> {
    let unique = head.get(MAGIC.len()..HEAD - 4)?;
    let mut key = Zeroizing::new([0; 32]);
    let mut iv = [0; 12];
    expand(early, &[b"key", unique], &mut *key);
    expand(early, &[b"iv", unique], &mut iv);
    let key = UnboundKey::new(&AES_256_GCM, &*key).ok()?;
    Some((LessSafeKey::new(key), Nonce::assume_unique_for_key(iv)))
}

/// One end's half of a key agreement.
pub(super) struct Share {
    private: EphemeralPrivateKey,
    pub(super) public: [u8; 32],
}

impl Share {
    /// Draws a new one; `None` without randomness.
    pub(super) fn new() -> Option<Self> {
        let private = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).ok()?;
        let public = private.compute_public_key().ok()?;
        Some(Self {
            public: public.as_ref().try_into().ok()?,
            private,
        })
    }
}

/// What both ends have once an offer has been accepted.
pub(super) struct Keys {
    pub(super) client_to_server: RecordKey,
    pub(super) server_to_client: RecordKey,
    /// The channel binding of the data keys.
    pub(super) binding: [u8; 32],
}

impl Keys {
    /// Derives the keys from everything that was sent so far; `None` for a share that is no public key.
    pub(super) fn agree(
        secret: &[u8; 32],
        own: Share,
        theirs: &[u8; 32],
        offer: &[u8],
        answer: &[u8; ACCEPTED],
    ) -> Option<Self> {
        let mut transcript = digest::Context::new(&digest::SHA256);
        transcript.update(offer);
        transcript.update(answer);
        let salt = transcript.finish();
        let theirs = UnparsedPublicKey::new(&X25519, theirs);
        let master = agree_ephemeral(own.private, &theirs, |shared| {
            let mut input = Zeroizing::new(Vec::with_capacity(64));
            input.extend_from_slice(secret);
            input.extend_from_slice(shared);
            extract(salt.as_ref(), &input)
        })
        .ok()?;
        let mut binding = [0; 32];
        expand(&master, &[b"binding"], &mut binding);
        Some(Self {
            client_to_server: RecordKey::derive(&master, b"c2s")?,
            server_to_client: RecordKey::derive(&master, b"s2c")?,
            binding,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; 32] = [1; 32];

    fn offer(random: u8, messages: &[u8]) -> Vec<u8> {
        seal(&SECRET, &[2; 16], &[random; 32], &[3; 32], messages).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_and_nothing_else_does() {
        let whole = offer(7, b"messages");
        assert_eq!(open(&SECRET, &whole).as_deref(), Some(&b"messages"[..]));
        assert_eq!(open(&[9; 32], &whole), None, "another secret");
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert_eq!(open(&SECRET, &changed), None, "byte {at}");
            assert_eq!(open(&SECRET, &whole[..at]), None, "cut at {at}");
        }
        assert_eq!(open(&SECRET, &[&whole[..], b"x"].concat()), None);
    }

    #[test]
    fn w8_random_bytes_that_repeat_do_not_repeat_a_key_for_other_messages() {
        let (first, second) = (offer(7, b"messages"), offer(7, b"massages"));
        assert_ne!(
            first[24..56],
            second[24..56],
            "the nonce, and with it the key"
        );
        let overlap = first[HEAD..].iter().zip(&second[HEAD..]);
        let xor: Vec<u8> = overlap.map(|(a, b)| a ^ b).collect();
        let plain: Vec<u8> = b"messages"
            .iter()
            .zip(b"massages")
            .map(|(a, b)| a ^ b)
            .collect();
        assert_ne!(xor[..8], plain[..], "the key stream is another one");
        assert_eq!(
            offer(7, b"messages"),
            first,
            "the same offer gives nothing away"
        );
    }

    #[test]
    fn lengths_are_checked_before_anything_is_allocated() {
        let mut head: [u8; HEAD] = *offer(1, b"m").first_chunk().unwrap();
        for length in [0u32, 16, 65_553, u32::MAX] {
            head[HEAD - 4..].copy_from_slice(&length.to_be_bytes());
            assert_eq!(Head::parse(&head), None, "{length}");
        }
        assert!(seal(&SECRET, &[2; 16], &[0; 32], &[3; 32], b"").is_none());
        assert!(seal(&SECRET, &[2; 16], &[0; 32], &[3; 32], &[0; 65_537]).is_none());
        let longest = offer(1, &[0; 65_536]);
        assert_eq!(open(&SECRET, &longest).map(|m| m.len()), Some(65_536));
    }

    #[test]
    fn w8_both_ends_derive_the_same_keys_and_every_connection_others() {
        let whole = offer(1, b"m");
        let binding = |answer: &[u8; ACCEPTED]| {
            let (client, server) = (Share::new().unwrap(), Share::new().unwrap());
            let (client_share, server_share) = (client.public, server.public);
            let one = Keys::agree(&SECRET, client, &server_share, &whole, answer).unwrap();
            let two = Keys::agree(&SECRET, server, &client_share, &whole, answer).unwrap();
            assert_eq!(one.binding, two.binding);
            one.binding
        };
        assert_ne!(binding(&[1; ACCEPTED]), binding(&[1; ACCEPTED]));
        let zero = Keys::agree(
            &SECRET,
            Share::new().unwrap(),
            &[0; 32],
            &whole,
            &[1; ACCEPTED],
        );
        assert!(zero.is_none(), "a share that makes the secret known");
    }
}
