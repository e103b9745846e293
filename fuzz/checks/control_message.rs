//! A message of the control channel, its kind first: it decodes to what it encodes to.

use fasp_net::control::Message;

pub(crate) fn check(bytes: &[u8]) {
    let Some((kind, body)) = bytes.split_first() else {
        return;
    };
    let Ok(Some(message)) = Message::decode(*kind, body) else {
        return;
    };
    let frame = message
        .to_frame()
        .expect("no longer than what it came from");
    let again = Message::decode(frame[4], &frame[5..]).expect("what we encode is well-formed");
    assert_eq!(again, Some(message));
}
