//! Paths as a peer gives them: a list of components, validated before anything is opened.

use std::fmt;

use crate::error::{NameFault, Result};
use crate::escape::Escaped;
use crate::portable::NameRules;

/// The longest path, in bytes, separators included.
pub const MAX_PATH: usize = 4096;
/// The longest component, in bytes.
pub const MAX_COMPONENT: usize = 255;
/// The most components of a path.
pub const MAX_DEPTH: usize = 128;
/// The longest target of a symbolic link, in bytes.
pub const MAX_LINK_TARGET: usize = 4095;

/// A relative path that cannot climb: components of bytes, none empty, none `.` or `..`.
///
/// Bytes that are not UTF-8 are carried as they are. The empty path, [`EntryPath::root`], stands
/// for the root itself and never comes out of parsing.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct EntryPath {
    /// The components joined by `/`.
    bytes: Vec<u8>,
}

impl EntryPath {
    /// Parses a path whose components are separated by `/`, by the rules of this machine.
    ///
    /// # Errors
    /// The [`NameFault`] that was found first.
    pub fn parse(path: &[u8]) -> Result<Self> {
        Self::parse_for(path, NameRules::HOST)
    }

    /// Parses a path that came as text, where control characters are refused as well.
    ///
    /// # Errors
    /// As [`EntryPath::parse`], and [`NameFault::Control`].
    pub fn parse_text(path: &str) -> Result<Self> {
        if path.bytes().any(|b| b < 0x20 || b == 0x7f) {
            return Err(NameFault::Control.into());
        }
        Self::parse(path.as_bytes())
    }

    /// Parses a path by the rules of a given kind of target.
    ///
    /// # Errors
    /// As [`EntryPath::parse`].
    pub fn parse_for(path: &[u8], rules: NameRules) -> Result<Self> {
        if path.is_empty() {
            return Err(NameFault::Empty.into());
        }
        if path.len() > MAX_PATH {
            return Err(NameFault::PathTooLong.into());
        }
        if rules.is_absolute(path) {
            return Err(NameFault::Absolute.into());
        }
        let mut depth = 0;
        for component in path.split(|b| *b == b'/') {
            check_component(component, rules)?;
            depth += 1;
        }
        if depth > MAX_DEPTH {
            return Err(NameFault::TooDeep.into());
        }
        Ok(Self {
            bytes: path.to_vec(),
        })
    }

    /// Builds a path of components.
    ///
    /// # Errors
    /// As [`EntryPath::parse`]; a `/` inside a component is [`NameFault::Separator`].
    pub fn from_components<I>(components: I) -> Result<Self>
    where
        I: IntoIterator,
        I::Item: AsRef<[u8]>,
    {
        let mut path = Self::root();
        for component in components {
            path.push(component.as_ref())?;
        }
        if path.is_root() {
            return Err(NameFault::Empty.into());
        }
        Ok(path)
    }

    /// Returns the empty path: the root itself.
    pub const fn root() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Appends one component.
    ///
    /// # Errors
    /// As [`EntryPath::from_components`]; the path is unchanged then.
    pub fn push(&mut self, component: &[u8]) -> Result<()> {
        check_component(component, NameRules::HOST)?;
        let separator = usize::from(!self.is_root());
        if self.bytes.len() + separator + component.len() > MAX_PATH {
            return Err(NameFault::PathTooLong.into());
        }
        if self.depth() >= MAX_DEPTH {
            return Err(NameFault::TooDeep.into());
        }
        self.bytes.extend_from_slice(&b"/"[..separator]);
        self.bytes.extend_from_slice(component);
        Ok(())
    }

    /// Returns the path `other` beneath this one.
    ///
    /// # Errors
    /// [`NameFault::PathTooLong`] or [`NameFault::TooDeep`].
    pub fn join(&self, other: &Self) -> Result<Self> {
        if self.is_root() {
            return Ok(other.clone());
        }
        if other.is_root() {
            return Ok(self.clone());
        }
        if self.bytes.len() + 1 + other.bytes.len() > MAX_PATH {
            return Err(NameFault::PathTooLong.into());
        }
        if self.depth() + other.depth() > MAX_DEPTH {
            return Err(NameFault::TooDeep.into());
        }
        let mut bytes = Vec::with_capacity(self.bytes.len() + 1 + other.bytes.len());
        bytes.extend_from_slice(&self.bytes);
        bytes.push(b'/');
        bytes.extend_from_slice(&other.bytes);
        Ok(Self { bytes })
    }

