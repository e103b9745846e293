//! The key schedule (protocol §3.1 to §3.3).

use ring::{hkdf, hmac};
use zeroize::{Zeroize as _, Zeroizing};

use crate::{DatagramCipher, SessionId, TransferId};

/// Which way a datagram goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    ClientToServer,
    ServerToClient,
}

impl Flow {
    fn label(self) -> &'static [u8] {
        match self {
            Self::ClientToServer => b"c2s",
            Self::ServerToClient => b"s2c",
        }
    }
}

/// What both ends of a session know once the control channel has agreed on it. Prints no secrets.
#[derive(Clone)]
pub struct KeyMaterial {
    /// Random bytes of the client.
    pub client_random: Zeroizing<[u8; 32]>,
    /// Random bytes of the server.
    pub server_random: Zeroizing<[u8; 32]>,
    /// Value that ties the keys to the control connection (protocol §3.2).
    pub channel_binding: [u8; 32],
    /// The session.
    pub session: SessionId,
    /// The transfer that the session belongs to.
    pub transfer: TransferId,
}

impl std::fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyMaterial")
            .field("session", &self.session)
            .field("transfer", &self.transfer)
            .finish_non_exhaustive()
    }
}

/// The secret of one direction in one epoch; wiped when dropped.
pub(crate) struct Secret(Zeroizing<[u8; 32]>);

/// The AEAD inputs of one epoch; wiped when dropped.
pub(crate) struct EpochKey {
    pub(crate) key: Zeroizing<[u8; 32]>,
    pub(crate) key_size: usize,
    pub(crate) iv: [u8; 12],
}

impl Drop for EpochKey {
    fn drop(&mut self) {
        self.iv.zeroize();
    }
}

impl Secret {
    /// Derives the secret of epoch 0 (rules W-2 and W-3).
    pub(crate) fn initial(material: &KeyMaterial, flow: Flow) -> Self {
        let mut input = Zeroizing::new([0; 64]);
        input[..32].copy_from_slice(&*material.client_random);
        input[32..].copy_from_slice(&*material.server_random);
        // HKDF-Extract is HMAC with the salt as key (RFC 5869 §2.2).
        let salt = hmac::Key::new(hmac::HMAC_SHA256, &material.channel_binding);
        let prk = hmac::sign(&salt, &*input);
        let session = material.session.0.to_be_bytes();
        let info = [b"FDC1 ", flow.label(), &session, &material.transfer.0];
        let mut secret = Zeroizing::new([0; 32]);
        expand(prk.as_ref(), &info, &mut *secret);
        Self(secret)
    }

    /// Derives the secret of the next epoch (rule W-11).
    pub(crate) fn next(&self) -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        expand(&*self.0, &[b"ku"], &mut *secret);
        Self(secret)
    }

    pub(crate) fn epoch_key(&self, cipher: DatagramCipher) -> EpochKey {
        let key_size = match cipher {
            DatagramCipher::Aes128Gcm => 16,
            DatagramCipher::Aes256Gcm | DatagramCipher::None => 32,
        };
        let mut key = Zeroizing::new([0; 32]);
        expand(&*self.0, &[b"key"], &mut key[..key_size]);
        let mut iv = [0; 12];
        expand(&*self.0, &[b"iv"], &mut iv);
        EpochKey { key, key_size, iv }
    }
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand(secret: &[u8], info: &[&[u8]], out: &mut [u8]) {
    let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, secret);
    let size = Length(out.len());
    // HKDF gives up to 255 hashes' worth of bytes; at most 32 are ever asked for here.
    prk.expand(info, size)
        .and_then(|okm| okm.fill(out))
        .expect("HKDF-SHA256 gives 32 bytes");
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn material() -> KeyMaterial {
        let run = |first: u8| std::array::from_fn(|i| first + i as u8);
        KeyMaterial {
            client_random: Zeroizing::new(run(0)),
            server_random: Zeroizing::new(run(0x20)),
            channel_binding: run(0x40),
            session: SessionId(0x0102_0304_0506_0708),
            transfer: TransferId(std::array::from_fn(|i| 0x10 + i as u8)),
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn w2_w3_w11_the_schedule_matches_its_vector() {
        let down = Secret::initial(&material(), Flow::ServerToClient);
        assert_eq!(
            hex(&*down.0),
            "181d8517e4e4094cbb876ef6919743bd820526d7d79a8e344fd30e83db9d160f"
        );
        let up = Secret::initial(&material(), Flow::ClientToServer);
        assert_eq!(
            hex(&*up.0),
            "c58fc7c90c9896d2fd3058e7fe94160d495230f7487f59b3a66100833f43155f"
        );
        let key = up.epoch_key(DatagramCipher::Aes256Gcm);
        assert_eq!(
            hex(&*key.key),
            "c320f74148426e43c24721fd59cdd3e8552686d67993e949235b885368c2a375"
        );
        assert_eq!(hex(&key.iv), "6be6f7fb66734c68bc50c6c0");
        let next = up.next();
        assert_eq!(
            hex(&*next.0),
            "57dd20067c3694ae7cafc379d95fe9608c8522e0a860189ffcd75e2606eb2561"
        );
        let key = next.epoch_key(DatagramCipher::Aes256Gcm);
        assert_eq!(
            hex(&*key.key),
            "3596736f6c5ff9205778011e738dea0a3f484a067d30fb4758e13157d9893d11"
        );
        assert_eq!(hex(&key.iv), "3fef407be98fe45b16d2ccfb");
    }

    #[test]
    fn c4_key_material_prints_no_secret() {
        let text = format!("{:?}", material());
        assert!(
            !text.contains("random") && !text.contains("binding"),
            "{text}"
        );
    }
}
