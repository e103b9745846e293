//! What of a root exists for whoever it was opened for.

use std::fmt;
use std::sync::Arc;

use crate::error::NameFault;

/// What is looked for under a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Looked {
    /// A directory: one on the way to something that exists has to exist itself.
    Directory,
    /// Anything else.
    Other,
}

/// Tells which paths beneath a root exist. What does not exist is not listed, not read, not made and not removed.
///
/// A root with a view follows no link at all: a name that exists could otherwise stand for one that does not.
#[derive(Clone)]
pub struct View(Arc<Rule>);

type Rule = dyn Fn(&[u8], Looked) -> bool + Send + Sync;

impl View {
    /// Makes a view. `admits` gets paths from the root, components joined by `/`; the root itself always exists.
    pub fn new(admits: impl Fn(&[u8], Looked) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(admits))
    }

    /// Returns true if a path exists.
    pub fn admits(&self, path: &[u8], looked: Looked) -> bool {
        path.is_empty() || (self.0)(path, looked)
    }

    /// Whether a path exists as one or the other.
    pub(crate) fn admits_any(&self, path: &[u8]) -> bool {
        self.admits(path, Looked::Other) || self.admits(path, Looked::Directory)
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("View")
    }
}

/// Refuses a path that a view hides.
pub(crate) fn require(is_admitted: bool) -> Result<(), NameFault> {
    is_admitted.then_some(()).ok_or(NameFault::Hidden)
}
