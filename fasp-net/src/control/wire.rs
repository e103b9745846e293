//! How value types look in CBOR: integers and byte strings, checked against the limits of protocol §12.

use std::time::Duration;

use fasp_core::{DatagramCipher, ErrorCode, NotKept, Rate, RatePolicy, SessionId, TransferId};
use minicbor::{
    Decoder, Encoder,
    data::Type,
    decode::Error as DecodeError,
    encode::{Error as EncodeError, Write},
};
use transfer_spec::{Direction, OverwritePolicy, Preserve, ResumePolicy, SymlinkPolicy};

use super::message::{BindingKind, ContentProtection, Entry, EntryKind, Listing, Locks};

/// Deepest nesting of arrays and maps (protocol §2.2).
pub(super) const MAX_NESTING: usize = 16;

type Decoded<T> = Result<T, DecodeError>;
type Encoded<W> = Result<(), EncodeError<<W as Write>::Error>>;

/// Walks over a body once before anything is decoded: one value, definite lengths only, no tags, at most
/// [`MAX_NESTING`] deep, every length within the input, nothing behind it.
///
/// No recursion, so depth costs no stack; and a decoder that trusts an announced length afterwards is right to.
pub(super) fn check_shape(body: &[u8]) -> Decoded<()> {
    let mut decoder = Decoder::new(body);
    // How many values each open array or map still lacks; the outermost entry is the body itself.
    let mut lacking = [0u64; MAX_NESTING + 1];
    lacking[0] = 1;
    let mut depth = 0;
    loop {
        while lacking[depth] == 0 {
            if depth == 0 {
                return match decoder.position() == body.len() {
                    true => Ok(()),
                    false => Err(DecodeError::message("bytes behind the message")),
                };
            }
            depth -= 1;
        }
        lacking[depth] -= 1;
        let children = match decoder.datatype()? {
            Type::Array => decoder.array()?.unwrap_or(0),
            Type::Map => decoder.map()?.unwrap_or(0).saturating_mul(2),
            Type::ArrayIndef | Type::MapIndef | Type::BytesIndef | Type::StringIndef => {
                return Err(DecodeError::message("indefinite length"));
            }
            Type::Tag | Type::Break | Type::Unknown(_) => {
                return Err(DecodeError::message("unexpected kind of value"));
            }
            _ => {
                decoder.skip()?;
                0
            }
        };
        if children > 0 {
            if children > (body.len() - decoder.position()) as u64 {
                return Err(DecodeError::end_of_input());
            }
            depth += 1;
            if depth > MAX_NESTING {
                return Err(DecodeError::message("nested too deep"));
            }
            lacking[depth] = children;
        }
    }
}

/// Makes a `with` module for an enum that travels as an integer.
macro_rules! integers {
    ($module:ident $type:ident { $($number:literal $variant:ident,)* }) => {
        pub(super) mod $module {
            use super::*;

            fn number(value: $type) -> u8 {
                match value { $($type::$variant => $number,)* }
            }

            pub(in super::super) fn encode<C, W: Write>(value: &$type, e: &mut Encoder<W>, _: &mut C) -> Encoded<W> {
                e.u8(number(*value))?.ok()
            }

            pub(in super::super) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Decoded<$type> {
                match d.u8()? {
                    $($number => Ok($type::$variant),)*
                    _ => Err(DecodeError::message(concat!("unknown ", stringify!($module)))),
                }
            }
        }
    };
}

integers!(direction Direction { 0 Upload, 1 Download, });
integers!(overwrite OverwritePolicy { 0 Never, 1 Always, 2 Diff, 3 DiffOlder, 4 Older, });
integers!(resume ResumePolicy { 0 None, 1 Attributes, 2 SparseChecksum, 3 FullChecksum, });
integers!(symlinks SymlinkPolicy { 0 Follow, 1 Copy, 2 CopyForce, 3 Skip, });
integers!(rate_policy RatePolicy { 0 Fixed, 1 High, 2 Fair, 3 Low, });
integers!(cipher DatagramCipher { 0 None, 1 Aes128Gcm, 2 Aes256Gcm, });
integers!(binding BindingKind { 0 None, 1 SshTranscript, 2 Resumed, });
integers!(protection ContentProtection { 0 None, 1 Passphrase, 2 StrongPassphrase, });
integers!(entry_kind EntryKind { 0 File, 1 Directory, 2 Symlink, 3 Other, });

