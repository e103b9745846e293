#![no_main]

#[path = "../checks/ssh_transcript.rs"]
mod ssh_transcript;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ssh_transcript::check(bytes));
