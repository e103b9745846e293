//! The transfer protocol on real networks.
//!
//! [`request`] is what goes into a transfer, [`event`] what comes out of it while it runs; both are plain data. The
//! [`control`] channel settles who is on the other side and what is agreed; the state machines of `fasp-core` carry it out.

pub mod control;
pub mod engine;
mod error;
pub mod event;
pub mod port;
pub mod receipt;
pub mod request;
pub mod retry;
pub mod serve;
#[cfg(feature = "testing")]
pub mod testing;
pub mod transfer;

pub use error::Error;

/// Draws 64 bits from the operating system's generator.
fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    fill_random(&mut bytes);
    u64::from_be_bytes(bytes)
}

/// Fills `bytes` from the operating system's generator.
fn fill_random(bytes: &mut [u8]) {
    // Without randomness there is no session to be had; supported systems block until they have it.
    getrandom::fill(bytes).expect("the operating system gives random bytes");
}
