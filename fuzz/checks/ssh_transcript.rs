//! The clear-text part of an SSH handshake: what is recorded does not depend on how the bytes were cut.

use fasp_net::testing::recorded_handshake;

/// The first byte says who sent the rest and how long the pieces are.
pub(crate) fn check(bytes: &[u8]) {
    let Some((first, sent)) = bytes.split_first() else {
        return;
    };
    let from_client = first & 1 == 0;
    // Beyond 64 KiB pieces are refused that in one go would still hold the end of the handshake.
    let sent = &sent[..sent.len().min(60_000)];
    let whole = recorded_handshake(from_client, sent, usize::MAX);
    let pieces = recorded_handshake(from_client, sent, usize::from(first >> 1) + 1);
    assert_eq!(whole, pieces);
    assert!(whole.is_none_or(|recorded| sent.starts_with(&recorded)));
}
