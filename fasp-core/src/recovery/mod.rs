//! Who got what: the sender's log, the receiver's log, and round-trip times (protocol §6, §7).

mod received;
mod rtt;
mod sent;

pub(crate) use received::{ReceivedLog, Receiving};
pub(crate) use rtt::Rtt;
pub(crate) use sent::{Content, Lost, SentLog};
