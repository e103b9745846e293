//! Documents that say what the code has: error codes and faults.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "reads the sources of this workspace"
)]

#[path = "support/sources.rs"]
mod sources;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::PathBuf,
    process::Command,
};

use clap::Parser as _;
use connect_cli::{args::Cli, exit::ExitStatus};
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

/// Where codes are spoken about and not produced.
const ABOUT_CODES: [&str; 3] = [
    "fasp-core/src/code.rs",
    "fasp-net/src/transfer/advice.rs",
    "connect-cli/src/exit.rs",
];

#[test]
fn every_error_code_is_produced_by_a_test_or_by_nothing() {
    let page = document("error-codes.md");
    let tests = tests();
    let product = product();
    let mut mistakes = Vec::new();
    for code in ErrorCode::ALL {
        let number = code.number();
        let variant = format!("ErrorCode::{code:?}");
        // The crate of envelopes knows none of ours, and says the numbers.
        let is_produced = has_word(&product, &variant) || matches!(number, 48 | 49);
        let row = rows(&page, "code ").find(|cells| cells[0] == format!("code {number}"));
        let Some([_, why]) = row.as_deref() else {
            mistakes.push(format!("{number}: there is no row"));
            continue;
        };
        match (is_produced, why.trim_matches('`')) {
            (false, why) if why.starts_with("never: ") => {}
            (false, name) => mistakes.push(format!("{number}: nothing produces it, not {name}")),
            (true, name) => match tests.get(name) {
                None => mistakes.push(format!("{number}: there is no test {name}")),
                Some(text) if has_word(text, &number.to_string()) || has_word(text, &variant) => {}
                Some(_) if name.contains(&format!("err_{number}_")) => {}
                Some(_) => mistakes.push(format!("{number}: {name} does not speak of it")),
            },
        }
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

/// Everything that is no test, and not only about codes.
fn product() -> String {
    let workspace = workspace();
    let mut text = String::new();
    for file in rust_files(&workspace) {
        let name = file.strip_prefix(&workspace).unwrap().to_str().unwrap();
        let is_test = [
            "/tests/",
            "/testing/",
            "tests.rs",
            "fuzz/",
            "benches/",
            "examples/",
        ]
        .iter()
        .any(|mark| name.contains(mark));
        if !is_test && !ABOUT_CODES.contains(&name) {
            let all = fs::read_to_string(&file).unwrap();
            text += all.split("#[cfg(test)]").next().unwrap();
        }
    }
    text
}

/// Whether the text has it, and not as a part of a longer word or number.
fn has_word(text: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric();
    text.match_indices(word).any(|(at, _)| {
        !text[..at].ends_with(is_word) && !text[at + word.len()..].starts_with(is_word)
    })
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
        for name in named.iter().filter(|name| !tests.contains_key(**name)) {
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

/// All tests by their names: functions behind an attribute that ends in `test]` or `test(…)]`, or inside `proptest!`.
/// Their texts, with the comments above them.
fn tests() -> BTreeMap<String, String> {
    let mut tests = BTreeMap::new();
    for file in rust_files(&workspace()) {
        let text = fs::read_to_string(&file).unwrap();
        // Where the comments and attributes above a function begin, and whether they make it a test.
        let mut start = 0;
        let mut is_test = false;
        let mut place = 0;
        for line in text.split_inclusive('\n') {
            let words = line.trim();
            let name = words
                .trim_start_matches("async ")
                .strip_prefix("fn ")
                .and_then(|rest| rest.split('(').next());
            if words.starts_with("#[test]") || words.starts_with("#[tokio::test") {
                is_test = true;
            } else if let Some(name) = name {
                if is_test {
                    let margin = &line[..line.len() - line.trim_start().len()];
                    let length = text[place..].find(&format!("\n{margin}}}\n"));
                    let end = length.map_or(text.len(), |length| place + length);
                    tests.insert(name.to_owned(), text[start..end].to_owned());
                }
                is_test = false;
            }
            place += line.len();
            if !words.starts_with("//") && !words.starts_with('#') {
                start = place;
            }
        }
    }
    assert!(
        tests.len() > 100,
        "few tests were found: is the search broken?"
    );
    tests
}

/// The unit for systemd starts the program with what it takes, and systemd understands it where there is one.
#[test]
fn the_unit_for_systemd_is_one() {
    let unit = workspace().join("docs/connect-server.service");
    let text = fs::read_to_string(unit).unwrap();
    let start = text
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="));
    Cli::try_parse_from(start.unwrap().split_whitespace()).unwrap();
    let temp = tempfile::tempdir().unwrap();
    let here = temp.path().join("connect-server.service");
    // The program and the account are not on this machine.
    let text = text
        .replace("/usr/bin/connect-cli", env!("CARGO_BIN_EXE_connect-cli"))
        .replace("User=connect-server", "User=root");
    fs::write(&here, text).unwrap();
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&here)
        .output();
    match verified {
        Ok(verified) => {
            let said = String::from_utf8_lossy(&verified.stderr);
            let about_us = said.lines().find(|line| line.contains("connect-server"));
            assert_eq!(about_us, None, "{said}");
        }
        Err(_) => println!("SKIPPED: no systemd-analyze here"),
    }
}

/// Whoever waits is given the time by a clock that only goes on: nothing in the protocol, and nothing that drives it,
/// asks what day it is.
#[test]
fn d10_nothing_that_waits_reads_the_clock_of_the_day() {
    let root = workspace();
    let mut files = rust_files(&root.join("fasp-core/src"));
    files.extend(rust_files(&root.join("fasp-net/src/engine")));
    let reads_it = |path: &PathBuf| fs::read_to_string(path).unwrap().contains("SystemTime");
    let mut readers: Vec<_> = files.into_iter().filter(reads_it).collect();
    readers.sort();
    // Once, when a session begins, to share the line with others in turns; for the age of a growing file's modification
    // time; for that of what is made up as it is sent; and for the age of records, in days.
    let known = [
        "driver.rs",
        "growing.rs",
        "lister/walk.rs",
        "sealed/record.rs",
    ]
    .map(|name| root.join("fasp-net/src/engine").join(name));
    assert_eq!(readers, known);
}
