//! The frames inside a datagram (protocol §5).

use super::codec::{Malformed, Reader, put_uint, put_varint, uint_size, varint_size};
use super::feedback::Feedback;

/// Version of the protocol that this crate speaks.
pub(crate) const VERSION: u8 = 1;
/// Longest text of a `CLOSE` frame, in bytes.
pub(crate) const MAX_CLOSE_TEXT: usize = 200;

const PADDING: u8 = 0x00;
const HELLO: u8 = 0x01;
const PING: u8 = 0x02;
const PATH_CHALLENGE: u8 = 0x03;
const PATH_RESPONSE: u8 = 0x04;
const PROBE: u8 = 0x05;
const FEEDBACK: u8 = 0x06;
const FLOOR: u8 = 0x07;
const CLOSE: u8 = 0x08;
const PAGE: u8 = 0x10;
const PAGE_LAST: u8 = 0x01;
const WITH_LENGTH: u8 = 0x02;
const DATA: u8 = 0x80;

/// One frame, borrowing from the datagram it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    Padding,
    Hello {
        version: u8,
        max_datagram: u16,
        receive_buffer: u32,
    },
    Ping,
    PathChallenge([u8; 8]),
    PathResponse([u8; 8]),
    Probe,
    Feedback(Feedback),
    Floor(u64),
    Close {
        code: u8,
        text: &'a str,
    },
    Page {
        number: u32,
        offset: u32,
        last: bool,
        bytes: &'a [u8],
    },
    Data {
        file: u32,
        offset: u64,
        bytes: &'a [u8],
    },
}

impl<'a> Frame<'a> {
    /// Takes the next frame, or nothing when the datagram is used up.
    pub(crate) fn next(reader: &mut Reader<'a>) -> Result<Option<Self>, Malformed> {
        if reader.is_empty() {
            return Ok(None);
        }
        let kind = reader.u8()?;
        let frame = match kind {
            PADDING => {
                zeros(reader.tail())?;
                Self::Padding
            }
            HELLO => Self::Hello {
                version: reader.u8()?,
                max_datagram: reader.u16()?,
                receive_buffer: reader.u32()?,
            },
            PING => Self::Ping,
            PATH_CHALLENGE => Self::PathChallenge(reader.u64()?.to_be_bytes()),
            PATH_RESPONSE => Self::PathResponse(reader.u64()?.to_be_bytes()),
            PROBE => {
                zeros(reader.tail())?;
                Self::Probe
            }
            FEEDBACK => Self::Feedback(Feedback::decode(reader)?),
            FLOOR => Self::Floor(reader.varint()?),
            CLOSE => {
                let code = reader.u8()?;
                let text = reader.length_prefixed(MAX_CLOSE_TEXT)?;
                Self::Close {
                    code,
                    text: std::str::from_utf8(text).map_err(|_| Malformed::Range)?,
                }
            }
            PAGE..=0x13 => Self::page(kind, reader)?,
            DATA.. => Self::data(kind, reader)?,
            _ => return Err(Malformed::UnknownKind(kind)),
        };
        Ok(Some(frame))
    }

    fn page(kind: u8, reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let number = reader.varint_u32()?;
        let offset = reader.varint_u32()?;
        let bytes = if kind & WITH_LENGTH == 0 {
            reader.tail()
        } else {
            reader.length_prefixed(usize::from(u16::MAX))?
        };
        Ok(Self::Page {
            number,
            offset,
            last: kind & PAGE_LAST != 0,
            bytes,
        })
    }

    fn data(kind: u8, reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        if kind & 1 != 0 {
            return Err(Malformed::UnknownKind(kind));
        }
        // Both sizes come from 3 and 2 bits: at most 8 and 4 bytes, so the casts cannot cut.
        let file = reader.uint(usize::from(kind >> 2 & 3) + 1)? as u32;
        let offset = reader.uint(usize::from(kind >> 4 & 7) + 1)?;
        let bytes = if kind & WITH_LENGTH == 0 {
            reader.tail()
        } else {
            let length = reader.u16()?;
            reader.bytes(usize::from(length))?
        };
        if bytes.is_empty() {
            return Err(Malformed::Short);
        }
        Ok(Self::Data {
            file,
            offset,
            bytes,
        })
    }

