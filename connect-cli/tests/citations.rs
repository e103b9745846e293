//! The code cites the protocol's sections; each one must exist.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "reads the sources of this workspace"
)]

#[path = "support/sources.rs"]
mod sources;

use std::{collections::BTreeSet, fs};

use sources::{document, rust_files, workspace};

/// Written in two parts, so that this file does not cite anything.
const CITATION: &str = concat!("protocol", " §");

#[test]
fn every_cited_section_of_the_protocol_exists() {
    let page = document("protocol.md");
    let sections = headings(&page);
    let mut found = 0;
    let mut missing = Vec::new();
    for file in rust_files(&workspace()) {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            for section in cited(line) {
                found += 1;
                if !sections.contains(section) {
                    missing.push(format!("{}:{}: §{section}", file.display(), number + 1));
                }
            }
        }
    }
    assert!(
        missing.is_empty(),
        "no such section:\n{}",
        missing.join("\n")
    );
    assert!(
        found > 5,
        "only {found} citations were found: is the search broken?"
    );
}

#[test]
fn citations_and_headings_are_recognised() {
    let line = format!("/// As {CITATION}4.2 and ({CITATION}12), see {CITATION}5.1.");
    assert_eq!(cited(&line).collect::<Vec<_>>(), ["4.2", "12", "5.1"]);
    let page = "# Title\n\n## 4 Datagrams\n### 4.2 Numbers\ntext ## 9 no\n";
    assert_eq!(headings(page), BTreeSet::from(["4", "4.2"]));
}

fn headings(page: &str) -> BTreeSet<&str> {
    page.lines()
        .filter(|line| line.starts_with("##"))
        .filter_map(|line| line.trim_start_matches('#').split_whitespace().next())
        .collect()
}

fn cited(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices(CITATION).map(|(at, _)| {
        let rest = &line[at + CITATION.len()..];
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        // A full stop may end the sentence.
        rest[..end].trim_end_matches('.')
    })
}