/// Makes a `with` module for a type that converts to and from something CBOR knows.
macro_rules! values {
    ($module:ident $type:ty, |$e:ident, $value:ident| $encode:expr, |$d:ident| $decode:expr) => {
        #[allow(
            clippy::ptr_arg,
            reason = "the derived code passes a reference to the field as it is"
        )]
        pub(super) mod $module {
            use super::*;

            pub(in super::super) fn encode<C, W: Write>(
                $value: &$type,
                $e: &mut Encoder<W>,
                _: &mut C,
            ) -> Encoded<W> {
                $encode?.ok()
            }

            pub(in super::super) fn decode<C>($d: &mut Decoder<'_>, _: &mut C) -> Decoded<$type> {
                $decode
            }
        }
    };
}

values!(session_id SessionId, |e, value| e.u64(value.0), |d| d.u64().map(SessionId));
values!(transfer_id TransferId, |e, value| e.bytes(&value.0), |d| array(d).map(TransferId));
values!(random [u8; 32], |e, value| e.bytes(value), |d| array(d));
values!(ticket_id [u8; 16], |e, value| e.bytes(value), |d| array(d));
values!(token [u8; 8], |e, value| e.bytes(value), |d| array(d));
values!(error_code ErrorCode, |e, value| e.u8(value.number()), |d| {
    // A later version may know more codes; the text that travels beside it still says what happened.
    Ok(ErrorCode::from_number(d.u8()?).unwrap_or(ErrorCode::Unknown))
});
values!(micros Duration,
    |e, value| e.u64(u64::try_from(value.as_micros()).unwrap_or(u64::MAX)),
    |d| d.u64().map(Duration::from_micros));
// Zero is a minimum rate, but no target (W-32).
values!(rate Rate, |e, value| e.u64(value.bits_per_second()), |d| match d.u64()? {
    bits if bits <= Rate::MAX.bits_per_second() => Ok(Rate::from_bits_per_second(bits)),
    _ => Err(DecodeError::message("rate above 1 Tbit/s")),
});
values!(target_rate Rate, |e, value| e.u64(value.bits_per_second()), |d| match d.u64()? {
    bits if (1..=Rate::MAX.bits_per_second()).contains(&bits) => Ok(Rate::from_bits_per_second(bits)),
    _ => Err(DecodeError::message("target rate not above 0 and at most 1 Tbit/s")),
});
values!(preserve Preserve,
|e, value| e.u8(u8::from(value.times)
    | u8::from(value.mode) << 1
    | u8::from(value.owner) << 2
    | u8::from(value.group) << 3
    | u8::from(value.access_time) << 4
    | u8::from(value.xattrs) << 5),
|d| {
    let bits = d.u32()?;
    Ok(Preserve {
        times: bits & 1 != 0,
        mode: bits & 2 != 0,
        owner: bits & 4 != 0,
        group: bits & 8 != 0,
        access_time: bits & 16 != 0,
        xattrs: bits & 32 != 0,
    })
});
values!(not_kept NotKept, |e, value| e.u8(value.bits()), |d| {
    let [.., bits] = d.u32()?.to_be_bytes();
    Ok(NotKept::from_bits(bits))
});
values!(locks Locks,
|e, value| e.u8(u8::from(value.target) | u8::from(value.min) << 1 | u8::from(value.policy) << 2),
|d| {
    let bits = d.u32()?;
    Ok(Locks {
        target: bits & 1 != 0,
        min: bits & 2 != 0,
        policy: bits & 4 != 0,
    })
});
values!(path Vec<u8>, |e, value| e.bytes(value), |d| bytes_up_to(d, MAX_PATH));
values!(name Vec<u8>, |e, value| e.bytes(value), |d| bytes_up_to(d, MAX_NAME));
values!(page Vec<u8>, |e, value| e.bytes(value), |d| Ok(d.bytes()?.to_vec()));
values!(text String, |e, value| e.str(value), |d| text_up_to(d, MAX_TEXT));

