//! `conf exec`, and what `asconfigurator` shares with it.

use std::path::{Path, PathBuf};

use aspera_conf::{Command, Conf, MAX_EXPRESSION, Verb, store};
use fasp_net::event::ShownText;

use super::OptionLine;
use crate::{
    args::ConfExecArgs,
    error::CommandError,
    resolve::{self, ConfFile},
    ui::Ui,
};

/// Expressions, and what becomes of the result.
#[derive(Debug)]
pub(in crate::commands) struct Job {
    /// In the order they are carried out.
    pub(in crate::commands) commands: Vec<Command>,
    /// Where the result is written.
    pub(in crate::commands) result: ResultTo,
}

/// Where a changed configuration goes.
#[derive(Debug)]
pub(in crate::commands) enum ResultTo {
    /// In the place of the file.
    SameFile,
    /// Into another file; the first stays as it is.
    File(PathBuf),
    /// To standard output.
    Print,
    /// Nowhere: the expressions are checked only.
    Nowhere,
}

pub(super) fn run(ui: &Ui, file: &ConfFile, args: ConfExecArgs) -> Result<(), CommandError> {
    let mut lines = args.expressions;
    if let Some(path) = &args.from {
        lines.extend(expressions_in(path)?);
    }
    let commands = lines.iter().map(|line| Command::parse(line));
    let commands = commands.collect::<Result<_, _>>()?;
    let result = match (args.output, args.dry_run) {
        (Some(path), _) => ResultTo::File(path),
        (None, true) => ResultTo::Print,
        (None, false) => ResultTo::SameFile,
    };
    let changed = carry_out(ui, file, &Job { commands, result })?;
    if let Some(path) = changed {
        ui.note(&format!("changed '{}'", say(&path.display().to_string())));
    }
    Ok(())
}

/// Carries out a job: all of it, or nothing. Returns the file that was written.
pub(in crate::commands) fn carry_out(
    ui: &Ui,
    file: &ConfFile,
    job: &Job,
) -> Result<Option<PathBuf>, CommandError> {
    let is_reading = job.commands.iter().all(|c| c.verb == Verb::Get);
    // What is missing is created by an edit, and has nothing to read.
    let mut conf = resolve::read_conf(&ConfFile {
        path: file.path.clone(),
        is_default: file.is_default || !is_reading,
    })?;
    let mut reports = Vec::new();
    for command in &job.commands {
        step(ui, &mut conf, command, &mut reports)?;
    }
    let mut written = None;
    match &job.result {
        _ if is_reading => {}
        ResultTo::SameFile => {
            resolve::make_conf_directory(file)?;
            // Again, under the file's lock: it may have changed meanwhile.
            if store::edit(&file.path, |conf| apply_all(conf, &job.commands))? {
                written = Some(file.path.clone());
            }
        }
        ResultTo::File(path) => {
            store::edit(path, |other| {
                *other = conf.clone();
                Ok(())
            })?;
            written = Some(path.clone());
        }
        ResultTo::Print => reports.push(conf.text().to_owned()),
        ResultTo::Nowhere => {}
    }
    ui.print_data(reports.concat().as_bytes())?;
    Ok(written)
}

fn apply_all(conf: &mut Conf, commands: &[Command]) -> aspera_conf::Result<bool> {
    let mut is_changed = false;
    for command in commands.iter().filter(|c| c.verb != Verb::Get) {
        is_changed |= conf.apply(command)?;
    }
    Ok(is_changed)
}

fn step(
    ui: &Ui,
    conf: &mut Conf,
    command: &Command,
    reports: &mut Vec<String>,
) -> Result<(), CommandError> {
    if command.verb != Verb::Get {
        conf.apply(command)?;
        return Ok(());
    }
    let mask = command.assignments.first().map(|mask| mask.value.as_str());
    for line in conf.report(&command.record, mask)? {
        let record = command.record.to_string();
        if ui.is_json() {
            reports.push(crate::ui::json_line(&OptionLine {
                record: &record,
                option: line.name,
                set: line.value.is_some(),
                value: line.value.or_else(|| Some(line.builtin.to_owned())),
            }));
            continue;
        }
        let value = line.value.map_or_else(
            || "AS_NULL".to_owned(),
            |value| format!("\"{}\"", say(&value)),
        );
        let default = mask.map(|_| format!("  (default: \"{}\")", line.builtin));
        let default = default.unwrap_or_default();
        reports.push(format!("{}: {value}{default}\n", line.name));
    }
    Ok(())
}

/// Reads expressions from a file, one a line; empty lines and those that begin with `#` are left out.
pub(in crate::commands) fn expressions_in(path: &Path) -> Result<Vec<String>, CommandError> {
    let failed = |source| aspera_conf::Error::File {
        path: path.display().to_string(),
        source,
    };
    let bytes = docroot::read_operator_file(path, MAX_EXPRESSION as u64).map_err(failed)?;
    let text = String::from_utf8(bytes).map_err(|_| {
        CommandError::arguments(
            format!("'{}' is not UTF-8", path.display()),
            "write one expression a line",
        )
    })?;
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(str::to_owned).collect())
}

/// Text from a file, for a terminal.
pub(super) fn say(text: &str) -> String {
    ShownText::from_message(text).to_string()
}
