//! What happened, counted.

use std::time::Duration;

/// What one link has done so far.
///
/// Every packet is accounted for: `sent + duplicated` equals the sum of `too_large`, `policed`, `overflowed`,
/// `black_holed`, `lost`, `delivered` and what [`Link::in_transit`](crate::Link::in_transit) says is still
/// under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkCounters {
    /// Packets handed to the link.
    pub sent: u64,
    /// Their payload bytes.
    pub sent_bytes: u64,
    /// Packets larger than the MTU.
    pub too_large: u64,
    /// Packets the policer dropped.
    pub policed: u64,
    /// Packets that did not fit the queue.
    pub overflowed: u64,
    /// Packets that left the serialiser during an outage.
    pub black_holed: u64,
    /// Packets lost at random.
    pub lost: u64,
    /// Copies made.
    pub duplicated: u64,
    /// Packets damaged.
    pub corrupted: u64,
    /// Packets held back for others to overtake.
    pub held_back: u64,
    /// Packets, copies included, that came out at the far end.
    pub delivered: u64,
    /// Their payload bytes.
    pub delivered_bytes: u64,
    /// Longest time an accepted packet had to wait for the serialiser, as seen when it was accepted.
    pub max_queue_delay: Duration,
}

/// What a network has done beside moving packets over links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NetworkCounters {
    /// Packets sent from or to an address nobody ever had, or without a route.
    pub unroutable: u64,
    /// Packets that reached their host after it had left the address they were sent to.
    pub stale_address: u64,
    /// Packets delivered to hosts.
    pub delivered: u64,
}