    /// Returns the components in order.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.bytes.split(|b| *b == b'/').filter(|c| !c.is_empty())
    }

    /// Returns the number of components.
    pub fn depth(&self) -> usize {
        // No component is empty, so each but the first stands behind a slash.
        let slashes = self.bytes.iter().filter(|b| **b == b'/').count();
        slashes + usize::from(!self.is_root())
    }

    /// Returns the last component, or nothing for the root.
    pub fn file_name(&self) -> Option<&[u8]> {
        self.components().next_back()
    }

    /// Returns the path without its last component, or nothing for the root.
    pub fn parent(&self) -> Option<Self> {
        self.split_last().map(|(parent, _)| Self {
            bytes: parent.to_vec(),
        })
    }

    /// Returns the rest of this path below `base`, comparing whole components: `data` is no
    /// prefix of `data2`.
    pub fn strip_prefix(&self, base: &Self) -> Option<Self> {
        if base.is_root() {
            return Some(self.clone());
        }
        match self.bytes.strip_prefix(base.bytes.as_slice())? {
            [] => Some(Self::root()),
            [b'/', rest @ ..] => Some(Self {
                bytes: rest.to_vec(),
            }),
            _ => None,
        }
    }

    /// Returns true if this path is `base` or lies beneath it, comparing whole components.
    pub fn starts_with(&self, base: &Self) -> bool {
        match self.bytes.strip_prefix(base.bytes.as_slice()) {
            Some(rest) => base.is_root() || rest.is_empty() || rest[0] == b'/',
            None => false,
        }
    }

    /// Returns true for the empty path.
    pub fn is_root(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns true if any component ends like our own unfinished files.
    pub fn is_reserved(&self, suffixes: &Suffixes) -> bool {
        self.components().any(|c| suffixes.reserve(c))
    }

    /// Returns the components joined by `/`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Appends a name that a file system gave; the caller checks the limits of the result.
    pub(crate) fn child(&self, name: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(self.bytes.len() + 1 + name.len());
        bytes.extend_from_slice(&self.bytes);
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        Self { bytes }
    }

    pub(crate) fn split_last(&self) -> Option<(&[u8], &[u8])> {
        if self.is_root() {
            return None;
        }
        Some(match self.bytes.iter().rposition(|b| *b == b'/') {
            Some(at) => (&self.bytes[..at], &self.bytes[at + 1..]),
            None => (&[], &self.bytes),
        })
    }
}

/// The path, escaped for terminals and logs.
impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(&self.bytes).fmt(f)
    }
}

impl fmt::Debug for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryPath({})", Escaped(&self.bytes))
    }
}

/// Checks one component of a path by the rules of the target.
pub(crate) fn check_component(component: &[u8], rules: NameRules) -> Result<(), NameFault> {
    match component {
        [] => return Err(NameFault::Empty),
        b"." | b".." => return Err(NameFault::Dots),
        _ => {}
    }
    for byte in component {
        match byte {
            0 => return Err(NameFault::Nul),
            b'/' => return Err(NameFault::Separator),
            b'\\' if rules == NameRules::Windows => return Err(NameFault::Separator),
            _ => {}
        }
    }
    if component.len() > MAX_COMPONENT {
        return Err(NameFault::ComponentTooLong);
    }
    Ok(())
}

/// How our own unfinished files end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suffixes {
    partial: Vec<u8>,
    checkpoint: Vec<u8>,
}

/// The longest suffix, in bytes.
const MAX_SUFFIX: usize = 64;

impl Suffixes {
    /// Sets the suffixes of a file being received and of its checkpoint.
    ///
    /// # Errors
    /// A [`NameFault`] if one is empty, longer than 64 bytes or no part of a name, or if one ends
    /// with the other.
    pub fn new(partial: &[u8], checkpoint: &[u8]) -> Result<Self> {
        for suffix in [partial, checkpoint] {
            check_component(suffix, NameRules::HOST)?;
            if suffix.len() > MAX_SUFFIX {
                return Err(NameFault::ComponentTooLong.into());
            }
        }
        if partial.ends_with(checkpoint) || checkpoint.ends_with(partial) {
            return Err(NameFault::Reserved.into());
        }
        Ok(Self {
            partial: partial.to_vec(),
            checkpoint: checkpoint.to_vec(),
        })
    }

    /// Returns the suffix of a file being received.
    pub fn partial(&self) -> &[u8] {
        &self.partial
    }

    /// Returns the suffix of a checkpoint.
    pub fn checkpoint(&self) -> &[u8] {
        &self.checkpoint
    }

    /// Whether a name is that of an unfinished file of ours.
    pub fn is_unfinished(&self, name: &[u8]) -> bool {
        self.reserve(name)
    }

    pub(crate) fn reserve(&self, name: &[u8]) -> bool {
        name.ends_with(&self.partial) || name.ends_with(&self.checkpoint)
    }
}

/// `.partial` and `.aspera-ckpt`.
impl Default for Suffixes {
    fn default() -> Self {
        Self {
            partial: b".partial".to_vec(),
            checkpoint: b".aspera-ckpt".to_vec(),
        }
    }
}
