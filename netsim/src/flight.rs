//! Packets between the serialiser and the far end.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

/// A packet that will arrive.
#[derive(Debug, Clone)]
struct Flying<P> {
    arrives: u64,
    /// Breaks ties: packets due at the same moment arrive in the order they were put in flight.
    number: u64,
    payload: P,
}

impl<P> Flying<P> {
    fn key(&self) -> (u64, u64) {
        (self.arrives, self.number)
    }
}

impl<P> PartialEq for Flying<P> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<P> Eq for Flying<P> {}

impl<P> PartialOrd for Flying<P> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<P> Ord for Flying<P> {
    /// Reversed: the largest in a heap is the first to arrive.
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

/// Packets ordered by arrival.
///
/// Most packets arrive in order and go through a plain queue; only the others pay for a heap.
#[derive(Debug, Clone)]
pub(crate) struct Flight<P> {
    in_order: VecDeque<Flying<P>>,
    out_of_order: BinaryHeap<Flying<P>>,
    last_in_order: u64,
    next_number: u64,
}

impl<P> Flight<P> {
    pub(crate) const fn new() -> Self {
        Self {
            in_order: VecDeque::new(),
            out_of_order: BinaryHeap::new(),
            last_in_order: 0,
            next_number: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.in_order.len() + self.out_of_order.len()
    }

    /// Adds a packet that arrives after everything added with this call before, however short its own delay.
    #[inline]
    pub(crate) fn push_in_order(&mut self, arrives: u64, payload: P) {
        self.last_in_order = self.last_in_order.max(arrives);
        let flying = self.number(self.last_in_order, payload);
        self.in_order.push_back(flying);
    }

    /// Adds a packet that arrives when its own delay is over.
    #[inline]
    pub(crate) fn push(&mut self, arrives: u64, payload: P) {
        if arrives >= self.last_in_order {
            self.push_in_order(arrives, payload);
        } else {
            self.push_held_back(arrives, payload);
        }
    }

    /// Adds a packet that arrives on its own and holds up nobody.
    #[inline]
    pub(crate) fn push_held_back(&mut self, arrives: u64, payload: P) {
        let flying = self.number(arrives, payload);
        self.out_of_order.push(flying);
    }

    /// Returns when the first packet arrives, or `u64::MAX` when there is none.
    #[inline]
    pub(crate) fn next_arrival(&self) -> u64 {
        let in_order = self.in_order.front().map_or(u64::MAX, |f| f.arrives);
        let out_of_order = self.out_of_order.peek().map_or(u64::MAX, |f| f.arrives);
        in_order.min(out_of_order)
    }

    /// Removes the first packet if it has arrived by `now`; returns its moment of arrival with it.
    #[inline]
    pub(crate) fn pop(&mut self, now: u64) -> Option<(u64, P)> {
        let first = match (self.in_order.front(), self.out_of_order.peek()) {
            (None, None) => return None,
            (Some(a), Some(b)) if b.key() < a.key() => b.arrives,
            (None, Some(b)) => b.arrives,
            (Some(a), _) => {
                if a.arrives > now {
                    return None;
                }
                return self.in_order.pop_front().map(|f| (f.arrives, f.payload));
            }
        };
        if first > now {
            return None;
        }
        self.out_of_order.pop().map(|f| (f.arrives, f.payload))
    }

    #[inline]
    fn number(&mut self, arrives: u64, payload: P) -> Flying<P> {
        let number = self.next_number;
        self.next_number += 1;
        Flying {
            arrives,
            number,
            payload,
        }
    }
}
