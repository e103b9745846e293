#![no_main]

#[path = "../checks/file_rules.rs"]
mod file_rules;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| file_rules::check(bytes));
