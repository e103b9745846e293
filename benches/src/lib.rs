//! What the benches that run whole programs share.

pub mod memory;
pub mod process;
pub mod workload;
