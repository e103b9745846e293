//! Files beneath one open directory: the only place that touches files somebody else named.
//!
//! A [`Docroot`] holds a descriptor of its directory from [`Docroot::open`] on. Whatever is named
//! afterwards is an [`EntryPath`], a list of validated components, and is resolved beneath that
//! descriptor; what the receiver creates or changes is never reached through a symbolic link. There
//! is no function here that takes a path of a peer as a string.
//!
//! A file is received into a [`Partial`], finished with its metadata, and published by a
//! [`CommitGroup`], which makes many files durable together, gives them their final names,
//! makes the names durable, and only then reports them done.
//!
//! ```
//! use docroot::{CommitGroup, Docroot, EntryPath, Existing, Metadata, PartialOptions};
//! # let dir = tempfile::tempdir().unwrap();
//! # let some_directory = dir.path();
//! let root = Docroot::open(some_directory)?;
//! let dir = root.create_dirs(&EntryPath::parse(b"incoming/today")?, 0o777)?;
//! let partial = dir.create_partial(b"report.txt", &PartialOptions::default())?;
//! partial.write_all_at(b"hello", 0)?;
//! let mut group = CommitGroup::new();
//! group.add("report", partial.finish(&Metadata::default(), Existing::Refuse)?);
//! for (name, result) in group.commit() {
//!     result?;
//!     println!("{name} is on disk under its final name");
//! }
//! # Ok::<(), docroot::Error>(())
//! ```
//!
//! On Linux paths are resolved by `openat2`; elsewhere, on old kernels and in sandboxes that refuse
//! it, by a walk over the components that never follows a link it did not read itself.
#![forbid(unsafe_code)]

mod attributes;
mod checkpoint;
mod dir;
mod edit;
mod error;
mod escape;
#[cfg(feature = "faults")]
pub mod faults;
mod filesystem;
mod link;
mod listing;
mod operator;
mod operator_edit;
mod partial;
mod path;
mod portable;
mod publish;
mod resolve;
mod root;
mod same;
mod saved;
mod small;
mod source;
mod stale;
mod state;
mod sys;
mod view;
mod walk;
mod xattr;

pub use attributes::{Attributes, FileKind, Identity, Metadata, Timestamp};
pub use checkpoint::PartialHandle;
pub use dir::Dir;
pub use edit::EditFile;
pub use error::{Error, NameFault, Result};
pub use escape::{Escaped, escape_message, escape_name};
pub use link::symlink_target_is_beneath;
pub use listing::{DirEntry, Listing};
pub use operator::{make_private_directory, read_operator_file};
pub use operator_edit::edit_operator_file;
pub use partial::{Partial, PartialOptions};
pub use path::{EntryPath, MAX_COMPONENT, MAX_DEPTH, MAX_LINK_TARGET, MAX_PATH, Suffixes};
pub use portable::NameRules;
pub use publish::{CommitGroup, Existing, Finished};
pub use resolve::{LinkRule, Resolver};
pub use root::{Docroot, RootOptions};
pub use source::SourceFile;
pub use view::{Looked, View};
pub use walk::{Entry, EntryError, SymlinkPolicy, Walk, WalkOptions};
pub use xattr::Xattrs;
