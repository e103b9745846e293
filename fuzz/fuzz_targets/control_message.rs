#![no_main]

#[path = "../checks/control_message.rs"]
mod control_message;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| control_message::check(bytes));
