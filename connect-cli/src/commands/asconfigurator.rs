//! This program when it is called `asconfigurator`.

use std::{ffi::OsString, path::Path};

use aspera_conf::{Command, store::SERVER_FILE};
use clap::Parser as _;

use super::conf::{Job, ResultTo, carry_out, expressions_in};
use crate::{
    args::{AsconfiguratorArgs, OutputArgs},
    error::CommandError,
    exit::ExitStatus,
    resolve::ConfFile,
    ui::{self, Ui},
};

pub(crate) fn run(args: Vec<OsString>) -> ExitStatus {
    let args = match AsconfiguratorArgs::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => return ui::show_clap_message(&error),
    };
    let is_quiet = args.quiet;
    let ui = Ui::new(OutputArgs {
        json: false,
        quiet: is_quiet,
    });
    let result = edit(&ui, args);
    let word: &[u8] = match &result {
        _ if is_quiet => b"",
        Ok(()) => b"success\n",
        Err(_) => b"failure\n",
    };
    let told = ui.print_data(word);
    match result.and(told) {
        Ok(()) => ExitStatus::Success,
        Err(error) => {
            ui.show_error(&error);
            // Scripts test for failure; 2 is for a command line that is wrong.
            ExitStatus::Failure
        }
    }
}

fn edit(ui: &Ui, args: AsconfiguratorArgs) -> Result<(), CommandError> {
    let mut lines = Vec::new();
    for text in args.expressions {
        // A name of a file is no command.
        if Command::is_one(&text) || text.contains(';') {
            lines.push(text);
        } else {
            lines.extend(expressions_in(Path::new(&text))?);
        }
    }
    let commands = lines.iter().map(|line| Command::parse(line));
    let commands = commands.collect::<Result<_, _>>()?;
    let path = args.file.or(args.positional);
    let file = ConfFile {
        path: path.unwrap_or_else(|| SERVER_FILE.into()),
        is_default: false,
    };
    let result = match (args.check, args.output) {
        (true, _) => ResultTo::Nowhere,
        (false, Some(path)) => ResultTo::File(path),
        (false, None) => ResultTo::SameFile,
    };
    carry_out(ui, &file, &Job { commands, result }).map(drop)
}
