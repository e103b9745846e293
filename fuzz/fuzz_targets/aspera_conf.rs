#![no_main]

#[path = "../checks/aspera_conf.rs"]
mod aspera_conf;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| aspera_conf::check(bytes));
