//! A decrypted datagram: every frame decodes to what it encodes to.

use fasp_core::{session_id_of, testing};

pub(crate) fn check(datagram: &[u8]) {
    let _ = session_id_of(datagram);
    // What is malformed is refused, which is all that is asked for; the rest is checked inside.
    let _ = testing::check_frames(datagram);
}
