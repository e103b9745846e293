//! The document as XML: its text, where each element lies in it, and changes of the text.
//!
//! The text is the truth and is never written anew, so what is not edited stays byte for byte.

mod edit;
mod fault;
mod tree;
mod value;

pub(crate) use edit::escape;
pub use fault::{Fault, Position};
pub(crate) use tree::{ElementId, Tree};

/// The largest document, bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// How deep elements may lie in each other; the deepest option needs 12.
pub const MAX_DEPTH: usize = 32;
/// How many elements a document may have.
pub const MAX_ELEMENTS: usize = 65_536;
/// How many attributes an element may have.
pub const MAX_ATTRIBUTES: usize = 32;
/// The longest tag, bytes.
pub const MAX_TAG: usize = 8192;
