//! The rules about files that a client or `aspera.conf` gives, and a path: lines, of which the last is the path.
//!
//! `+` and `-` begin rules of a filter, `=` a file restriction; the rest of the line is its pattern.

use fasp_server::testing::restriction_admits;
use transfer_spec::filter::{Filter, FilterAction, FilterRule, Pattern};

pub(crate) fn check(bytes: &[u8]) {
    let mut lines: Vec<&[u8]> = bytes.split(|b| *b == b'\n').collect();
    let path = lines.pop().unwrap_or_default();
    let mut rules = Vec::new();
    let mut restrictions = Vec::new();
    for line in lines {
        match line.split_first() {
            Some((b'+', pattern)) => rules.extend(rule(FilterAction::Include, pattern)),
            Some((b'-', pattern)) => rules.extend(rule(FilterAction::Exclude, pattern)),
            Some((b'=', pattern)) => restrictions.extend(str::from_utf8(pattern).ok()),
            _ => {}
        }
    }
    check_filter(rules, path);
    check_restrictions(&restrictions, path);
    check_literal(path);
}

/// A pattern that is read is read again as the same, and one for directories is about nothing else.
fn rule(action: FilterAction, text: &[u8]) -> Option<FilterRule> {
    let pattern = match Pattern::parse(text) {
        Ok(pattern) => pattern,
        Err(error) => {
            drop(error.to_string());
            return None;
        }
    };
    assert_eq!(pattern.as_bytes(), text);
    assert_eq!(Pattern::parse(pattern.as_bytes()).as_ref(), Ok(&pattern));
    Some(FilterRule { action, pattern })
}

/// The first rule that matches decides, whatever stands behind it.
fn check_filter(rules: Vec<FilterRule>, path: &[u8]) {
    let Ok(filter) = Filter::new(rules) else {
        return;
    };
    for is_directory in [false, true] {
        let is_admitted = match is_directory {
            true => filter.admits_directory(path),
            false => filter.admits_file(path, 0),
        };
        let mut expected = true;
        for rule in filter.rules().iter().rev() {
            if rule.pattern.matches(path, is_directory) {
                expected = rule.action == FilterAction::Include;
            }
        }
        assert_eq!(is_admitted, expected);
        // A file that a pattern matches would be matched as a directory too.
        let is_for_both = |rule: &FilterRule| {
            !rule.pattern.matches(path, false) || rule.pattern.matches(path, true)
        };
        assert!(filter.rules().iter().all(is_for_both));
    }
}

/// Another rejecting pattern never makes a path visible, and none at all hides nothing.
fn check_restrictions(patterns: &[&str], path: &[u8]) {
    assert!(restriction_admits(&[], path, false));
    for is_directory in [false, true] {
        let is_admitted = restriction_admits(patterns, path, is_directory);
        let more = [patterns, &["!*.tmp"]].concat();
        assert!(is_admitted || !restriction_admits(&more, path, is_directory));
        let all = [patterns, &["!*"]].concat();
        assert!(!restriction_admits(&all, path, is_directory));
        // The way down to what may be seen may be seen.
        assert!(!is_admitted || is_directory || restriction_admits(patterns, path, true));
    }
}

/// A path with every special character escaped matches itself.
fn check_literal(path: &[u8]) {
    let mut text = vec![b'/'];
    for byte in path {
        if byte.is_ascii() && !byte.is_ascii_alphanumeric() && *byte != b'/' {
            text.push(b'\\');
        }
        text.push(*byte);
    }
    if path.is_empty() || path.ends_with(b"/") {
        return;
    }
    if let Ok(pattern) = Pattern::parse(&text) {
        assert!(pattern.matches(path, false), "{path:?}");
        let longer = [path, b"x"].concat();
        assert!(!pattern.matches(&longer, false), "{path:?}");
    }
}
