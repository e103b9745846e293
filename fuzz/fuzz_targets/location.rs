#![no_main]

#[path = "../checks/location.rs"]
mod location;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| location::check(bytes));
