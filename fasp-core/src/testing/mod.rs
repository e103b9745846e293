//! A sender and a receiver on a simulated network and a virtual clock (feature `testing`).
//!
//! Files are made of numbers, not of memory: byte `i` of file `f` is a function of both, so terabytes can pass.
//! The receiver checks every byte it is given and that no byte comes twice.

mod arena;
pub mod bench;
mod frames;
mod hostile;
mod pair;
mod programs;
mod scenario;
mod station;
mod tcp;

pub use arena::{Arena, FlowId};
pub use frames::check_frames;
pub use hostile::Hostile;
pub use pair::{Pair, keys};
pub use scenario::{Run, Scenario};
pub use tcp::TcpKind;

/// Fills `out` with the bytes of a synthetic file from `offset` on.
pub fn synthetic(file: u32, offset: u64, out: &mut [u8]) {
    let word = |index: u64| {
        let mixed = (index ^ u64::from(file) << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29).to_le_bytes()
    };
    let mut at = 0;
    while at < out.len() {
        let position = offset + at as u64;
        let skip = (position % 8) as usize;
        let length = (8 - skip).min(out.len() - at);
        out[at..at + length].copy_from_slice(&word(position / 8)[skip..skip + length]);
        at += length;
    }
}
