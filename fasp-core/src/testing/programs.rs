//! The programs around the two sessions: what they list, ask for and check.

use std::{collections::BTreeMap, time::Instant};

use super::synthetic;
use crate::session::FileResult;
use crate::{Attributes, BlockWrite, Event, RangeSet, Record, Records, Session, Totals};

/// Files up to this size travel inside pages.
const SMALL: u64 = 4096;
/// Pages are closed at this size.
const PAGE: usize = 16 << 10;

/// The sending program.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) files: Vec<u64>,
    pub(super) next: usize,
    pub(super) asks_first: bool,
    pub(super) ended: bool,
    pub(super) totals: Option<Totals>,
    pub(super) settled: usize,
}

/// The receiving program.
#[derive(Debug, Default)]
pub(super) struct Receiving {
    open: BTreeMap<u32, (u64, RangeSet)>,
    waiting: BTreeMap<u32, u64>,
    pub(super) complete: BTreeMap<u32, u64>,
    expected: Option<u32>,
    is_complete: bool,
    /// Blocks are not handed to it: it believes that a file is complete.
    is_blind: bool,
    pub(super) first_data: Option<Instant>,
    pub(super) last_data: Option<Instant>,
}

impl Sending {
    /// Files of these sizes, one after the other.
    pub(super) fn files(sizes: Vec<u64>) -> Self {
        Self {
            files: sizes,
            next: 0,
            asks_first: false,
            ended: false,
            totals: None,
            settled: 0,
        }
    }

    /// Lists files as long as the session takes pages.
    pub(super) fn fill(&mut self, session: &mut Session) {
        while self.next < self.files.len() && session.queued_page_bytes() < 2 * PAGE {
            let mut page = Vec::new();
            Record::Enter { path: b"" }.encode(&mut page);
            while self.next < self.files.len() && page.len() < PAGE {
                self.list(session, &mut page);
            }
            session.send_page(page);
        }
        if self.next == self.files.len() && !self.ended {
            self.ended = true;
            session.end_list(self.files.len() as u32, 0);
        }
    }

    fn list(&mut self, session: &mut Session, page: &mut Vec<u8>) {
        let file = self.next as u32;
        let size = self.files[self.next];
        self.next += 1;
        session.set_listed(file + 1);
        let name = format!("file {file}").into_bytes();
        let attributes = Attributes::default();
        if size <= SMALL && !self.asks_first {
            let mut content = vec![0; size as usize];
            synthetic(file, 0, &mut content);
            Record::SmallFile {
                file,
                name: &name,
                attributes,
                content: &content,
            }
            .encode(page);
            return;
        }
        if size > SMALL {
            session.announce(file, size);
        }
        Record::File {
            file,
            name: &name,
            attributes,
            size,
        }
        .encode(page);
    }

    pub(super) fn on_event(&mut self, session: &mut Session, event: &Event) {
        match event {
            Event::Wanted { first, count } => {
                for file in *first..first + count {
                    let mut content = vec![0; self.files[file as usize] as usize];
                    synthetic(file, 0, &mut content);
                    session.send_record(&Record::Content {
                        file,
                        content: &content,
                    });
                }
            }
            Event::Settled { count, result, .. } => {
                assert_eq!(*result, FileResult::Done);
                self.settled += *count as usize;
            }
            Event::Sent { file, digest } => session.send_digest(*file, *digest),
            Event::Complete(totals) => self.totals = Some(*totals),
            _ => {}
        }
    }
}

impl Receiving {
    /// One that sees no blocks.
    pub(super) fn blind() -> Self {
        Self {
            is_blind: true,
            ..Self::default()
        }
    }

    pub(super) fn on_write(&mut self, write: &BlockWrite, bytes: &[u8]) {
        let (_, present) = self
            .open
            .get_mut(&write.file)
            .expect("blocks come only for requested files");
        let range = write.offset..write.offset + write.length as u64;
        let mut new = 0;
        present.insert_with(range, |r| new += r.end - r.start);
        assert_eq!(new, write.length as u64, "no byte is written twice");
        let mut expected = vec![0; bytes.len()];
        synthetic(write.file, write.offset, &mut expected);
        assert!(
            expected == bytes,
            "wrong bytes in file {} at {}",
            write.file,
            write.offset
        );
    }

    pub(super) fn on_event(&mut self, session: &mut Session, event: Event) {
        match event {
            Event::Page(page) => {
                for record in Records::new(&page) {
                    self.on_record(session, record.expect("the sender's pages are well-formed"));
                }
                session.page_consumed(page.len() as u64);
            }
            Event::FileComplete { file } => {
                let (size, present) = self.open.remove(&file).expect("open");
                let is_whole = self.is_blind || present.covers(&(0..size));
                assert!(is_whole, "complete means every byte");
                self.done(session, file, size);
            }
            Event::FileDamaged { file } => panic!("file {file} is damaged"),
            _ => {}
        }
    }

    fn on_record(&mut self, session: &mut Session, record: Record<'_>) {
        match record {
            Record::File {
                file, name, size, ..
            } => {
                assert_eq!(name, format!("file {file}").as_bytes());
                if size > SMALL {
                    self.open.insert(file, (size, RangeSet::new()));
                    assert!(session.request_file(file, size, &[]));
                } else {
                    self.waiting.insert(file, size);
                    session.reply(&Record::Want {
                        first: file,
                        count: 1,
                    });
                }
            }
            Record::SmallFile { file, content, .. } => self.on_content(session, file, content),
            Record::Content { file, content } => {
                assert_eq!(self.waiting.remove(&file), Some(content.len() as u64));
                self.on_content(session, file, content);
            }
            Record::Digest { file, digest } => session.file_digest(file, digest),
            Record::End { files, .. } => {
                self.expected = Some(files);
                self.finish(session);
            }
            _ => {}
        }
    }

    fn on_content(&mut self, session: &mut Session, file: u32, content: &[u8]) {
        let mut expected = vec![0; content.len()];
        synthetic(file, 0, &mut expected);
        assert!(expected == content, "wrong bytes in small file {file}");
        self.done(session, file, content.len() as u64);
    }

    fn done(&mut self, session: &mut Session, file: u32, size: u64) {
        assert_eq!(
            self.complete.insert(file, size),
            None,
            "file {file} arrived twice"
        );
        session.reply(&Record::Done {
            first: file,
            count: 1,
        });
        self.finish(session);
    }

    fn finish(&mut self, session: &mut Session) {
        if self.expected == Some(self.complete.len() as u32) && !self.is_complete {
            self.is_complete = true;
            let bytes = self.complete.values().sum();
            session.complete(Totals {
                done: self.complete.len() as u64,
                bytes,
                ..Totals::default()
            });
        }
    }
}
