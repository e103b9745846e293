//! What left and has not been settled yet (protocol §7.1).

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// What a datagram carried that may have to be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// Nothing that matters: path checks, pings, reports.
    Nothing,
    /// A block of a file.
    Block { file: u32, offset: u64, length: u16 },
    /// Part of a page.
    Page {
        number: u32,
        offset: u32,
        length: u16,
    },
    /// A path MTU probe of this size.
    Probe { size: u16 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The number was left out on purpose (protocol §4.2).
    Skipped,
    /// Asked for no report: reports, closing words.
    Untracked,
    InFlight,
    Lost,
    Delivered,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    at: Instant,
    size: u16,
    state: State,
    /// This content has been sent again already, by the tail or a probe.
    repeated: bool,
    /// 0 for content that left for the first time, 1 after a loss, more for each repetition in the tail.
    attempt: u8,
    content: Content,
}

/// A datagram that a report settled for the first time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivered {
    pub(crate) number: u64,
    pub(crate) at: Instant,
    pub(crate) size: u16,
    pub(crate) content: Content,
    /// It had been declared lost before.
    pub(crate) was_lost: bool,
}

/// A datagram declared lost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lost {
    pub(crate) at: Instant,
    pub(crate) size: u16,
    pub(crate) content: Content,
    /// Its content has been sent again already, by the tail.
    pub(crate) repeated: bool,
    /// The one before it was not lost.
    pub(crate) begins_run: bool,
}

/// The peer reported a number that was never sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NeverSent;

/// The last repetition of one retry in the tail: then only a loss sends it again.
const MAX_ATTEMPT: u8 = 3;

/// The sender's memory, from the floor to the last number.
#[derive(Debug, Default)]
pub(crate) struct SentLog {
    entries: VecDeque<Entry>,
    /// Number of the first entry.
    first: u64,
    /// Every entry below this number is settled.
    settled_below: u64,
    /// Every entry below this number is settled or has been repeated.
    repeated_below: u64,
    /// Numbers that carry content sent before; settled ones are dropped from the front as reports come.
    retries: VecDeque<u64>,
    in_flight_bytes: u64,
    in_flight: u64,
    /// Of these, blocks and parts of pages.
    content_in_flight: u64,
}

