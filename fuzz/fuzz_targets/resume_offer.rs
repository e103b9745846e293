#![no_main]

#[path = "../checks/resume_offer.rs"]
mod resume_offer;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| resume_offer::check(bytes));
