//! Which files of a source are sent: rules in the order and the language of `ascp`.

mod pattern;

pub use pattern::{MAX_PATTERN, Pattern};

/// Most rules of a filter.
pub const MAX_RULES: usize = 1024;
/// Most bytes of all its patterns together.
pub const MAX_PATTERNS: usize = 16 << 10;

/// Why a text is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseFilterError {
    /// Nothing to match.
    #[error("a pattern is empty")]
    Empty,
    /// Longer than [`MAX_PATTERN`].
    #[error("a pattern is longer than {MAX_PATTERN} bytes")]
    TooLong,
    /// A `[` without its `]`.
    #[error("'{0}' has a set without an end: write \\[ for a bracket")]
    Set(String),
    /// More than [`MAX_RULES`] rules or [`MAX_PATTERNS`] bytes.
    #[error("more than {MAX_RULES} rules, or patterns of more than {MAX_PATTERNS} bytes")]
    TooMany,
}

/// What becomes of what a rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FilterAction {
    /// It is sent, whatever later rules say (`-N`).
    Include,
    /// It is left out, and what is in it too (`-E`).
    Exclude,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterRule {
    /// What happens.
    pub action: FilterAction,
    /// To what.
    pub pattern: Pattern,
}

/// The rules of a transfer. The first that matches decides; without one, a file is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    rules: Vec<FilterRule>,
    /// Leave files out that changed after this time, seconds since 1970.
    pub newer_than: Option<i64>,
    /// Leave files out that changed before this time, seconds since 1970.
    pub older_than: Option<i64>,
}

impl Filter {
    /// Takes rules in their order.
    ///
    /// # Errors
    /// [`ParseFilterError::TooMany`].
    pub fn new(rules: Vec<FilterRule>) -> Result<Self, ParseFilterError> {
        let bytes: usize = rules.iter().map(|r| r.pattern.as_bytes().len()).sum();
        if rules.len() > MAX_RULES || bytes > MAX_PATTERNS {
            return Err(ParseFilterError::TooMany);
        }
        Ok(Self {
            rules,
            ..Self::default()
        })
    }

    /// Leaves out files, never directories, that changed after or before these times.
    #[must_use]
    pub fn with_ages(mut self, newer_than: Option<i64>, older_than: Option<i64>) -> Self {
        (self.newer_than, self.older_than) = (newer_than, older_than);
        self
    }

    /// The rules in their order.
    pub fn rules(&self) -> &[FilterRule] {
        &self.rules
    }

    /// Whether everything is sent.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a directory is sent, and looked into. The path begins with the name of the source.
    pub fn admits_directory(&self, path: &[u8]) -> bool {
        self.admits(path, true)
    }

    /// Whether a file or link that changed at `mtime`, seconds since 1970, is sent.
    pub fn admits_file(&self, path: &[u8], mtime: i64) -> bool {
        let is_too_new = self.newer_than.is_some_and(|limit| mtime > limit);
        let is_too_old = self.older_than.is_some_and(|limit| mtime < limit);
        !is_too_new && !is_too_old && self.admits(path, false)
    }

    fn admits(&self, path: &[u8], is_directory: bool) -> bool {
        let first = self
            .rules
            .iter()
            .find(|rule| rule.pattern.matches(path, is_directory));
        first.is_none_or(|rule| rule.action == FilterAction::Include)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(rules: &[&str]) -> Filter {
        let rules = rules.iter().map(|rule| {
            let (action, pattern) = match rule.split_at(3) {
                ("-N ", pattern) => (FilterAction::Include, pattern),
                (_, pattern) => (FilterAction::Exclude, pattern),
            };
            let pattern = Pattern::parse(pattern.as_bytes()).unwrap();
            FilterRule { action, pattern }
        });
        Filter::new(rules.collect()).unwrap()
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let only_texts = filter(&["-N *.txt", "-N /**/", "-E /**"]);
        assert!(only_texts.admits_file(b"d/s/a.txt", 0));
        assert!(!only_texts.admits_file(b"d/s/a.bin", 0));
        assert!(only_texts.admits_directory(b"d/s"));
        let dropped = filter(&["-E *.tmp", "-N keep.tmp"]);
        assert!(!dropped.admits_file(b"d/keep.tmp", 0), "nothing is revived");
        let kept = filter(&["-N keep.tmp", "-E *.tmp"]);
        assert!(kept.admits_file(b"d/keep.tmp", 0));
        assert!(!kept.admits_file(b"d/other.tmp", 0));
        assert!(
            filter(&["-N *.txt"]).admits_file(b"a.bin", 0),
            "alone it does nothing"
        );
    }

    #[test]
    fn ages_leave_files_out_and_never_directories() {
        let filter = Filter {
            newer_than: Some(100),
            older_than: Some(50),
            ..Filter::default()
        };
        assert!(filter.admits_file(b"a", 100) && filter.admits_file(b"a", 50));
        assert!(!filter.admits_file(b"a", 101) && !filter.admits_file(b"a", 49));
        assert!(filter.admits_directory(b"d"));
    }

    #[test]
    fn there_are_not_more_rules_than_a_server_wants_to_try() {
        let pattern = Pattern::parse(b"a").unwrap();
        let action = FilterAction::Exclude;
        let rule = FilterRule { action, pattern };
        let many = vec![rule.clone(); MAX_RULES + 1];
        assert_eq!(Filter::new(many), Err(ParseFilterError::TooMany));
        let pattern = Pattern::parse(&[b'a'; MAX_PATTERN]).unwrap();
        let rule = FilterRule { pattern, ..rule };
        assert!(Filter::new(vec![rule.clone(); 16]).is_ok());
        assert_eq!(Filter::new(vec![rule; 17]), Err(ParseFilterError::TooMany));
    }
}
