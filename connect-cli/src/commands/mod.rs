//! One file a command: calls libraries and hands results to the [`Ui`].

mod admin;
mod answers;
mod asconfigurator;
mod bench;
mod conf;
mod connection;
mod crypt;
mod demo;
mod doctor;
mod hosts;
mod logging;
mod logs;
mod ls;
mod manifest;
mod manual;
mod notify;
mod protection;
mod runtime;
mod server;
mod signals;
mod sources;
mod standard;
mod stop;
mod transfer;
mod transfer_log;
mod user;

pub(crate) use self::asconfigurator::run as asconfigurator;

use std::env;

use self::runtime::on_runtime;
use crate::{
    args::{Command, ServerCommand},
    error::CommandError,
    resolve,
    ui::Ui,
};

pub(crate) fn run(ui: &Ui, command: Command) -> Result<(), CommandError> {
    let variable = |name: &str| env::var_os(name);
    match command {
        Command::Upload(args) => logging::logged(ui, "upload", args.connection.log.clone(), || {
            transfer::run(ui, resolve::upload(args, variable)?)
        }),
        Command::Download(args) => {
            logging::logged(ui, "download", args.connection.log.clone(), || {
                transfer::run(ui, resolve::download(args, variable)?)
            })
        }
        Command::Ls(args) => logging::logged(ui, "ls", args.connection.log.clone(), || {
            ls::run(ui, &resolve::ls(args, variable)?)
        }),
        Command::Doctor(args) => logging::logged(ui, "doctor", args.connection.log.clone(), || {
            doctor::run(ui, &resolve::doctor(args, variable)?)
        }),
        Command::Bench(args) => logging::logged(ui, "bench", args.connection.log.clone(), || {
            bench::run(ui, &resolve::bench(args, variable)?)
        }),
        Command::Logs(args) => logs::run(ui, &args),
        Command::Crypt(args) => crypt::run(ui, resolve::crypt(args, variable)),
        Command::Hosts(args) => hosts::run(ui, &resolve::settings_path(variable)?, args.command),
        Command::Demo(args) => demo::run(ui, &args),
        Command::Server(server) => match server.command {
            ServerCommand::Start(args) => {
                server::start(ui, &resolve::server_settings(&args, variable)?)
            }
            ServerCommand::Session(args) => {
                server::session(resolve::session_settings(&args, variable)?)
            }
            ServerCommand::User(user) => user::run(ui, user.command),
            ServerCommand::Status(args) => admin::status(ui, &args),
            ServerCommand::Sessions(args) => admin::sessions(ui, args.command),
            ServerCommand::Reload(args) => admin::reload(ui, &args.state),
            ServerCommand::Drain(args) => admin::drain(ui, &args.state),
        },
        Command::Conf(args) => conf::run(ui, args),
        Command::Completions(args) => manual::completions(ui, &args),
        Command::Man(args) => manual::pages(&args),
    }
}
