//! What the benches that run whole programs share.

pub mod process;
pub mod workload;
