//! What else is kept of a file or directory, and what could not be (protocol §9.8).

use super::codec::{Malformed, Reader, put_varint};

/// Most extended attributes of one file.
pub const MAX_XATTRS: usize = 128;
/// Bytes of their names and values together, at most.
pub const MAX_XATTR_BYTES: usize = 64 << 10;
/// Longest name of one, in bytes.
pub const MAX_XATTR_NAME: usize = 255;

/// What is kept of the file or directory that the next record names, besides its [`Attributes`](crate::Attributes).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extra<'a> {
    /// When it was last read: seconds since 1970, and nanoseconds below 1,000,000,000.
    pub accessed: Option<(i64, u32)>,
    /// The numeric owner.
    pub owner: Option<u32>,
    /// The numeric group.
    pub group: Option<u32>,
    /// Extended attributes: names and values.
    pub xattrs: Vec<(&'a [u8], &'a [u8])>,
    /// It has extended attributes that are not here: they could not be read, or are too many.
    pub lacks_xattrs: bool,
}

const ACCESSED: u8 = 1;
const OWNER: u8 = 2;
const GROUP: u8 = 4;
const LACKS_XATTRS: u8 = 8;

impl<'a> Extra<'a> {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let flags = reader.u8()?;
        if flags > ACCESSED | OWNER | GROUP | LACKS_XATTRS {
            return Err(Malformed::UnknownKind(flags));
        }
        let has = |flag| flags & flag != 0;
        let accessed = match has(ACCESSED) {
            true => Some((reader.u64()?.cast_signed(), reader.u32()?)),
            false => None,
        };
        if accessed.is_some_and(|(_, nanos)| nanos >= 1_000_000_000) {
            return Err(Malformed::Range);
        }
        Ok(Self {
            accessed,
            owner: has(OWNER).then(|| reader.u32()).transpose()?,
            group: has(GROUP).then(|| reader.u32()).transpose()?,
            xattrs: decode_xattrs(reader)?,
            lacks_xattrs: has(LACKS_XATTRS),
        })
    }

    /// What exceeds a limit is left out, and said to be.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let count = within_limits(&self.xattrs);
        let flags = [
            (ACCESSED, self.accessed.is_some()),
            (OWNER, self.owner.is_some()),
            (GROUP, self.group.is_some()),
            (LACKS_XATTRS, self.lacks_xattrs || count < self.xattrs.len()),
        ];
        out.push(
            flags
                .iter()
                .filter(|(_, is_set)| *is_set)
                .map(|(flag, _)| flag)
                .sum(),
        );
        if let Some((seconds, nanos)) = self.accessed {
            out.extend_from_slice(&seconds.to_be_bytes());
            out.extend_from_slice(&nanos.to_be_bytes());
        }
        for id in self.owner.iter().chain(&self.group) {
            out.extend_from_slice(&id.to_be_bytes());
        }
        put_varint(out, count as u64);
        for (name, value) in &self.xattrs[..count] {
            put_varint(out, name.len() as u64);
            out.extend_from_slice(name);
            put_varint(out, value.len() as u64);
            out.extend_from_slice(value);
        }
    }
}

/// How many of these may travel.
fn within_limits(xattrs: &[(&[u8], &[u8])]) -> usize {
    let mut room = MAX_XATTR_BYTES;
    let fits = |(name, value): &&(&[u8], &[u8])| {
        let left = room.checked_sub(name.len() + value.len());
        room = left.unwrap_or(0);
        left.is_some() && name.len() <= MAX_XATTR_NAME
    };
    xattrs.iter().take(MAX_XATTRS).take_while(fits).count()
}

/// Name and value of an extended attribute.
type Xattr<'a> = (&'a [u8], &'a [u8]);

fn decode_xattrs<'a>(reader: &mut Reader<'a>) -> Result<Vec<Xattr<'a>>, Malformed> {
    let count = usize::try_from(reader.varint()?).map_err(|_| Malformed::Range)?;
    // Each takes two bytes at least, which bounds the reservation by what is really there.
    if count > MAX_XATTRS || count * 2 > reader.remaining() {
        return Err(Malformed::Range);
    }
    let mut xattrs = Vec::with_capacity(count);
    let mut room = MAX_XATTR_BYTES;
    for _ in 0..count {
        let name = reader.length_prefixed(MAX_XATTR_NAME.min(room))?;
        room -= name.len();
        let value = reader.length_prefixed(room)?;
        room -= value.len();
        xattrs.push((name, value));
    }
    Ok(xattrs)
}

/// What of a file or directory was to be kept and could not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct NotKept {
    /// The times of its last change and its last use.
    pub times: bool,
    /// Its permission bits.
    pub mode: bool,
    /// Its owner.
    pub owner: bool,
    /// Its group.
    pub group: bool,
    /// One of its extended attributes, or more.
    pub xattrs: bool,
}

