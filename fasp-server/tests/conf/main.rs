//! The server obeys `aspera.conf`: each option through a real server on loopback, one server for many cases.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "test set-up"
)]

mod bed;
mod files;
mod hooks;
mod logs;
mod obeyed;
mod rates;
mod rights;
mod steering;
mod vlink;
