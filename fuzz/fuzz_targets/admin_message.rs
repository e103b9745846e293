#![no_main]

#[path = "../checks/admin_message.rs"]
mod admin_message;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| admin_message::check(bytes));
