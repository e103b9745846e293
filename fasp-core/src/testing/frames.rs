//! The frames of a datagram, taken apart and put together again.

use crate::Malformed;
use crate::wire::codec::Reader;
use crate::wire::frame::Frame;

/// Decodes the frames of a decrypted datagram and returns how many there are.
///
/// # Errors
/// [`Malformed`] when the session would refuse the datagram.
///
/// # Panics
/// When a frame does not decode to what it encodes to.
pub fn check_frames(datagram: &[u8]) -> Result<usize, Malformed> {
    let mut reader = Reader::new(datagram);
    let mut count = 0;
    while let Some(frame) = Frame::next(&mut reader)? {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        let mut again = Reader::new(&bytes);
        assert_eq!(Frame::next(&mut again), Ok(Some(frame)));
        assert_eq!(Frame::next(&mut again), Ok(None));
        count += 1;
    }
    Ok(count)
}
