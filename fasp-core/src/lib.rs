//! The transfer protocol as sans-IO state machines.
#![forbid(unsafe_code)]

mod code;
mod digest;
mod file;
mod page;
mod path;
mod protection;
mod range_set;
mod rate;
mod recovery;
pub mod session;
#[cfg(feature = "testing")]
pub mod testing;
mod units;
mod wire;

pub use code::{ErrorCode, Fault};
pub use digest::FileDigest;
pub use file::BlockWrite;
pub use path::AddressToken;
pub use protection::KeyMaterial;
pub use range_set::RangeSet;
pub use rate::{PathMemory, RateLimits};
pub use session::{Event, Role, Session, SessionConfig, Side, TransmitBatch};
pub use units::{
    DatagramCipher, ParseRateError, Rate, RatePolicy, SessionId, TransferId, UnknownName,
};
pub use wire::codec::Malformed;
pub use wire::extra::{Extra, MAX_XATTR_BYTES, MAX_XATTR_NAME, MAX_XATTRS, NotKept};
pub use wire::header::{
    BASE_DATAGRAM, HEADER_SIZE, MAX_DATAGRAM, MIN_DATAGRAM, TAG_SIZE, session_id_of,
};
pub use wire::record::{
    Attributes, MAX_HELD_RANGES, MAX_NAME, MAX_PAGE, MAX_PATH, MAX_SMALL_FILE, Record, Records,
    Totals,
};
