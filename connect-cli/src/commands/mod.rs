//! One file a command: calls libraries and hands results to the [`Ui`].

mod manual;
mod user;

use crate::{
    args::{Command, ServerCommand},
    error::CommandError,
    ui::Ui,
};

pub(crate) fn run(ui: &Ui, command: Command) -> Result<(), CommandError> {
    match command {
        Command::Server(server) => match server.command {
            ServerCommand::User(user) => user::run(ui, user.command),
        },
        Command::Completions(args) => manual::completions(ui, &args),
        Command::Man(args) => manual::pages(&args),
    }
}
