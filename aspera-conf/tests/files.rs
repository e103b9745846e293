//! Whole files, with everything that is found in them and values that count.
//!
//! `files/files.txt` has one after the other:
//!
//! ```text
//! == NAME
//! > refused LINE:COLUMN MESSAGE             the file is not read, or
//! > SEVERITY RULE LINE:COLUMN [SUGGESTION]  each finding but that an option has no effect, and
//! > WHO[+GROUP,GROUP] OPTION = VALUE @ ORIGIN
//! the file{END}
//! ```
//! `WHO` is a user, or `node`. `{BOM}` and `{CR}` stand for what an editor would not show.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test set-up")]

use std::collections::BTreeSet;

use aspera_conf::{
    Conf, Error,
    check::{Rule, check},
    resolve::{Person, Resolver},
};

const FILES: &str = include_str!("files/files.txt");

struct Case<'a> {
    name: &'a str,
    expected: Vec<&'a str>,
    file: String,
}

fn cases() -> Vec<Case<'static>> {
    FILES.split("\n== ").skip(1).map(case).collect()
}

fn case(text: &'static str) -> Case<'static> {
    let (name, mut rest) = text.split_once('\n').unwrap();
    let mut expected = Vec::new();
    while let Some(line) = rest.strip_prefix("> ") {
        let (line, after) = line.split_once('\n').unwrap();
        expected.push(line);
        rest = after;
    }
    let file = rest.strip_suffix('\n').unwrap_or(rest);
    let file = file
        .strip_suffix("{END}")
        .unwrap_or_else(|| panic!("{name} has no end"));
    let file = file.replace("{BOM}", "\u{feff}").replace("{CR}", "\r");
    Case {
        name,
        expected,
        file,
    }
}

/// What is found, in the order of the file.
fn findings(file: &str) -> Vec<String> {
    let conf = match Conf::parse(file.as_bytes()) {
        Ok(conf) => conf,
        Err(Error::Document { position, fault }) => {
            let place = format!("{}:{}", position.line, position.column);
            return vec![format!("refused {place} {fault}")];
        }
        Err(other) => panic!("{other}"),
    };
    assert_eq!(conf.text(), file, "what is read is written as it was");
    check(&conf)
        .iter()
        .filter(|finding| finding.rule != Rule::NoEffect)
        .map(|finding| {
            let (rule, position) = (finding.rule.name(), finding.position);
            let place = format!("{}:{}", position.line, position.column);
            let suggestion = finding.suggestion.as_deref().unwrap_or_default();
            format!("{} {rule} {place} {suggestion}", finding.severity())
                .trim_end()
                .to_owned()
        })
        .collect()
}

/// `WHO[+GROUP,GROUP] OPTION = VALUE @ ORIGIN`, made from the file.
fn resolved(file: &str, expected: &str) -> String {
    let (who, rest) = expected.split_once(' ').unwrap();
    let (option, _) = rest.split_once(" = ").unwrap();
    let (name, groups) = who.split_once('+').unwrap_or((who, ""));
    let groups: Vec<_> = groups.split(',').collect();
    let home = format!("/home/{name}");
    let person = Person {
        name,
        home: Some(&home),
        groups: &groups,
        peer: None,
    };
    let conf = Conf::parse(file.as_bytes()).unwrap();
    let setting = Resolver::new(&conf, person).option(option).unwrap();
    format!("{who} {option} = {} @ {}", setting.shown(), setting.origin)
}

#[test]
fn every_file_has_the_outcome_that_is_written_beside_it() {
    let cases = cases();
    assert!(cases.len() >= 100, "{}", cases.len());
    let names: BTreeSet<_> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len());
    let mut wrong = String::new();
    for case in &cases {
        let (values, found): (Vec<&str>, Vec<&str>) =
            case.expected.iter().partition(|line| line.contains(" @ "));
        let actual = findings(&case.file);
        if found != actual {
            wrong += &format!("CASE {}\n> {}\n", case.name, actual.join("\n> "));
        }
        for expected in values {
            assert_eq!(expected, resolved(&case.file, expected), "{}", case.name);
        }
    }
    assert!(wrong.is_empty(), "what is found differs:\n{wrong}");
}