    /// Appends a frame that is not a block or part of a page.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Padding => out.push(PADDING),
            Self::Hello {
                version,
                max_datagram,
                receive_buffer,
            } => {
                out.extend_from_slice(&[HELLO, *version]);
                out.extend_from_slice(&max_datagram.to_be_bytes());
                out.extend_from_slice(&receive_buffer.to_be_bytes());
            }
            Self::Ping => out.push(PING),
            Self::PathChallenge(token) => {
                out.push(PATH_CHALLENGE);
                out.extend_from_slice(token);
            }
            Self::PathResponse(token) => {
                out.push(PATH_RESPONSE);
                out.extend_from_slice(token);
            }
            Self::Probe => out.push(PROBE),
            Self::Feedback(feedback) => {
                out.push(FEEDBACK);
                feedback.encode(out);
            }
            Self::Floor(number) => {
                out.push(FLOOR);
                put_varint(out, *number);
            }
            Self::Close { code, text } => {
                out.extend_from_slice(&[CLOSE, *code]);
                let text = &text.as_bytes()[..text.floor_char_boundary(MAX_CLOSE_TEXT)];
                put_varint(out, text.len() as u64);
                out.extend_from_slice(text);
            }
            Self::Page {
                number,
                offset,
                last,
                bytes,
            } => {
                put_page(out, *number, *offset, *last);
                out.extend_from_slice(bytes);
            }
            Self::Data {
                file,
                offset,
                bytes,
            } => {
                put_data(out, *file, *offset);
                out.extend_from_slice(bytes);
            }
        }
    }

    /// Whether the receiver of this frame owes feedback (protocol §5.1).
    pub(crate) fn is_eliciting(&self) -> bool {
        !matches!(self, Self::Padding | Self::Feedback(_) | Self::Close { .. })
    }
}

fn zeros(bytes: &[u8]) -> Result<(), Malformed> {
    if bytes.iter().all(|b| *b == 0) {
        Ok(())
    } else {
        Err(Malformed::Range)
    }
}

/// Appends the head of a page part that runs to the end of the datagram.
pub(crate) fn put_page(out: &mut Vec<u8>, number: u32, offset: u32, last: bool) {
    out.push(PAGE | if last { PAGE_LAST } else { 0 });
    put_varint(out, u64::from(number));
    put_varint(out, u64::from(offset));
}

/// Appends a whole page part that other frames may follow.
pub(crate) fn put_page_with_length(
    out: &mut Vec<u8>,
    number: u32,
    offset: u32,
    last: bool,
    bytes: &[u8],
) {
    let start = out.len();
    put_page(out, number, offset, last);
    out[start] |= WITH_LENGTH;
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Returns the size of what [`put_page`] appends.
pub(crate) fn page_head_size(number: u32, offset: u32) -> usize {
    1 + varint_size(u64::from(number)) + varint_size(u64::from(offset))
}

/// Appends the head of a block that runs to the end of the datagram.
pub(crate) fn put_data(out: &mut Vec<u8>, file: u32, offset: u64) {
    let (file_size, offset_size) = (uint_size(u64::from(file)), uint_size(offset));
    out.push(DATA | (offset_size as u8 - 1) << 4 | (file_size as u8 - 1) << 2);
    put_uint(out, u64::from(file), file_size);
    put_uint(out, offset, offset_size);
}

/// Returns the size of what [`put_data`] appends.
pub(crate) fn data_head_size(file: u32, offset: u64) -> usize {
    1 + uint_size(u64::from(file)) + uint_size(offset)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(frame: &Frame<'_>) {
        let mut out = Vec::new();
        frame.encode(&mut out);
        let mut reader = Reader::new(&out);
        assert_eq!(Frame::next(&mut reader), Ok(Some(frame.clone())));
        assert_eq!(Frame::next(&mut reader), Ok(None));
    }

    #[test]
    fn every_kind_round_trips() {
        round_trip(&Frame::Padding);
        round_trip(&Frame::Hello {
            version: 1,
            max_datagram: 9216,
            receive_buffer: 425_984,
        });
        round_trip(&Frame::Ping);
        round_trip(&Frame::PathChallenge(*b"12345678"));
        round_trip(&Frame::PathResponse(*b"87654321"));
        round_trip(&Frame::Probe);
        round_trip(&Frame::Floor(1 << 40));
        round_trip(&Frame::Close {
            code: 28,
            text: "cancelled",
        });
        round_trip(&Frame::Page {
            number: 7,
            offset: 70_000,
            last: true,
            bytes: b"abc",
        });
    }

    #[test]
    fn a_block_below_4_gib_costs_six_bytes_of_frame() {
        assert_eq!(data_head_size(3, (1 << 32) - 1), 6);
    }

    #[test]
    fn reserved_bits_and_kinds_are_refused() {
        for kind in [0x09, 0x0f, 0x14, 0x7f, 0x81, 0xff] {
            let bytes = [kind, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1];
            assert_eq!(
                Frame::next(&mut Reader::new(&bytes)),
                Err(Malformed::UnknownKind(kind))
            );
        }
    }

    #[test]
    fn a_long_close_text_is_cut_at_a_character() {
        let text = "é".repeat(150);
        let mut out = Vec::new();
        Frame::Close {
            code: 1,
            text: &text,
        }
        .encode(&mut out);
        let cut = Frame::next(&mut Reader::new(&out));
        assert_eq!(
            cut,
            Ok(Some(Frame::Close {
                code: 1,
                text: &text[..MAX_CLOSE_TEXT]
            }))
        );
    }

    proptest! {
        #[test]
        fn blocks_round_trip(file: u32, offset: u64, bytes in prop::collection::vec(any::<u8>(), 1..64)) {
            round_trip(&Frame::Data { file, offset, bytes: &bytes });
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while let Ok(Some(_)) = Frame::next(&mut reader) {}
        }
    }
}