/// Longest path (protocol §12).
const MAX_PATH: usize = 4096;
/// Longest name of one directory entry (protocol §12).
const MAX_NAME: usize = 255;
/// Longest text meant for people.
const MAX_TEXT: usize = 1024;

fn array<const N: usize>(d: &mut Decoder<'_>) -> Decoded<[u8; N]> {
    let bytes = d.bytes()?;
    <[u8; N]>::try_from(bytes).map_err(|_| DecodeError::message("wrong number of bytes"))
}

fn bytes_up_to(d: &mut Decoder<'_>, limit: usize) -> Decoded<Vec<u8>> {
    let bytes = d.bytes()?;
    if bytes.len() > limit {
        return Err(DecodeError::message("name or path too long"));
    }
    Ok(bytes.to_vec())
}

fn text_up_to(d: &mut Decoder<'_>, limit: usize) -> Decoded<String> {
    let text = d.str()?;
    if text.len() > limit {
        return Err(DecodeError::message("text too long"));
    }
    Ok(text.to_owned())
}

/// Makes a `with` module for an optional value: null or absent when it is `None`.
macro_rules! optional {
    ($module:ident $type:ty = $inner:ident) => {
        pub(super) mod $module {
            use super::*;

            pub(in super::super) fn encode<C, W: Write>(
                value: &Option<$type>,
                e: &mut Encoder<W>,
                c: &mut C,
            ) -> Encoded<W> {
                match value {
                    Some(value) => super::$inner::encode(value, e, c),
                    None => e.null()?.ok(),
                }
            }

            pub(in super::super) fn decode<C>(
                d: &mut Decoder<'_>,
                c: &mut C,
            ) -> Decoded<Option<$type>> {
                if d.datatype()? == Type::Null {
                    d.null()?;
                    return Ok(None);
                }
                super::$inner::decode(d, c).map(Some)
            }
        }
    };
}

optional!(optional_session_id SessionId = session_id);
optional!(optional_transfer_id TransferId = transfer_id);
optional!(optional_token [u8; 8] = token);
optional!(optional_rate Rate = rate);
optional!(optional_target_rate Rate = target_rate);
optional!(optional_rate_policy RatePolicy = rate_policy);
optional!(optional_text String = text);
optional!(optional_name Vec<u8> = name);
optional!(optional_path Vec<u8> = path);

/// Makes a `with` module for a list with a largest number of items.
macro_rules! lists {
    ($module:ident $type:ty = $inner:ident, $limit:expr) => {
        pub(super) mod $module {
            use super::*;

            pub(in super::super) fn encode<C, W: Write>(
                values: &[$type],
                e: &mut Encoder<W>,
                c: &mut C,
            ) -> Encoded<W> {
                e.array(values.len() as u64)?;
                for value in values {
                    super::$inner::encode(value, e, c)?;
                }
                Ok(())
            }

            pub(in super::super) fn decode<C>(
                d: &mut Decoder<'_>,
                c: &mut C,
            ) -> Decoded<Vec<$type>> {
                let count = d.array()?.unwrap_or(0);
                if count > $limit {
                    return Err(DecodeError::message("too many items"));
                }
                (0..count).map(|_| super::$inner::decode(d, c)).collect()
            }
        }
    };
}

lists!(paths Vec<u8> = path, 65_536);
lists!(ciphers DatagramCipher = cipher, 16);
lists!(versions u8 = version, 16);
values!(version u8, |e, value| e.u8(*value), |d| d.u8());
lists!(entries Entry = entry, Listing::MAX_ENTRIES as u64);

pub(super) mod entry {
    use super::*;

    pub(in super::super) fn encode<C, W: Write>(
        value: &Entry,
        e: &mut Encoder<W>,
        c: &mut C,
    ) -> Encoded<W> {
        minicbor::Encode::encode(value, e, c)
    }

    pub(in super::super) fn decode<C>(d: &mut Decoder<'_>, c: &mut C) -> Decoded<Entry> {
        minicbor::Decode::decode(d, c)
    }
}
