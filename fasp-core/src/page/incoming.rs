//! Pages on their way in: put together in memory, handed on whole.

use std::collections::BTreeMap;

use crate::RangeSet;
use crate::wire::record::MAX_PAGE;

/// Pages that may be incomplete at once (protocol §12).
const MAX_OPEN: usize = 4096;

/// Incomplete pages may take this many times the limit: the credit that a sender acts on is a report old.
const OVERBOOKING: u64 = 2;

#[derive(Debug, Default)]
struct Page {
    bytes: Vec<u8>,
    present: RangeSet,
    size: Option<usize>,
}

/// What became of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Kept, or known already.
    Taken,
    /// There is no room now: it must not be reported, so that it is sent again.
    Refused,
    /// It made this page whole.
    Whole(Vec<u8>),
}

/// What a peer did that no honest one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PageError {
    /// A part beyond the largest page.
    TooLarge,
    /// Parts disagree about the page's size.
    SizeChanged,
}

/// Incomplete pages, and the memory of complete ones that the application still holds.
#[derive(Debug)]
pub(crate) struct IncomingPages {
    open: BTreeMap<u32, Page>,
    /// Numbers handed on.
    complete: RangeSet,
    /// Bytes in complete pages that the application has not finished with.
    held: u64,
    /// Bytes of buffers of incomplete pages.
    open_bytes: u64,
    limit: u64,
}

impl IncomingPages {
    /// `limit` bounds the memory in bytes.
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            open: BTreeMap::new(),
            complete: RangeSet::new(),
            held: 0,
            open_bytes: 0,
            limit,
        }
    }

    /// Adds a part and returns the page when it is whole.
    pub(crate) fn on_part(
        &mut self,
        number: u32,
        offset: u32,
        last: bool,
        part: &[u8],
    ) -> Result<Part, PageError> {
        if self.complete.contains(u64::from(number)) || part.is_empty() {
            return Ok(Part::Taken);
        }
        let start = offset as usize;
        let end = start
            .checked_add(part.len())
            .filter(|end| *end <= MAX_PAGE)
            .ok_or(PageError::TooLarge)?;
        if self.open.len() >= MAX_OPEN && !self.open.contains_key(&number) {
            return Ok(Part::Refused);
        }
        let grows =
            (end as u64).saturating_sub(self.open.get(&number).map_or(0, |p| p.bytes.len() as u64));
        // An honest sender keeps to the credit; one page always fits, or a small limit would stop everything.
        if self.open_bytes + grows > self.limit.max(MAX_PAGE as u64) * OVERBOOKING {
            return Ok(Part::Refused);
        }
        let page = self.open.entry(number).or_default();
        if last && page.size.is_some_and(|size| size != end) {
            return Err(PageError::SizeChanged);
        }
        if last {
            page.size = Some(end);
        }
        self.open_bytes += grows;
        if page.bytes.len() == start {
            page.bytes.extend_from_slice(part);
        } else {
            if page.bytes.len() < end {
                page.bytes.resize(end, 0);
            }
            page.bytes[start..end].copy_from_slice(part);
        }
        if page.size.is_some_and(|size| page.bytes.len() > size) {
            return Err(PageError::SizeChanged);
        }
        page.present.insert(start as u64..end as u64);
        if page.size != Some(page.present.count() as usize) {
            return Ok(Part::Taken);
        }
        let bytes = self
            .open
            .remove(&number)
            .map(|page| page.bytes)
            .unwrap_or_default();
        self.complete
            .insert(u64::from(number)..u64::from(number) + 1);
        self.open_bytes -= bytes.len() as u64;
        self.held += bytes.len() as u64;
        Ok(Part::Whole(bytes))
    }

    /// Whether a page is missing that was sent before one that is there.
    pub(crate) fn has_gap(&self) -> bool {
        let mut next = 0;
        self.complete
            .ranges()
            .iter()
            .any(|range| std::mem::replace(&mut next, range.end) != range.start)
    }

    /// The application has finished with this many bytes of pages.
    pub(crate) fn on_consumed(&mut self, bytes: u64) {
        self.held = self.held.saturating_sub(bytes);
    }

    /// Memory taken by pages, in bytes.
    pub(crate) fn bytes_held(&self) -> u64 {
        self.held + self.open_bytes
    }

    /// Bytes the sender may have on their way.
    pub(crate) fn credit(&self) -> u64 {
        self.limit.saturating_sub(self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_what_was_sent_before_something_that_is_there() {
        let mut pages = IncomingPages::new(1000);
        let mut take = |number| {
            pages.on_part(number, 0, true, b"x").unwrap();
            pages.has_gap()
        };
        assert_eq!(
            [1, 0, 4, 2, 3].map(&mut take),
            [true, false, true, true, false]
        );
        assert!(!IncomingPages::new(1000).has_gap());
    }

    #[test]
    fn parts_in_any_order_make_the_page_once() {
        let mut pages = IncomingPages::new(1000);
        assert_eq!(pages.on_part(3, 2, true, b"cd"), Ok(Part::Taken));
        assert_eq!(
            pages.on_part(3, 0, false, b"ab"),
            Ok(Part::Whole(b"abcd".to_vec()))
        );
        assert_eq!(
            pages.on_part(3, 0, false, b"ab"),
            Ok(Part::Taken),
            "a late duplicate is ignored"
        );
        assert_eq!(pages.credit(), 996);
        pages.on_consumed(4);
        assert_eq!(pages.credit(), 1000);
    }

    #[test]
    fn hostile_sizes_are_refused_before_memory_is_taken() {
        let mut pages = IncomingPages::new(1000);
        assert_eq!(
            pages.on_part(0, MAX_PAGE as u32, false, b"x"),
            Err(PageError::TooLarge)
        );
        assert_eq!(
            pages.on_part(0, u32::MAX, false, b"x"),
            Err(PageError::TooLarge)
        );
        assert_eq!(
            pages.on_part(1, 0, true, b"ab"),
            Ok(Part::Whole(b"ab".to_vec()))
        );
        assert_eq!(pages.on_part(2, 4, true, b"ab"), Ok(Part::Taken));
        assert_eq!(
            pages.on_part(2, 3, true, b"ab"),
            Err(PageError::SizeChanged)
        );
        assert_eq!(
            pages.on_part(2, 9, false, b"ab"),
            Err(PageError::SizeChanged)
        );
    }
}
