//! Fast transfers on the command line: hands over to the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    connect_cli::run(std::env::args_os())
}
