//! `completions` and `man`: both are made from the definition of the arguments.

use clap::CommandFactory as _;

use crate::{
    args::{Cli, CompletionsArgs, ManArgs},
    error::CommandError,
    ui::Ui,
};

pub(super) fn completions(ui: &Ui, args: &CompletionsArgs) -> Result<(), CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "connect-cli", &mut script);
    ui.print_data(&script)
}

pub(super) fn pages(args: &ManArgs) -> Result<(), CommandError> {
    clap_mangen::generate_to(Cli::command(), &args.directory).map_err(|source| {
        CommandError::Output {
            what: format!("manual pages to '{}'", args.directory.display()),
            source,
        }
    })
}
