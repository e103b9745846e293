//! Pages on their way out.

use std::collections::{BTreeMap, VecDeque};

use crate::RangeSet;
use crate::wire::frame::page_head_size;

/// Most pages on their way (protocol §12).
const MAX_PAGES: usize = 4096;

#[derive(Debug)]
struct Page {
    bytes: Vec<u8>,
    reported: RangeSet,
}

/// A part of a page, ready to be put into a datagram.
#[derive(Debug)]
pub(crate) struct PagePart<'a> {
    pub(crate) number: u32,
    pub(crate) offset: u32,
    pub(crate) last: bool,
    pub(crate) bytes: &'a [u8],
    /// 0 the first time, more when it is sent again.
    pub(crate) attempt: u8,
}

/// Pages queued, on their way, and parts to send again.
#[derive(Debug, Default)]
pub(crate) struct OutgoingPages {
    /// Begun and not reported whole, by number.
    open: BTreeMap<u32, Page>,
    queue: VecDeque<Vec<u8>>,
    queued_bytes: usize,
    open_bytes: u64,
    next_number: u32,
    /// Number and offset up to which the newest page has been sent.
    sending: Option<(u32, usize)>,
    lost: VecDeque<(u32, u32, u16, u8)>,
}

impl OutgoingPages {
    /// Queues a page; an empty one is dropped.
    pub(crate) fn push(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.queued_bytes += bytes.len();
            self.queue.push_back(bytes);
        }
    }

    /// Bytes queued and not begun.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Whether nothing new waits to be sent.
    pub(crate) fn is_sent(&self) -> bool {
        self.queue.is_empty() && self.sending.is_none()
    }

    pub(crate) fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// Whether a new part may be sent under the receiver's credit.
    pub(crate) fn has_new(&self, credit: u64) -> bool {
        self.sending.is_some()
            || self.queue.front().is_some_and(|page| {
                self.open.len() < MAX_PAGES
                    && (self.open.is_empty() || self.open_bytes + page.len() as u64 <= credit)
            })
    }

    /// Takes the next lost part that fits `room` bytes of frame.
    pub(crate) fn next_lost(&mut self, room: usize) -> Option<PagePart<'_>> {
        let (number, offset, length, attempt) = loop {
            let lost = self.lost.pop_front()?;
            if self.is_missing(lost.0, lost.1, lost.2) {
                break lost;
            }
        };
        let fits = room.saturating_sub(page_head_size(number, offset)).max(1);
        let taken = fits.min(usize::from(length));
        if taken < usize::from(length) {
            self.lost.push_front((
                number,
                offset + taken as u32,
                length - taken as u16,
                attempt,
            ));
        }
        Some(self.part(number, offset as usize, taken, attempt))
    }

    /// Takes the next new part that fits `room` bytes of frame.
    pub(crate) fn next_new(&mut self, credit: u64, room: usize) -> Option<PagePart<'_>> {
        if !self.has_new(credit) {
            return None;
        }
        let (number, offset) = match self.sending {
            Some(at) => at,
            None => {
                let bytes = self.queue.pop_front()?;
                self.queued_bytes -= bytes.len();
                self.open_bytes += bytes.len() as u64;
                let number = self.next_number;
                self.next_number += 1;
                self.open.insert(
                    number,
                    Page {
                        bytes,
                        reported: RangeSet::new(),
                    },
                );
                (number, 0)
            }
        };
        // A page under way cannot be reported whole before its last part has left.
        let size = self
            .open
            .get(&number)
            .map_or(offset, |page| page.bytes.len());
        let fits = room
            .saturating_sub(page_head_size(number, offset as u32))
            .max(1);
        let taken = fits.min(size - offset);
        self.sending = (offset + taken < size).then_some((number, offset + taken));
        Some(self.part(number, offset, taken, 0))
    }

    fn part(&self, number: u32, offset: usize, length: usize, attempt: u8) -> PagePart<'_> {
        let bytes = self.open.get(&number).map_or(&[][..], |page| &page.bytes);
        let end = (offset + length).min(bytes.len());
        PagePart {
            number,
            offset: offset as u32,
            last: end == bytes.len(),
            bytes: &bytes[offset.min(end)..end],
            attempt,
        }
    }

    /// A part was reported.
    pub(crate) fn on_delivered(&mut self, number: u32, offset: u32, length: u16) {
        let Some(page) = self.open.get_mut(&number) else {
            return;
        };
        let start = u64::from(offset);
        page.reported.insert(start..start + u64::from(length));
        if page.reported.count() == page.bytes.len() as u64 {
            self.open_bytes -= page.bytes.len() as u64;
            self.open.remove(&number);
        }
    }

    /// A part was lost, or is to be repeated: it is sent again as this attempt.
    pub(crate) fn on_lost(&mut self, number: u32, offset: u32, length: u16, attempt: u8) {
        if self.is_missing(number, offset, length) {
            self.lost.push_back((number, offset, length, attempt));
        }
    }

    fn is_missing(&self, number: u32, offset: u32, length: u16) -> bool {
        let start = u64::from(offset);
        let range = start..start + u64::from(length);
        let page = self.open.get(&number);
        page.is_some_and(|page| !page.reported.covers(&range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_resent_until_reported_and_credit_holds_new_pages_back() {
        let mut pages = OutgoingPages::default();
        pages.push(vec![1; 250]);
        pages.push(vec![2; 100]);
        let part = pages
            .next_new(0, 110)
            .expect("the first page goes out whatever the credit");
        assert_eq!((part.number, part.offset, part.last), (0, 0, false));
        let first = part.bytes.len();
        while pages.sending.is_some() {
            pages.next_new(0, 110);
        }
        assert!(!pages.has_new(300), "250 + 100 is above the credit");
        pages.on_lost(0, 0, first as u16, 1);
        let part = pages.next_lost(60).expect("lost");
        assert_eq!((part.offset, part.bytes.len()), (0, 57), "split to fit");
        pages.on_delivered(0, 0, 250);
        assert!(!pages.open.contains_key(&0));
        assert!(
            pages.next_lost(60).is_none(),
            "the rest of a page reported whole is not resent"
        );
        assert!(pages.next_new(300, 200).is_some_and(|p| p.last));
        pages.on_delivered(1, 0, 100);
        assert!(pages.open.is_empty() && pages.is_sent());
    }
}
