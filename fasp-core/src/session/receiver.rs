//! The receiving half's face to the program (protocol §9).

use std::ops::Range;

use super::{Event, Session};
use crate::file::FileState;
use crate::wire::record::Record;
use crate::{RangeSet, Rate, Totals};

impl Session {
    /// Accepts blocks of a listed file from now on and asks the sender for it, but for the ranges held already.
    ///
    /// False when too many files are open (protocol §12).
    pub fn request_file(&mut self, file: u32, size: u64, held: &[Range<u64>]) -> bool {
        if !self.files_in.expect(file, size, held) {
            return false;
        }
        let count: u64 = held.iter().map(|range| range.end - range.start).sum();
        self.statistics.payload_held += count;
        if held.is_empty() {
            Record::Want {
                first: file,
                count: 1,
            }
            .encode(&mut self.records);
        } else {
            Record::WantFrom {
                file,
                held: held.to_vec(),
            }
            .encode(&mut self.records);
        }
        self.check_file(file);
        true
    }

    /// Says that the control channel has asked for these files already (protocol §9.7): blocks of each are for later until
    /// it is asked for again, or settled.
    pub fn promise_files(&mut self, files: impl IntoIterator<Item = u32>) {
        self.files_in.promise(files);
    }

    /// The digest of what is held of a file that was asked for, as read from the disk (protocol §14.3).
    pub fn present_digest(&mut self, file: u32, digest: u64) {
        self.files_in.on_held_digest(file, digest);
        self.check_file(file);
    }

    /// Asks once more for a file that turned out damaged, all of it: what was held of it is gone (protocol §14.5).
    ///
    /// False when too many files are open.
    pub fn restart_file(&mut self, file: u32, size: u64) -> bool {
        if !self.files_in.expect(file, size, &[]) {
            return false;
        }
        self.reply(&Record::Restart { file });
        true
    }

    /// Adds a decision or a result to the next page.
    pub fn reply(&mut self, record: &Record<'_>) {
        record.encode(&mut self.records);
        if self.records.len() > 32 << 10 {
            self.flush_records();
        }
    }

    /// The sender's digest of a whole file has arrived.
    pub fn file_digest(&mut self, file: u32, digest: u64) {
        self.files_in.on_digest(file, digest);
        self.check_file(file);
    }

    /// The file is settled: blocks of it that still arrive are ignored.
    pub fn forget_file(&mut self, file: u32) {
        self.files_in.remove(file);
    }

    /// Which bytes of a file are there.
    pub fn present(&self, file: u32) -> Option<&RangeSet> {
        self.files_in.present(file)
    }

    /// The program has finished with pages of this many bytes in all.
    pub fn page_consumed(&mut self, bytes: u64) {
        self.pages_in.on_consumed(bytes);
    }

    /// Memory that pages of the sender take now, in bytes.
    pub fn page_bytes_held(&self) -> u64 {
        self.pages_in.bytes_held()
    }

    /// Says what the storage takes now; nothing for no limit (protocol §6.3).
    pub fn set_storage_rate(&mut self, rate: Option<Rate>) {
        let limit = rate.unwrap_or(Rate::ZERO);
        if limit == Rate::ZERO && self.storage_limit != Rate::ZERO {
            // A sender that was slowed down sends little that asks for a report: tell it at once.
            self.received.hurry(self.last_heard);
        }
        self.storage_limit = limit;
    }

    /// Every file has its result: tells the sender, which then ends the session.
    pub fn complete(&mut self, totals: Totals) {
        self.is_complete = true;
        Record::Complete(totals).encode(&mut self.records);
        self.flush_records();
    }

    /// Reports a file that has just become whole, or turned out damaged.
    pub(super) fn check_file(&mut self, file: u32) {
        let event = match self.files_in.state(file) {
            FileState::Incomplete => return,
            FileState::Complete => Event::FileComplete { file },
            FileState::Damaged => Event::FileDamaged { file },
        };
        self.files_in.remove(file);
        self.events.push_back(event);
    }
}
