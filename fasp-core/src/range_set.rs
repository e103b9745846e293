//! An ordered set of numbers kept as ranges: packet numbers received, bytes of a file present.

use std::ops::Range;

/// A set of `u64` stored as sorted, disjoint, non-adjacent ranges.
///
/// Appending at the end, which is what a path without loss does all the time, touches only the last range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeSet {
    ranges: Vec<Range<u64>>,
}

impl RangeSet {
    /// Makes an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the ranges in ascending order.
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// Returns how many ranges there are.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Returns how many numbers are in the set.
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(|r| r.end - r.start).sum()
    }

    /// Whether every number of `range` is in the set.
    pub fn covers(&self, range: &Range<u64>) -> bool {
        range.is_empty()
            || self
                .ranges
                .get(self.position(range.start))
                .is_some_and(|r| r.start <= range.start && range.end <= r.end)
    }

    /// Whether this number is in the set.
    pub fn contains(&self, number: u64) -> bool {
        self.ranges
            .get(self.position(number))
            .is_some_and(|r| r.contains(&number))
    }

    /// Adds a range and calls `added` for each part of it that was not in the set, in ascending order.
    pub fn insert_with(&mut self, range: Range<u64>, mut added: impl FnMut(Range<u64>)) {
        if range.is_empty() {
            return;
        }
        match self.ranges.last_mut() {
            Some(last) if last.end == range.start => {
                last.end = range.end;
                return added(range);
            }
            Some(last) if last.end > range.start => {}
            _ => {
                self.ranges.push(range.clone());
                return added(range);
            }
        }
        // The first stored range that touches the new one, and the first beyond it.
        let first = self.ranges.partition_point(|r| r.end < range.start);
        let beyond = first + self.ranges[first..].partition_point(|r| r.start <= range.end);
        if first == beyond {
            self.ranges.insert(first, range.clone());
            return added(range);
        }
        let mut at = range.start;
        for stored in &self.ranges[first..beyond] {
            if at < stored.start {
                added(at..stored.start.min(range.end));
            }
            at = at.max(stored.end);
        }
        if at < range.end {
            added(at..range.end);
        }
        let merged =
            self.ranges[first].start.min(range.start)..self.ranges[beyond - 1].end.max(range.end);
        self.ranges[first] = merged;
        self.ranges.drain(first + 1..beyond);
    }

    /// Adds a range and returns whether anything in it was new.
    pub fn insert(&mut self, range: Range<u64>) -> bool {
        let mut new = false;
        self.insert_with(range, |_| new = true);
        new
    }

    /// Forgets every number below `floor`.
    pub fn remove_below(&mut self, floor: u64) {
        let keep = self.ranges.partition_point(|r| r.end <= floor);
        self.ranges.drain(..keep);
        if let Some(first) = self.ranges.first_mut() {
            first.start = first.start.max(floor);
        }
    }

    /// Forgets the lowest ranges until at most `limit` are left.
    pub fn keep_highest(&mut self, limit: usize) {
        let surplus = self.ranges.len().saturating_sub(limit);
        self.ranges.drain(..surplus);
    }

    /// Returns the parts of `within` that are not in the set, in ascending order.
    pub fn gaps(&self, within: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let first = self.position(within.start);
        let mut at = within.start;
        let stored = self.ranges[first..]
            .iter()
            .cloned()
            .take_while(move |r| r.start < within.end);
        stored
            .chain(std::iter::once(within.end..within.end))
            .filter_map(move |r| {
                let gap = at..r.start;
                at = at.max(r.end);
                (!gap.is_empty()).then_some(gap)
            })
    }

    /// Index of the first range that ends above `number`.
    fn position(&self, number: u64) -> usize {
        match self.ranges.last() {
            Some(last) if last.start <= number && number < last.end => self.ranges.len() - 1,
            _ => self.ranges.partition_point(|r| r.end <= number),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn naive(set: &BTreeSet<u64>, within: Range<u64>) -> Vec<u64> {
        within.filter(|n| !set.contains(n)).collect()
    }

    proptest! {
        #[test]
        fn agrees_with_a_naive_set(operations in prop::collection::vec((0u64..200, 0u64..20, 0u8..8), 1..200)) {
            let mut set = RangeSet::new();
            let mut model = BTreeSet::new();
            for (start, length, kind) in operations {
                if kind == 0 {
                    set.remove_below(start);
                    model.retain(|n| *n >= start);
                } else {
                    let mut added = Vec::new();
                    set.insert_with(start..start + length, |r| added.extend(r));
                    prop_assert_eq!(&added, &naive(&model, start..start + length));
                    model.extend(start..start + length);
                }
                prop_assert_eq!(set.count(), model.len() as u64);
                prop_assert!(set.ranges().windows(2).all(|w| w[0].end < w[1].start));
                let gaps: Vec<u64> = set.gaps(10..190).flatten().collect();
                prop_assert_eq!(gaps, naive(&model, 10..190));
                prop_assert_eq!(set.contains(start), model.contains(&start));
                let asked = start..start + length;
                prop_assert_eq!(set.covers(&asked), naive(&model, asked.clone()).is_empty());
            }
        }
    }
}
