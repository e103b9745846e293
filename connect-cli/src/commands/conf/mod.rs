//! `conf`: read, check, explain and edit aspera.conf.

mod check;
mod exec;
mod explain;
mod show;

use std::env;

use aspera_conf::{Assignment, Command, Record, Verb, resolve::lookup, store};
use serde::Serialize;

use self::exec::say;
use crate::{
    args::{ConfArgs, ConfCommand, ConfGetArgs, ConfSetArgs},
    error::CommandError,
    resolve::{self, ConfFile},
    ui::Ui,
};

pub(super) use exec::{Job, ResultTo, carry_out, expressions_in};

/// What `conf get --json` and `conf exec --json` print for an option of a record.
#[derive(Debug, Serialize)]
struct OptionLine<'a> {
    record: &'a str,
    option: &'a str,
    value: Option<String>,
    set: bool,
}

pub(super) fn run(ui: &Ui, args: ConfArgs) -> Result<(), CommandError> {
    if let ConfCommand::Explain(args) = &args.command {
        return explain::run(ui, args);
    }
    let file = resolve::conf_file(args.file, |name| env::var_os(name))?;
    match args.command {
        ConfCommand::Get(args) => get(ui, &file, &args),
        ConfCommand::Set(args) => set(ui, &file, args),
        ConfCommand::Unset(args) => unset(ui, &file, args),
        ConfCommand::Check(_) => check::run(ui, &file),
        ConfCommand::Show(args) => show::run(ui, &file, &args),
        ConfCommand::Explain(args) => explain::run(ui, &args),
        ConfCommand::Exec(args) => exec::run(ui, &file, args),
    }
}

fn get(ui: &Ui, file: &ConfFile, args: &ConfGetArgs) -> Result<(), CommandError> {
    let record = resolve::conf_record(&args.record)?;
    let conf = resolve::read_conf(file)?;
    let setting = lookup(&conf, &record, &args.option)?;
    let value = setting.value.as_ref().map(ToString::to_string);
    let shown = match value {
        Some(value) if args.reveal => Some(value),
        Some(value) => Some(setting.spec.shown(&value)),
        None => None,
    };
    if ui.is_json() {
        return ui.print_json(&OptionLine {
            record: &record.to_string(),
            option: setting.spec.name,
            value: shown,
            set: setting.position.is_some(),
        });
    }
    let line = shown.map(|text| say(&text) + "\n").unwrap_or_default();
    ui.print_data(line.as_bytes())
}

fn set(ui: &Ui, file: &ConfFile, args: ConfSetArgs) -> Result<(), CommandError> {
    let record = resolve::conf_record(&args.record)?;
    let assignment = Assignment::new(args.option, args.value);
    change(ui, file, record, assignment)
}

fn unset(ui: &Ui, file: &ConfFile, args: ConfGetArgs) -> Result<(), CommandError> {
    let record = resolve::conf_record(&args.record)?;
    change(ui, file, record, Assignment::new(args.option, "AS_NULL"))
}

fn change(
    ui: &Ui,
    file: &ConfFile,
    record: Record,
    assignment: Assignment,
) -> Result<(), CommandError> {
    let command = Command {
        verb: Verb::Set,
        record,
        assignments: vec![assignment],
    };
    // Nothing is made for a change that is refused.
    resolve::read_conf(&ConfFile {
        is_default: true,
        ..file.clone()
    })?
    .apply(&command)?;
    resolve::make_conf_directory(file)?;
    let is_changed = store::edit(&file.path, |conf| conf.apply(&command))?;
    let path = file.path.display().to_string();
    ui.note(&match is_changed {
        true => format!("changed '{}'", say(&path)),
        false => format!("'{}' says so already", say(&path)),
    });
    Ok(())
}
