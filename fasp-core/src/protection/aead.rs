//! The AEAD of datagrams (protocol §3.4), by whichever library is the faster one on this machine.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::keys::EpochKey;
use super::library::{Key, Library};
use crate::DatagramCipher;
use crate::wire::header::{HEADER_SIZE, MAX_DATAGRAM, TAG_SIZE};

/// Times that a library seals and opens a datagram to show how fast it is; the fastest counts, as anything may come between.
const TRIES: u64 = 8;

/// The one small type that the AEAD sits behind.
pub(super) struct Aead {
    key: Key,
    iv: [u8; 12],
    cipher: DatagramCipher,
}

impl Aead {
    pub(super) fn new(epoch: &EpochKey, cipher: DatagramCipher) -> Self {
        let key = &epoch.key[..epoch.key_size];
        Self::with(fastest(cipher), key, epoch.iv, cipher)
    }

    fn with(library: Library, key: &[u8], iv: [u8; 12], cipher: DatagramCipher) -> Self {
        Self {
            key: Key::new(library, key),
            iv,
            cipher,
        }
    }

    fn nonce(&self, number: u64) -> [u8; 12] {
        let mut nonce = self.iv;
        for (byte, n) in nonce[4..].iter_mut().zip(number.to_be_bytes()) {
            *byte ^= n;
        }
        nonce
    }

    pub(super) fn seal(&self, number: u64, header: &[u8], body: &mut [u8]) -> [u8; TAG_SIZE] {
        let nonce = self.nonce(number);
        match self.cipher {
            DatagramCipher::None => self.key.seal(nonce, &[header, body].concat(), &mut []),
            _ => self.key.seal(nonce, header, body),
        }
    }

    /// Opens in place; on failure the body holds nothing that may be used.
    pub(super) fn open(
        &self,
        number: u64,
        header: &[u8],
        body: &mut [u8],
        tag: [u8; TAG_SIZE],
    ) -> bool {
        let nonce = self.nonce(number);
        match self.cipher {
            DatagramCipher::None => {
                let whole = [header, body].concat();
                self.key.open(nonce, &whole, &mut [], tag)
            }
            _ => self.key.open(nonce, header, body, tag),
        }
    }
}

/// The library that is the faster one for a cipher on this processor: measured at the first use, which takes some 100 µs.
fn fastest(cipher: DatagramCipher) -> Library {
    static AUTHENTICATED: OnceLock<Library> = OnceLock::new();
    static ENCRYPTED: OnceLock<Library> = OnceLock::new();
    let known = match cipher {
        DatagramCipher::None => &AUTHENTICATED,
        DatagramCipher::Aes128Gcm | DatagramCipher::Aes256Gcm => &ENCRYPTED,
    };
    *known.get_or_init(|| {
        let [ring, aws_lc] = Library::ALL.map(|library| time(library, cipher));
        match aws_lc < ring {
            true => Library::AwsLc,
            false => Library::Ring,
        }
    })
}

/// What it takes to seal and open a large datagram.
fn time(library: Library, cipher: DatagramCipher) -> Duration {
    let aead = Aead::with(library, &[0; 32], [0; 12], cipher);
    let mut datagram = [0; MAX_DATAGRAM];
    let (header, body) = datagram.split_at_mut(HEADER_SIZE);
    let tries = (0..TRIES).map(|number| {
        let begun = Instant::now();
        let tag = aead.seal(number, header, body);
        aead.open(number, header, body, tag);
        begun.elapsed()
    });
    tries.min().unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::keys::{Flow, Secret, tests::material};
    use super::*;

    #[test]
    fn w6_nonces_and_ciphertexts_match_their_vectors_on_both_sides_of_an_epoch() {
        for (number, secret_steps, expected) in [
            (
                4_194_303u64,
                0,
                "61a31c8cbd7c2a3d147d45f6386fc3aff28114aa5a5481",
            ),
            (
                4_194_304,
                1,
                "1eb61e8432f754a461e36df23a33d1b807ed4ce0fce8dc",
            ),
        ] {
            let mut secret = Secret::initial(&material(), Flow::ClientToServer);
            for _ in 0..secret_steps {
                secret = secret.next();
            }
            let key = secret.epoch_key(DatagramCipher::Aes256Gcm);
            for library in Library::ALL {
                let bytes = &key.key[..key.key_size];
                let aead = Aead::with(library, bytes, key.iv, DatagramCipher::Aes256Gcm);
                let mut body = *b"payload";
                let tag = aead.seal(number, &[0xaa, 0xbb, 0xcc], &mut body);
                let hex: String = body
                    .iter()
                    .chain(&tag)
                    .map(|b| format!("{b:02x}"))
                    .collect();
                assert_eq!(hex, expected, "{library:?}");
            }
        }
    }

    proptest! {
        /// Who seals and who opens need not use the same library, and neither opens what was touched.
        #[test]
        fn w7_each_library_opens_what_the_other_sealed_and_nothing_else(
            body in proptest::collection::vec(any::<u8>(), 0..3000),
            number in 0..u64::MAX,
            touched in any::<proptest::sample::Index>(),
            is_sealed_by_ring: bool,
            cipher in prop::sample::select(vec![
                (DatagramCipher::None, 32),
                (DatagramCipher::Aes128Gcm, 16),
                (DatagramCipher::Aes256Gcm, 32),
            ]),
        ) {
            let (cipher, key_size) = cipher;
            let mut aeads = Library::ALL.map(|library| {
                Aead::with(library, &[3; 32][..key_size], [5; 12], cipher)
            });
            if !is_sealed_by_ring {
                aeads.reverse();
            }
            let [sealing, opening] = aeads;
            let mut datagram = body.clone();
            let tag = sealing.seal(number, b"header", &mut datagram);
            let mut opened = datagram.clone();
            prop_assert!(opening.open(number, b"header", &mut opened, tag));
            prop_assert_eq!(&opened, &body);
            let mut all = [&b"header"[..], &datagram, &tag].concat();
            let at = touched.index(all.len());
            all[at] ^= 1;
            let (header, rest) = all.split_at_mut(6);
            let (body, tag) = rest.split_at_mut(datagram.len());
            let tag = <[u8; TAG_SIZE]>::try_from(&*tag).expect("as long as before");
            prop_assert!(!opening.open(number, header, body, tag));
        }
    }

    #[test]
    fn the_faster_library_is_measured_once_for_each_way_of_use() {
        for cipher in [DatagramCipher::None, DatagramCipher::Aes128Gcm] {
            let first = fastest(cipher);
            assert!((0..100).all(|_| fastest(cipher) == first));
            for library in Library::ALL {
                assert!(time(library, cipher) > Duration::ZERO);
            }
        }
    }
}
