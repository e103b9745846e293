//! Sealing and opening datagrams in place (protocol §3.4).

use super::aead::Aead;
use super::keys::{Flow, KeyMaterial, Secret};
use crate::DatagramCipher;
use crate::wire::header::{HEADER_SIZE, TAG_SIZE};

/// Numbers per epoch, as a power of two (rule W-11).
const EPOCH_SHIFT: u32 = 22;

/// Seals what one side sends. Epochs only move forward; past keys are wiped.
pub(crate) struct Sealer {
    cipher: DatagramCipher,
    epoch: u64,
    secret: Secret,
    aead: Aead,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer")
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

impl Sealer {
    pub(crate) fn new(material: &KeyMaterial, flow: Flow, cipher: DatagramCipher) -> Self {
        let secret = Secret::initial(material, flow);
        let aead = Aead::new(&secret.epoch_key(cipher), cipher);
        Self {
            cipher,
            epoch: 0,
            secret,
            aead,
        }
    }

    /// Seals a whole datagram whose last 16 bytes are room for the tag. Numbers must not go back by an epoch.
    pub(crate) fn seal(&mut self, number: u64, datagram: &mut [u8]) {
        let epoch = number >> EPOCH_SHIFT;
        debug_assert!(epoch >= self.epoch, "numbers are sealed in order");
        while self.epoch < epoch {
            self.secret = self.secret.next();
            self.aead = Aead::new(&self.secret.epoch_key(self.cipher), self.cipher);
            self.epoch += 1;
        }
        let (header, rest) = datagram.split_at_mut(HEADER_SIZE);
        let (body, tag) = rest.split_at_mut(rest.len() - TAG_SIZE);
        tag.copy_from_slice(&self.aead.seal(number, header, body));
    }
}

/// Opens what the other side sends: keys of three epochs around the highest authenticated number (rule W-12).
pub(crate) struct Opener {
    cipher: DatagramCipher,
    /// Epoch of `current`.
    epoch: u64,
    previous: Option<Aead>,
    current: Aead,
    next: Aead,
    /// Secret of the epoch after `next`.
    after: Secret,
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opener")
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

impl Opener {
    pub(crate) fn new(material: &KeyMaterial, flow: Flow, cipher: DatagramCipher) -> Self {
        let first = Secret::initial(material, flow);
        let second = first.next();
        Self {
            cipher,
            epoch: 0,
            previous: None,
            current: Aead::new(&first.epoch_key(cipher), cipher),
            next: Aead::new(&second.epoch_key(cipher), cipher),
            after: second.next(),
        }
    }

    /// Opens a whole datagram in place and returns its frames, or nothing when the tag or the epoch is wrong.
    pub(crate) fn open<'a>(&mut self, number: u64, datagram: &'a mut [u8]) -> Option<&'a mut [u8]> {
        let epoch = number >> EPOCH_SHIFT;
        let aead = match epoch.checked_sub(self.epoch) {
            Some(0) => &self.current,
            Some(1) => &self.next,
            None if epoch + 1 == self.epoch => self.previous.as_ref()?,
            _ => return None,
        };
        let (header, rest) = datagram.split_at_mut_checked(HEADER_SIZE)?;
        let (body, tag) = rest.split_at_mut_checked(rest.len().checked_sub(TAG_SIZE)?)?;
        let tag = <[u8; TAG_SIZE]>::try_from(&*tag).ok()?;
        if !aead.open(number, header, body, tag) {
            return None;
        }
        if epoch > self.epoch {
            self.advance();
        }
        Some(body)
    }

    fn advance(&mut self) {
        let after = Aead::new(&self.after.epoch_key(self.cipher), self.cipher);
        self.after = self.after.next();
        let next = std::mem::replace(&mut self.next, after);
        self.previous = Some(std::mem::replace(&mut self.current, next));
        self.epoch += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::tests::material;
    use super::*;

    fn pair(cipher: DatagramCipher) -> (Sealer, Opener) {
        (
            Sealer::new(&material(), Flow::ClientToServer, cipher),
            Opener::new(&material(), Flow::ClientToServer, cipher),
        )
    }

    fn datagram(sealer: &mut Sealer, number: u64) -> Vec<u8> {
        let mut bytes = vec![7; HEADER_SIZE + 20 + TAG_SIZE];
        sealer.seal(number, &mut bytes);
        bytes
    }

    /// Rule W-7: every byte of the header is as much part of the tag as the rest.
    #[test]
    fn every_cipher_opens_what_it_sealed_and_nothing_that_was_touched() {
        for cipher in [
            DatagramCipher::None,
            DatagramCipher::Aes128Gcm,
            DatagramCipher::Aes256Gcm,
        ] {
            let (mut sealer, mut opener) = pair(cipher);
            let sealed = datagram(&mut sealer, 5);
            assert_eq!(
                opener.open(5, &mut sealed.clone()).as_deref(),
                Some(&[7; 20][..])
            );
            assert_eq!(
                opener.open(6, &mut sealed.clone()),
                None,
                "w7 number is bound"
            );
            for i in 0..sealed.len() {
                let mut touched = sealed.clone();
                touched[i] ^= 1;
                assert_eq!(opener.open(5, &mut touched), None, "{cipher} byte {i}");
            }
            for n in 0..sealed.len() {
                assert_eq!(opener.open(5, &mut sealed[..n].to_vec()), None);
            }
        }
    }

    #[test]
    fn w4_cipher_none_leaves_the_plaintext_but_still_authenticates() {
        let (mut sealer, _) = pair(DatagramCipher::None);
        assert_eq!(datagram(&mut sealer, 0)[HEADER_SIZE..][..20], [7; 20]);
    }

    #[test]
    fn w12_only_three_epochs_open_and_a_far_jump_derives_nothing() {
        let (mut sealer, mut opener) = pair(DatagramCipher::Aes128Gcm);
        let mut old: Vec<_> = (0..3)
            .map(|e| (e << 22, datagram(&mut sealer, e << 22)))
            .collect();
        assert!(opener.open(old[0].0, &mut old[0].1.clone()).is_some());
        assert!(
            opener.open(old[2].0, &mut old[2].1.clone()).is_none(),
            "two epochs ahead"
        );
        assert!(
            opener.open(1 << 61, &mut old[2].1.clone()).is_none(),
            "f65 huge jump"
        );
        assert!(opener.open(old[1].0, &mut old[1].1).is_some());
        assert!(
            opener.open(old[0].0, &mut old[0].1.clone()).is_some(),
            "previous epoch"
        );
        assert!(opener.open(old[2].0, &mut old[2].1).is_some());
        assert!(
            opener.open(old[0].0, &mut old[0].1).is_none(),
            "two epochs behind is wiped"
        );
    }
}