impl NotKept {
    /// Whether everything was kept.
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }

    /// What either of two lacks.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            times: self.times || other.times,
            mode: self.mode || other.mode,
            owner: self.owner || other.owner,
            group: self.group || other.group,
            xattrs: self.xattrs || other.xattrs,
        }
    }

    /// The names of what was not kept, for events.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let all = [
            (self.times, "times"),
            (self.mode, "mode"),
            (self.owner, "owner"),
            (self.group, "group"),
            (self.xattrs, "xattrs"),
        ];
        all.into_iter()
            .filter(|(is_lost, _)| *is_lost)
            .map(|(_, name)| name)
    }

    /// Reads the form in which it travels. Bits that a later version defines are ignored.
    pub fn from_bits(bits: u8) -> Self {
        Self {
            times: bits & 1 != 0,
            mode: bits & 2 != 0,
            owner: bits & 4 != 0,
            group: bits & 8 != 0,
            xattrs: bits & 16 != 0,
        }
    }

    /// Returns the form in which it travels.
    pub fn bits(self) -> u8 {
        u8::from(self.times)
            | u8::from(self.mode) << 1
            | u8::from(self.owner) << 2
            | u8::from(self.group) << 3
            | u8::from(self.xattrs) << 4
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn decoded(bytes: &[u8]) -> Result<Extra<'_>, Malformed> {
        Extra::decode(&mut Reader::new(bytes))
    }

    #[test]
    fn f68_announced_attributes_are_refused_before_anything_is_reserved() {
        let too_many = [&[0u8, 0x40, 129][..], &[0; 400]].concat();
        assert_eq!(decoded(&too_many), Err(Malformed::Range));
        assert_eq!(
            decoded(&[0, 0x40, 128]),
            Err(Malformed::Range),
            "nothing is there"
        );
        let long_name = [&[0u8, 1, 0x41, 0][..], &[b'a'; 300]].concat();
        assert_eq!(decoded(&long_name), Err(Malformed::Range));
        // A value of 64 KiB behind a name of one byte.
        let mut too_large = vec![0, 1, 1, b'a', 0x80, 1, 0, 0];
        too_large.resize(80_000, 0);
        assert_eq!(decoded(&too_large), Err(Malformed::Range));
        too_large[4..8].copy_from_slice(&[0x80, 0, 0xff, 0xff]);
        assert_eq!(decoded(&too_large).map(|e| e.xattrs[0].1.len()), Ok(65_535));
        assert_eq!(decoded(&[16, 0]), Err(Malformed::UnknownKind(16)));
        let no_time = [&[1u8][..], &[0; 8], &1_000_000_000u32.to_be_bytes(), &[0]].concat();
        assert_eq!(decoded(&no_time), Err(Malformed::Range));
    }

    #[test]
    fn what_exceeds_a_limit_is_left_out_and_said_to_be() {
        let value = vec![7; 40_000];
        let xattrs = vec![(&b"user.a"[..], &value[..]), (b"user.b", &value)];
        let extra = Extra {
            xattrs,
            ..Extra::default()
        };
        let mut out = Vec::new();
        extra.encode(&mut out);
        let back = decoded(&out).unwrap();
        assert!(back.lacks_xattrs && back.xattrs.len() == 1);
        let name = [b'n'; 10];
        let many = Extra {
            xattrs: vec![(&name[..], &b"v"[..]); 200],
            ..Extra::default()
        };
        out.clear();
        many.encode(&mut out);
        assert_eq!(decoded(&out).unwrap().xattrs.len(), MAX_XATTRS);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            accessed: Option<(i64, u32)>,
            owner: Option<u32>,
            group: Option<u32>,
            lacks_xattrs: bool,
            xattrs in vec((vec(any::<u8>(), 0..=255), vec(any::<u8>(), 0..200)), 0..=128),
        ) {
            let accessed = accessed.map(|(seconds, nanos)| (seconds, nanos % 1_000_000_000));
            let xattrs = xattrs.iter().map(|(n, v)| (n.as_slice(), v.as_slice())).collect();
            let extra = Extra { accessed, owner, group, xattrs, lacks_xattrs };
            let mut out = Vec::new();
            extra.encode(&mut out);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(Extra::decode(&mut reader), Ok(extra));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            if let Ok(extra) = decoded(&bytes) {
                let size: usize = extra.xattrs.iter().map(|(n, v)| n.len() + v.len()).sum();
                prop_assert!(size <= MAX_XATTR_BYTES && extra.xattrs.len() <= MAX_XATTRS);
            }
        }

        #[test]
        fn what_was_not_kept_travels_in_a_byte(bits in 0u8..32) {
            prop_assert_eq!(NotKept::from_bits(bits).bits(), bits);
            prop_assert_eq!(NotKept::from_bits(bits).names().count() as u32, bits.count_ones());
        }
    }
}
