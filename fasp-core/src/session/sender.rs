//! The sending half's face to the program (protocol §9).

use std::ops::Range;
use std::time::Instant;

use super::{Event, FileResult, Role, Session, TransmitBatch};
use crate::ErrorCode;
use crate::file::NotInFile;
use crate::wire::record::{MAX_PAGE, Record, Records};

impl Session {
    /// Queues a page of records that the program has built, at most [`MAX_PAGE`] bytes.
    ///
    /// Files in it that travel as blocks must be announced as well, before or after.
    pub fn send_page(&mut self, page: Vec<u8>) {
        debug_assert!(page.len() <= MAX_PAGE, "a page is at most 1 MiB");
        self.flush_records();
        self.pages_out.push(page);
    }

    /// Takes the receiver's answer to a list that went out over the control channel (protocol §9.7).
    ///
    /// The files in it have been announced.
    pub fn first_decisions(&mut self, now: Instant, page: &[u8]) {
        if self.role == Role::Sender {
            self.on_decisions(now, page);
        }
    }

    /// Bytes of pages that wait to be sent: stop building more above some amount.
    pub fn queued_page_bytes(&self) -> usize {
        self.pages_out.queued_bytes()
    }

    /// Says that file numbers below `count` are or will be on the list.
    pub fn set_listed(&mut self, count: u32) {
        self.listed = self.listed.max(count);
    }

    /// Says that this listed file travels as blocks once it is wanted. An empty file travels in a page.
    pub fn announce(&mut self, file: u32, size: u64) {
        debug_assert!(size > 0, "an empty file has no blocks");
        self.set_listed(file + 1);
        self.files_out.announce(file, size);
    }

    /// The same for a file that is not what it was in an earlier attempt, so that nothing the receiver holds is of use.
    pub fn announce_anew(&mut self, file: u32, size: u64) {
        self.announce(file, size);
        self.files_out.set_anew(file);
    }

    /// Says that the list is complete: numbers 0 to `files - 1` were used.
    pub fn end_list(&mut self, files: u32, loose: u32) {
        self.set_listed(files);
        self.is_list_ended = true;
        Record::End { files, loose }.encode(&mut self.records);
        self.flush_records();
    }

    /// Adds a record to the next page.
    pub fn send_record(&mut self, record: &Record<'_>) {
        record.encode(&mut self.records);
        if self.records.len() > 32 << 10 {
            self.flush_records();
        }
    }

    /// Sends the digest of a file that has been read to its end, which lets the receiver finish it.
    pub fn send_digest(&mut self, file: u32, digest: u64) {
        self.send_record(&Record::Digest { file, digest });
    }

    /// The digest of what the receiver holds of a file, as read from the source (protocol §14.3).
    pub fn held_digest(&mut self, file: u32, digest: u64) {
        if let Some(digest) = self.files_out.on_held_digest(file, digest) {
            self.events.push_back(Event::Sent { file, digest });
        }
    }

    /// The rest of this file cannot be read or it changed: nothing more of it is sent.
    pub fn source_failed(&mut self, file: u32, code: ErrorCode, text: &str) {
        if self.files_out.contains(file) {
            self.files_out.remove(file);
            self.send_record(&Record::SourceFailed { file, code, text });
        }
    }

    /// Takes a file's blocks out of a batch whose reads failed, leaving padding.
    pub fn blank(&mut self, batch: &mut TransmitBatch, file: u32) {
        batch.blank(file);
    }

    /// Makes a batch ready for the socket: counts what was read for the first time and seals in place.
    ///
    /// `now` is when the batch really leaves, after the reads.
    pub fn seal(&mut self, now: Instant, batch: &mut TransmitBatch) {
        for planned in &batch.planned {
            if let Some((block, at)) = planned.block {
                let bytes = &batch.bytes[at..at + usize::from(block.length)];
                if let Some(digest) = self.files_out.on_read(block, bytes) {
                    let file = block.file;
                    self.events.push_back(Event::Sent { file, digest });
                }
            }
            self.sent.set_departure(planned.number, now);
            self.sealer
                .seal(planned.number, &mut batch.bytes[planned.start..planned.end]);
        }
    }

