//! What to transfer, from where to where, under which policies: value types that the command line, the control channel
//! and the JSON transfer spec share.
//!
//! Nothing here opens a file or a socket.
//!
//! ```
//! use transfer_spec::{Location, OverwritePolicy};
//!
//! let Location::Remote(remote) = "ada@files.example.org:in/box".parse::<Location>()? else {
//!     panic!("a colon before the first slash makes it remote");
//! };
//! assert_eq!(remote.user.as_deref(), Some("ada"));
//! assert_eq!(remote.path, b"in/box");
//! assert_eq!("diff+older".parse(), Ok(OverwritePolicy::DiffOlder));
//! # Ok::<(), transfer_spec::ParseLocationError>(())
//! ```
#![forbid(unsafe_code)]

mod faux;
mod file_rules;
pub mod filter;
mod location;
mod policy;

pub use faux::{Faux, FauxContent, FauxDirectory, FauxSequence, FauxSource};
pub use file_rules::{
    AfterTransfer, EmptyDirectories, FileRules, PlaceError, SourceFate, place_of,
};
pub use filter::Filter;
pub use location::{Host, Location, ParseLocationError, RemoteLocation};
pub use policy::{Direction, FileChecksum, OverwritePolicy, Preserve, ResumePolicy, SymlinkPolicy};
