//! The size of pieces, then a control stream: what is received does not depend on how it was cut.

use fasp_net::testing::received_messages;

pub(crate) fn check(bytes: &[u8]) {
    let Some((piece, stream)) = bytes.split_first() else {
        return;
    };
    let whole = received_messages(stream, stream.len());
    let cut = received_messages(stream, usize::from(*piece));
    assert_eq!(whole, cut);
    // Five bytes are the shortest message.
    assert!(whole.0.len() <= stream.len() / 5);
}
