#![no_main]

#[path = "../checks/authorized_key.rs"]
mod authorized_key;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| authorized_key::check(bytes));
