//! Rate control: one estimator or rule per file (docs/rate-control.md).

mod controller;
mod delivery;
mod memory;
mod pacer;
mod queueing;
mod usage;

pub use controller::RateLimits;
pub(crate) use controller::{RateController, Report, carried};
pub(crate) use delivery::DeliveryRate;
pub use memory::PathMemory;
pub(crate) use pacer::Pacer;
pub(crate) use queueing::Queueing;
pub(crate) use usage::Usage;
