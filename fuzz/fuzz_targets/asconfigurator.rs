#![no_main]

#[path = "../checks/asconfigurator.rs"]
mod asconfigurator;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| asconfigurator::check(bytes));
