#![no_main]

#[path = "../checks/control_stream.rs"]
mod control_stream;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| control_stream::check(bytes));
