//! `conf check`

use aspera_conf::check::{Finding, Severity};
use serde::Serialize;

use super::say;
use crate::{
    error::CommandError,
    resolve::{self, ConfFile},
    ui::Ui,
};

/// What `conf check --json` prints for a finding.
#[derive(Debug, Serialize)]
struct FindingLine<'a> {
    severity: &'static str,
    rule: &'static str,
    line: u32,
    column: u32,
    path: String,
    message: String,
    suggestion: Option<&'a str>,
}

pub(super) fn run(ui: &Ui, file: &ConfFile) -> Result<(), CommandError> {
    let conf = resolve::read_conf(file)?;
    let findings = aspera_conf::check(&conf);
    let path = say(&file.path.display().to_string());
    for finding in &findings {
        if ui.is_json() {
            ui.print_json(&line(finding))?;
        } else {
            ui.print_data(text(&path, finding).as_bytes())?;
        }
    }
    let count = |severity| findings.iter().filter(|f| f.severity() == severity).count();
    let errors = count(Severity::Error);
    let (warnings, notices) = (count(Severity::Warning), count(Severity::Notice));
    ui.note(&format!(
        "{path}: {errors} errors, {warnings} warnings, {notices} notices"
    ));
    match errors {
        0 => Ok(()),
        errors => Err(CommandError::ConfFindings(errors)),
    }
}

fn line(finding: &Finding) -> FindingLine<'_> {
    FindingLine {
        severity: finding.severity().name(),
        rule: finding.rule.name(),
        line: finding.position.line,
        column: finding.position.column,
        path: say(&finding.path),
        message: say(&finding.message),
        suggestion: finding.suggestion.as_deref(),
    }
}

/// As compilers write it, so that editors can jump to the place.
fn text(path: &str, finding: &Finding) -> String {
    let position = finding.position;
    let mut text = format!(
        "{path}:{}:{}: {}: {}\n",
        position.line,
        position.column,
        finding.severity(),
        say(&finding.message)
    );
    if let Some(suggestion) = &finding.suggestion {
        text.push_str(&format!("    {}\n", say(suggestion)));
    }
    text
}
