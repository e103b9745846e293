//! Documents that say what the code has: error codes and faults.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "reads the sources of this workspace"
)]

#[path = "support/sources.rs"]
mod sources;

use std::{collections::BTreeSet, fmt::Write as _, fs};

use connect_cli::exit::ExitStatus;
use fasp_core::{ErrorCode, Fault};
use fasp_net::transfer::advice;
use sources::{document, rows, rust_files, workspace};

/// The numbers of the catalogue of faults.
const FAULTS: [(u32, u32); 7] = [
    (1, 12),
    (20, 35),
    (40, 56),
    (60, 77),
    (80, 93),
    (100, 112),
    (120, 135),
];

#[test]
fn the_table_of_error_codes_is_that_of_the_code() {
    let page = document("error-codes.md");
    let (_, rest) = page.split_once("<!-- table -->\n").unwrap();
    let (table, _) = rest.split_once("<!-- end -->").unwrap();
    let fresh = error_codes();
    assert!(
        table == fresh,
        "docs/error-codes.md is not up to date; its table has to be:\n{fresh}"
    );
}

fn error_codes() -> String {
    let mut table = "| code | symbol | meaning | exit | again | who acts | what to try |\n\
                     |---|---|---|---|---|---|---|\n"
        .to_owned();
    for code in ErrorCode::ALL {
        let who = match code.fault() {
            Fault::Caller => "caller",
            Fault::Peer => "other side",
            Fault::Network => "network",
            Fault::Host => "this machine",
        };
        writeln!(
            table,
            "| {} | `{}` | {} | {} | {} | {who} | {} |",
            code.number(),
            code.symbol(),
            code.meaning(),
            ExitStatus::from_code(*code).number(),
            if code.is_retryable() { "yes" } else { "no" },
            advice(*code).unwrap_or("-"),
        )
        .unwrap();
    }
    table
}

#[test]
fn every_fault_is_shown_by_tests_that_exist_or_has_a_reason() {
    let page = document("faults.md");
    let tests = tests();
    let mut numbers = BTreeSet::new();
    let mut mistakes = Vec::new();
    for cells in rows(&page, "F") {
        numbers.extend(range(cells[0]));
        let [fault, _, state, why] = cells[..] else {
            mistakes.push(format!("{}: a row has four cells", cells[0]));
            continue;
        };
        let named: Vec<_> = why.split('`').skip(1).step_by(2).collect();
        for name in named.iter().filter(|name| !tests.contains(**name)) {
            mistakes.push(format!("{fault}: there is no test {name}"));
        }
        let is_right = match state {
            "shown" => !named.is_empty(),
            "partly" => !named.is_empty() && why.contains("`;"),
            "waived" => named.is_empty() && !why.is_empty(),
            "not yet" => named.is_empty(),
            _ => false,
        };
        if !is_right {
            mistakes.push(format!("{fault}: '{state}' does not go with '{why}'"));
        }
    }
    let wanted: BTreeSet<_> = FAULTS.into_iter().flat_map(|(a, b)| a..=b).collect();
    let missing: Vec<_> = wanted.symmetric_difference(&numbers).collect();
    assert!(missing.is_empty(), "these have no row: {missing:?}");
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

/// `F7`, or `F91-F93`.
fn range(text: &str) -> std::ops::RangeInclusive<u32> {
    let number = |text: &str| text.trim_start_matches('F').parse().unwrap();
    match text.split_once('-') {
        Some((first, last)) => number(first)..=number(last),
        None => number(text)..=number(text),
    }
}

/// The names of all tests: functions behind an attribute that ends in `test]` or `test(…)]`, or inside `proptest!`.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in rust_files(&workspace()) {
        let text = fs::read_to_string(&file).unwrap();
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            let name = line
                .trim_start_matches("async ")
                .strip_prefix("fn ")
                .and_then(|rest| rest.split('(').next());
            match name {
                Some(name) if is_test => {
                    names.insert(name.to_owned());
                    is_test = false;
                }
                Some(_) => is_test = false,
                None if line.starts_with("#[test]") || line.starts_with("#[tokio::test") => {
                    is_test = true;
                }
                None => {}
            }
        }
    }
    assert!(
        names.len() > 100,
        "few tests were found: is the search broken?"
    );
    names
}
