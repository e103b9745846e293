#![no_main]

#[path = "../checks/entry_path.rs"]
mod entry_path;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entry_path::check(bytes));
