//! What is wrong with a configuration, with the place and what may have been meant.

mod contradiction;
mod structure;

use std::fmt;

use crate::conf::Conf;
use crate::xml::{ElementId, Position, Tree};

/// How many findings are reported; a file that is no configuration would have thousands.
pub const MAX_FINDINGS: usize = 1000;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It works; worth knowing.
    Notice,
    /// It is probably not what was meant.
    Warning,
    /// A value cannot be used, or values exclude each other.
    Error,
}

impl Severity {
    /// Returns the word for people and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What kind of finding it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// An element that is no option, and no way to one.
    Unknown,
    /// An option in a place where it is none.
    Misplaced,
    /// The second of something that there may be one of; the first counts.
    Repeated,
    /// A value that the option does not allow; a weaker record decides.
    BadValue,
    /// Elements in an option that holds text, or text where elements are expected.
    Shape,
    /// A record without a name.
    Nameless,
    /// Something of older versions.
    Legacy,
    /// An option that this project does not obey.
    NoEffect,
    /// A reference to a record that is not there, or is off.
    Dangling,
    /// Values that exclude each other.
    Contradiction,
    /// A limit of the minimum above that of the target.
    Odd,
}

impl Rule {
    /// Returns the word for JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Misplaced => "misplaced",
            Self::Repeated => "repeated",
            Self::BadValue => "bad_value",
            Self::Shape => "shape",
            Self::Nameless => "nameless",
            Self::Legacy => "legacy",
            Self::NoEffect => "no_effect",
            Self::Dangling => "dangling",
            Self::Contradiction => "contradiction",
            Self::Odd => "odd",
        }
    }

    /// Returns how bad findings of the kind are.
    pub const fn severity(self) -> Severity {
        match self {
            Self::BadValue | Self::Shape | Self::Contradiction => Severity::Error,
            Self::Unknown
            | Self::Misplaced
            | Self::Repeated
            | Self::Nameless
            | Self::Dangling
            | Self::Odd => Severity::Warning,
            Self::Legacy | Self::NoEffect => Severity::Notice,
        }
    }
}

/// Something to know about a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind it is.
    pub rule: Rule,
    /// Where.
    pub position: Position,
    /// The elements from the root to the place, with slashes.
    pub path: String,
    /// What it is, as a sentence without a full stop; secrets are kept back.
    pub message: String,
    /// What may have been meant, or what to do.
    pub suggestion: Option<String>,
}

impl Finding {
    /// Returns how bad it is.
    pub const fn severity(&self) -> Severity {
        self.rule.severity()
    }
}

/// Looks at everything in a configuration, and returns findings in the order of the file.
pub fn check(conf: &Conf) -> Vec<Finding> {
    let mut findings = structure::check(conf);
    findings.extend(contradiction::check(conf));
    findings.sort_by_key(|finding| finding.position);
    findings.truncate(MAX_FINDINGS);
    findings
}

/// The elements from the root to one of them.
fn path_of(tree: &Tree, id: ElementId) -> String {
    let mut names: Vec<_> = std::iter::successors(Some(id), |id| tree.parent(*id))
        .map(|id| tree.name(id))
        .collect();
    names.reverse();
    names.join("/")
}