    /// A page of the receiver's decisions and results.
    pub(super) fn on_decisions(&mut self, now: Instant, page: &[u8]) {
        for record in Records::new(page) {
            let known = match record {
                Ok(Record::Want { first, count }) => self.on_want(first, count),
                Ok(Record::WantFrom { file, held }) => self.on_want_from(file, held),
                Ok(Record::Check {
                    file,
                    ranges,
                    digest,
                }) => {
                    self.events.push_back(Event::Check {
                        file,
                        ranges,
                        digest,
                    });
                    self.is_listed(file, 1)
                }
                Ok(Record::Restart { file }) => {
                    self.events.push_back(Event::Restarted { file });
                    self.is_listed(file, 1) && self.files_out.restart(file, self.sent.next_number())
                }
                Ok(Record::Skip { first, count }) => {
                    self.settle(first, count, &FileResult::Skipped)
                }
                Ok(Record::Done { first, count }) => self.settle(first, count, &FileResult::Done),
                Ok(Record::Failed { file, code, text }) => self.settle(
                    file,
                    1,
                    &FileResult::Failed {
                        code,
                        text: text.to_owned(),
                    },
                ),
                Ok(Record::Deleted { path }) => {
                    let path = path.to_vec();
                    self.events.push_back(Event::Deleted { path });
                    true
                }
                Ok(Record::NotKept { path, what }) => {
                    let path = path.to_vec();
                    self.events.push_back(Event::NotKept { path, what });
                    true
                }
                Ok(Record::Complete(totals)) => {
                    self.completed = Some(totals);
                    true
                }
                Ok(_) | Err(_) => return self.violation(now, "malformed decision"),
            };
            if !known {
                return self.violation(now, "decision about a file that was not listed");
            }
        }
        self.check_complete(now);
    }

    fn on_want_from(&mut self, file: u32, held: Vec<Range<u64>>) -> bool {
        if !held.is_empty() && self.files_out.is_anew(file) {
            // It asks again, for all of it (protocol §14.3).
            let agrees = false;
            self.send_record(&Record::Checked { file, agrees });
            return true;
        }
        match self.files_out.want(file, &held) {
            Ok(0) => {}
            Ok(count) => {
                self.statistics.payload_held += count;
                self.events.push_back(Event::Held { file, held });
            }
            Err(NotInFile) => return false,
        }
        self.is_listed(file, 1)
    }

    fn on_want(&mut self, first: u32, count: u32) -> bool {
        if !self.is_listed(first, count) {
            return false;
        }
        let mut small: Option<(u32, u32)> = None;
        for file in first..first + count {
            if self.files_out.contains(file) {
                // Nothing held is within any file.
                self.files_out.want(file, &[]).ok();
            } else {
                match &mut small {
                    Some((start, length)) if *start + *length == file => *length += 1,
                    run => {
                        if let Some((first, count)) = run.replace((file, 1)) {
                            self.events.push_back(Event::Wanted { first, count });
                        }
                    }
                }
            }
        }
        if let Some((first, count)) = small {
            self.events.push_back(Event::Wanted { first, count });
        }
        true
    }

    fn settle(&mut self, first: u32, count: u32, result: &FileResult) -> bool {
        if !self.is_listed(first, count) {
            return false;
        }
        self.files_out.remove_run(first, count);
        self.settled = self.settled.saturating_add(u64::from(count));
        self.events.push_back(Event::Settled {
            first,
            count,
            result: result.clone(),
        });
        true
    }

    /// Ends the session when everything has its result. Pages come in any order: results, and what else the receiver
    /// has said, may still be on their way when it says that there are no more.
    fn check_complete(&mut self, now: Instant) {
        if self.settled >= u64::from(self.listed)
            && !self.pages_in.has_gap()
            && let Some(totals) = self.completed.take()
        {
            self.events.push_back(Event::Complete(totals));
            self.close(now, None);
        }
    }

    fn is_listed(&self, first: u32, count: u32) -> bool {
        first
            .checked_add(count)
            .is_some_and(|end| end <= self.listed)
    }
}
