#![no_main]

#[path = "../checks/users_file.rs"]
mod users_file;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| users_file::check(bytes));
