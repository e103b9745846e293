//! The data path of one session on real sockets and disks.
//!
//! ```text
//!  port thread ──datagrams──▶ session thread ──datagrams──▶ socket
//!                              │        ▲
//!  sending:   lister thread ───┘ pages  │          receiving:  session ──pages, blocks──▶ storage thread
//!             (scan, small files)       └── results ── commit thread ◀──finished files──┘
//! ```
//!
//! Queues between threads are bounded; the session thread never waits for a disk but for the file it reads.

mod checks;
mod checksum;
mod command;
mod commit;
mod contents;
mod decryption;
mod destination;
mod driver;
mod envelope;
mod extras;
mod faux;
mod finisher;
mod first;
mod gathered;
mod growing;
mod lister;
mod open_sources;
mod origin;
mod pool;
mod receiver;
mod reporter;
mod sealed;
mod sender;
mod share;
mod source_list;
mod sources;
mod storage;

pub use command::{Command, Finish, Handle, Report};
pub use decryption::Decryption;
pub use destination::{Destination, Tree};
pub(crate) use driver::{Spawn, Work, spawn};
pub use envelope::EnvelopeError;
pub(crate) use first::{promised, wanted_at_once};
pub use growing::{Growth, Since};
pub(crate) use lister::{Listed, Lister};
pub(crate) use pool::{Pool, PoolOwner, Split};
pub(crate) use receiver::{FirstPage, ReceiverOptions};
pub use sealed::Protection;
pub(crate) use sender::SenderOptions;
pub use source_list::{ListEntry, ParseListError, SourceList};
pub(crate) use sources::beneath;
pub use sources::{Source, Sources};
pub(crate) use storage::{Assembly, Rules};