impl SentLog {
    /// Number that the next datagram gets.
    pub(crate) fn next_number(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Leaves the next number out.
    pub(crate) fn skip(&mut self, now: Instant) {
        self.entries.push_back(Entry {
            at: now,
            size: 0,
            state: State::Skipped,
            repeated: true,
            attempt: 0,
            content: Content::Nothing,
        });
    }

    /// Records a number that nobody will report on.
    pub(crate) fn push_untracked(&mut self, now: Instant) {
        let (size, content) = (0, Content::Nothing);
        self.entries.push_back(Entry {
            at: now,
            size,
            state: State::Untracked,
            repeated: true,
            attempt: 0,
            content,
        });
    }

    /// Records the departure of the next number and returns it.
    pub(crate) fn push(&mut self, now: Instant, size: u16, content: Content, attempt: u8) -> u64 {
        let number = self.next_number();
        if attempt > 0 {
            self.drop_settled_retries();
            self.retries.push_back(number);
        }
        self.entries.push_back(Entry {
            at: now,
            size,
            state: State::InFlight,
            repeated: false,
            attempt,
            content,
        });
        self.in_flight_bytes += u64::from(size);
        self.in_flight += 1;
        self.content_in_flight += u64::from(is_repeatable(content));
        number
    }

    /// Corrects the departure of a number that left later than planned.
    pub(crate) fn set_departure(&mut self, number: u64, at: Instant) {
        if let Some(entry) = number
            .checked_sub(self.first)
            .and_then(|i| self.entries.get_mut(i as usize))
        {
            entry.at = at;
        }
    }

    /// Returns when a number left, if it is still remembered.
    pub(crate) fn departure(&self, number: u64) -> Option<Instant> {
        let entry = self
            .entries
            .get(usize::try_from(number.checked_sub(self.first)?).ok()?)?;
        (entry.state != State::Skipped).then_some(entry.at)
    }

    /// Returns when a number left that no report has named yet.
    pub(crate) fn first_report(&self, number: u64) -> Option<Instant> {
        let entry = self
            .entries
            .get(usize::try_from(number.checked_sub(self.first)?).ok()?)?;
        matches!(entry.state, State::InFlight | State::Lost).then_some(entry.at)
    }

    pub(crate) fn in_flight_bytes(&self) -> u64 {
        self.in_flight_bytes
    }

    pub(crate) fn has_in_flight(&self) -> bool {
        self.in_flight > 0
    }

    /// Whether blocks or parts of pages are on their way.
    pub(crate) fn has_content_in_flight(&self) -> bool {
        self.content_in_flight > 0
    }

    /// The lowest number that is still worth a report.
    pub(crate) fn floor(&self) -> u64 {
        self.first
    }

    /// Settles every number of an inclusive range.
    pub(crate) fn deliver(
        &mut self,
        start: u64,
        end: u64,
        mut on_delivered: impl FnMut(Delivered),
    ) -> Result<(), NeverSent> {
        if end >= self.next_number() {
            return Err(NeverSent);
        }
        for number in start.max(self.first)..=end {
            let entry = &mut self.entries[(number - self.first) as usize];
            let was_lost = match entry.state {
                State::Skipped => return Err(NeverSent),
                State::Delivered | State::Untracked => continue,
                State::Lost => true,
                State::InFlight => {
                    self.in_flight_bytes -= u64::from(entry.size);
                    self.in_flight -= 1;
                    self.content_in_flight -= u64::from(is_repeatable(entry.content));
                    false
                }
            };
            entry.state = State::Delivered;
            let (at, size, content) = (entry.at, entry.size, entry.content);
            on_delivered(Delivered {
                number,
                at,
                size,
                content,
                was_lost,
            });
        }
        Ok(())
    }

    /// Declares lost whatever left before `before` and is still in flight (RACK, protocol §7.2).
    pub(crate) fn lose_before(&mut self, before: Instant, mut on_lost: impl FnMut(Lost)) {
        let mut index = (self.settled_below.max(self.first) - self.first) as usize;
        let mut follows_lost = index > 0 && self.entries[index - 1].state == State::Lost;
        while let Some(entry) = self.entries.get_mut(index) {
            if entry.state == State::InFlight {
                if entry.at >= before {
                    break;
                }
                entry.state = State::Lost;
                self.in_flight_bytes -= u64::from(entry.size);
                self.in_flight -= 1;
                self.content_in_flight -= u64::from(is_repeatable(entry.content));
                on_lost(Lost {
                    at: entry.at,
                    size: entry.size,
                    content: entry.content,
                    repeated: entry.repeated,
                    begins_run: !follows_lost,
                });
            }
            follows_lost = entry.state == State::Lost;
            index += 1;
        }
        self.settled_below = self.first + index as u64;
    }

    /// Forgets what is settled; lost numbers are kept for `grace` so that a late report is recognised.
    pub(crate) fn forget(&mut self, now: Instant, grace: Duration) {
        while let Some(entry) = self.entries.front() {
            let gone = match entry.state {
                State::Delivered => true,
                State::Lost | State::Skipped | State::Untracked => entry.at + grace < now,
                State::InFlight => false,
            };
            if !gone {
                break;
            }
            self.entries.pop_front();
            self.first += 1;
        }
        // A start may leave a hundred thousand of them, and nobody else does it when nothing is lost any more.
        self.drop_settled_retries();
    }

    fn drop_settled_retries(&mut self) {
        while let Some(number) = self.retries.front() {
            if self.retry(*number).is_some() {
                break;
            }
            self.retries.pop_front();
        }
    }

    /// Returns the oldest content in flight that left before `before` and has not been repeated, and marks it so.
    pub(crate) fn repeat_oldest(&mut self, before: Instant) -> Option<Content> {
        let index = self.unrepeated();
        self.repeated_below = self.first + index.unwrap_or(self.entries.len()) as u64;
        let entry = self.entries.get_mut(index?).filter(|e| e.at <= before)?;
        entry.repeated = true;
        Some(entry.content)
    }

    /// Returns the oldest retry that left before `before` and has not been repeated, marks it so, and says which
    /// attempt the repetition is.
    pub(crate) fn repeat_retry(&mut self, before: Instant) -> Option<(Content, u8)> {
        loop {
            let number = *self.retries.front()?;
            let Some(entry) = self.retry(number) else {
                self.retries.pop_front();
                continue;
            };
            if entry.at > before {
                return None;
            }
            let (content, attempt) = (entry.content, entry.attempt + 1);
            let index = (number - self.first) as usize;
            self.entries[index].repeated = true;
            self.retries.pop_front();
            return Some((content, attempt));
        }
    }

    /// Departure of the oldest retry that may be repeated.
    pub(crate) fn oldest_retry(&self) -> Option<Instant> {
        let first = self.retries.iter().find_map(|number| self.retry(*number))?;
        Some(first.at)
    }

    /// A retry that is in flight and may be repeated.
    fn retry(&self, number: u64) -> Option<&Entry> {
        let entry = self.entries.get(number.checked_sub(self.first)? as usize)?;
        (entry.state == State::InFlight && !entry.repeated && entry.attempt < MAX_ATTEMPT)
            .then_some(entry)
    }

    fn unrepeated(&self) -> Option<usize> {
        let from = (self.repeated_below.max(self.first) - self.first) as usize;
        let wanted =
            |e: &Entry| e.state == State::InFlight && !e.repeated && is_repeatable(e.content);
        self.entries
            .range(from..)
            .position(wanted)
            .map(|n| from + n)
    }
}

fn is_repeatable(content: Content) -> bool {
    matches!(content, Content::Block { .. } | Content::Page { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(1);

    fn log(count: u64) -> (SentLog, Instant) {
        let epoch = Instant::now();
        let mut log = SentLog::default();
        for i in 0..count {
            let content = Content::Block {
                file: 0,
                offset: i,
                length: 1,
            };
            log.push(epoch + STEP * i as u32, 100, content, u8::from(i > 0));
        }
        (log, epoch)
    }

    #[test]
    fn losses_of_neighbours_make_one_run_also_when_they_are_found_at_different_times() {
        let (mut log, epoch) = log(8);
        log.deliver(2, 2, |_| {}).unwrap();
        log.deliver(7, 7, |_| {}).unwrap();
        let mut runs = Vec::new();
        log.lose_before(epoch + STEP * 4, |lost| runs.push(lost.begins_run));
        assert_eq!(runs, [true, false, true], "0 and 1, then 3");
        runs.clear();
        log.lose_before(epoch + STEP * 7, |lost| runs.push(lost.begins_run));
        assert_eq!(runs, [false; 3], "4 to 6 go on behind 3");
    }

    #[test]
    fn w25_a_report_about_a_number_never_sent_or_left_out_is_refused() {
        let (mut log, epoch) = log(3);
        assert_eq!(log.deliver(0, 3, |_| ()), Err(NeverSent));
        log.skip(epoch);
        log.push(epoch, 100, Content::Nothing, 0);
        assert_eq!(log.deliver(3, 3, |_| ()), Err(NeverSent));
        assert_eq!(log.deliver(4, 4, |_| ()), Ok(()));
    }

    #[test]
    fn each_number_is_settled_once() {
        let (mut log, epoch) = log(10);
        let mut seen = Vec::new();
        log.deliver(2, 4, |d| seen.push(d.number)).unwrap();
        log.deliver(3, 6, |d| seen.push(d.number)).unwrap();
        assert_eq!(seen, [2, 3, 4, 5, 6]);
        let mut lost = 0;
        log.lose_before(epoch + STEP * 5, |_| lost += 1);
        assert_eq!(lost, 2, "0 and 1 left before 5 and were not reported");
        assert_eq!(log.in_flight_bytes(), 300);
        log.deliver(0, 0, |d| assert!(d.was_lost)).unwrap();
        log.forget(epoch + STEP * 5, Duration::from_secs(1));
        assert_eq!(log.floor(), 1, "a lost number is kept for the grace time");
        log.forget(epoch + Duration::from_secs(2), Duration::from_secs(1));
        assert_eq!(log.floor(), 7);
    }

    #[test]
    fn a_probe_repeats_each_content_once() {
        let (mut log, epoch) = log(3);
        let before = epoch + STEP;
        let offsets: Vec<_> = std::iter::from_fn(|| log.repeat_oldest(before)).collect();
        assert_eq!(offsets.len(), 2);
    }

    #[test]
    fn retries_that_are_settled_are_not_looked_at_again() {
        let (mut log, epoch) = log(10);
        log.deliver(0, 7, |_| ()).unwrap();
        log.forget(epoch, Duration::ZERO);
        assert_eq!(log.retries, [8, 9]);
    }

    #[test]
    fn the_tail_repeats_only_retries_and_counts_the_attempts() {
        let (mut log, epoch) = log(3);
        log.deliver(1, 1, |_| ()).unwrap();
        assert_eq!(log.oldest_retry(), Some(epoch + STEP * 2));
        assert_eq!(log.repeat_retry(epoch + STEP), None);
        let (content, attempt) = log.repeat_retry(epoch + STEP * 2).expect("number 2");
        assert_eq!(attempt, 2);
        log.push(epoch, 100, content, 3);
        assert_eq!(
            log.repeat_retry(epoch + STEP * 9),
            None,
            "the last attempt is not repeated"
        );
    }
}
