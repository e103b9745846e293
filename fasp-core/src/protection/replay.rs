//! The replay window (protocol §4.3): a ring of bits that is never shifted (RFC 6479).

/// Numbers the window holds (rule W-9).
pub(crate) const WINDOW: u64 = 1 << 17;
const WORDS: usize = (WINDOW / 64) as usize + 1;

/// Which numbers have been authenticated already.
#[derive(Debug, Clone)]
pub(crate) struct ReplayWindow {
    bits: Box<[u64]>,
    /// Highest marked number plus one; zero before the first.
    next: u64,
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self {
            bits: vec![0; WORDS].into_boxed_slice(),
            next: 0,
        }
    }
}

impl ReplayWindow {
    /// Returns the number one above the highest authenticated one.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Whether the number is new: neither marked nor older than the window.
    pub(crate) fn is_fresh(&self, number: u64) -> bool {
        if number >= self.next {
            return true;
        }
        let (word, bit) = slot(number);
        number + WINDOW >= self.next && self.bits[word] & bit == 0
    }

    /// Marks a number whose datagram has been authenticated (rule W-10: never before).
    pub(crate) fn mark(&mut self, number: u64) {
        if number >= self.next {
            let (first, last) = (self.next.div_ceil(64), number / 64);
            // Words entered now are cleared; a jump over the whole ring clears each once.
            for word in (first..=last).take(WORDS) {
                self.bits[(word % WORDS as u64) as usize] = 0;
            }
            if last - first.min(last) >= WORDS as u64 {
                self.bits.fill(0);
            }
            self.next = number + 1;
        }
        let (word, bit) = slot(number);
        self.bits[word] |= bit;
    }
}

fn slot(number: u64) -> (usize, u64) {
    ((number / 64 % WORDS as u64) as usize, 1 << (number % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn w9_agrees_with_a_set(jumps in prop::collection::vec((-200_000i64..200_000, any::<bool>()), 1..400)) {
            let mut window = ReplayWindow::default();
            let mut marked = HashSet::new();
            let mut at = 0i64;
            for (jump, small) in jumps {
                at = (at + if small { jump % 70 } else { jump }).max(0);
                let number = at as u64;
                let expected = !marked.contains(&number) && number + WINDOW >= window.next();
                prop_assert_eq!(window.is_fresh(number), expected);
                if expected {
                    window.mark(number);
                    marked.insert(number);
                    prop_assert!(!window.is_fresh(number));
                }
            }
        }
    }

    #[test]
    fn a_jump_to_the_end_of_the_number_space_costs_no_loop() {
        let mut window = ReplayWindow::default();
        window.mark(3);
        window.mark(1 << 61);
        assert!(!window.is_fresh(3));
        assert!(window.is_fresh((1 << 61) - 5));
    }
}
