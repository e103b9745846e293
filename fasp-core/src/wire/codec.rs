//! A cursor that can only fail cleanly, and its writing counterpart.

/// What is wrong with bytes that should have been a frame or a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The bytes end inside a field.
    #[error("the bytes end inside a field")]
    Short,
    /// A kind or flag that this version does not define.
    #[error("unknown kind {0:#04x}")]
    UnknownKind(u8),
    /// A field is outside its allowed range.
    #[error("a field is outside its range")]
    Range,
}

/// Reads fields from the front of a byte slice.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(head)
    }

    /// Takes everything that is left.
    pub(crate) fn tail(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// Reads an unsigned integer of `size` bytes, 1 to 8.
    pub(crate) fn uint(&mut self, size: usize) -> Result<u64, Malformed> {
        let bytes = self.bytes(size)?;
        Ok(bytes
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// Reads a variable-length integer (RFC 9000 §16).
    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        let first = *self.rest.first().ok_or(Malformed::Short)?;
        let size = 1 << (first >> 6);
        Ok(self.uint(size)? & (u64::MAX >> (66 - 8 * size)))
    }

    pub(crate) fn varint_u32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.varint()?).map_err(|_| Malformed::Range)
    }

    /// Reads a length as a varint, then that many bytes; a length above `limit` is refused first.
    pub(crate) fn length_prefixed(&mut self, limit: usize) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.varint()?).map_err(|_| Malformed::Range)?;
        if length > limit {
            return Err(Malformed::Range);
        }
        self.bytes(length)
    }
}

/// The largest value a varint can hold.
pub(crate) const VARINT_MAX: u64 = (1 << 62) - 1;

/// Returns how many bytes the varint form of `value` takes.
pub(crate) const fn varint_size(value: u64) -> usize {
    match value {
        0..0x40 => 1,
        0x40..0x4000 => 2,
        0x4000..0x4000_0000 => 4,
        _ => 8,
    }
}

/// Appends a variable-length integer; values above 2^62 - 1 are clamped, which no field reaches.
pub(crate) fn put_varint(out: &mut Vec<u8>, value: u64) {
    debug_assert!(value <= VARINT_MAX);
    let value = value.min(VARINT_MAX);
    match varint_size(value) {
        1 => out.push(value as u8),
        2 => out.extend_from_slice(&(value as u16 | 0x4000).to_be_bytes()),
        4 => out.extend_from_slice(&(value as u32 | 0x8000_0000).to_be_bytes()),
        _ => out.extend_from_slice(&(value | 0xc000_0000_0000_0000).to_be_bytes()),
    }
}

/// Appends the lowest `size` bytes of `value`, big-endian.
pub(crate) fn put_uint(out: &mut Vec<u8>, value: u64, size: usize) {
    out.extend_from_slice(&value.to_be_bytes()[8 - size..]);
}

/// Returns how many bytes `value` needs, at least 1.
pub(crate) const fn uint_size(value: u64) -> usize {
    let bits = 64 - value.leading_zeros() as usize;
    if bits == 0 { 1 } else { bits.div_ceil(8) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn varints_round_trip(value in 0..=VARINT_MAX) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            prop_assert_eq!(out.len(), varint_size(value));
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.varint(), Ok(value));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn sized_integers_round_trip(value: u64) {
            let size = uint_size(value);
            let mut out = Vec::new();
            put_uint(&mut out, value, size);
            prop_assert_eq!(Reader::new(&out).uint(size), Ok(value));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while reader.varint().is_ok() {}
        }
    }

    #[test]
    fn rfc_9000_varint_examples() {
        for (bytes, value) in [
            (
                &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c][..],
                151_288_809_941_952_652,
            ),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
        ] {
            assert_eq!(Reader::new(bytes).varint(), Ok(value));
        }
    }

    #[test]
    fn a_length_above_the_limit_is_refused_before_the_bytes_are_looked_at() {
        assert_eq!(
            Reader::new(&[0x05, 1]).length_prefixed(4),
            Err(Malformed::Range)
        );
        assert_eq!(
            Reader::new(&[0x04, 1]).length_prefixed(4),
            Err(Malformed::Short)
        );
    }
}
