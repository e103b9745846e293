//! The sending program: pages from the lister, blocks from files, results to the user.

use std::collections::BTreeMap;
use std::io::IoSliceMut;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Select, Sender};
use docroot::EntryPath;
use fasp_core::session::{BlockRead, FileResult};
use fasp_core::{Event, RangeSet, Record, Session, TransmitBatch};
use transfer_spec::{FileChecksum, FileRules};

use super::checks::{Checks, Found};
use super::command::Report;
use super::finisher::{Arrived, Finisher, Original};
use super::lister::{Ask, Listed, Lister, lock};
use super::open_sources::OpenSources;
use super::origin::Extract;
use super::reporter::Reporter;
use super::sources::failure;
use crate::Error;

/// Bytes of pages handed to the session ahead of what it has sent.
const PAGES_AHEAD: usize = 1 << 20;

/// How a session sends.
#[derive(Debug)]
pub(crate) struct SenderOptions {
    pub(crate) lister: Arc<Lister>,
    /// The page that went out over the control channel, if one was ready.
    pub(crate) first: Option<Listed>,
    /// What the receiver answered to it there.
    pub(crate) decisions: Vec<u8>,
}

/// What a session thread does when it sends files.
#[derive(Debug)]
pub(super) struct SenderProgram {
    lister: Arc<Lister>,
    open: OpenSources,
    names: BTreeMap<u32, (EntryPath, u64)>,
    reads: Vec<BlockRead>,
    checks: Checks,
    /// Numbers of files that the receiver has asked about: each once, so that it cannot make us read for ever.
    checked: RangeSet,
    is_listed: bool,
    first: Option<(Listed, Vec<u8>)>,
    originals: BTreeMap<u32, Original>,
    finisher: Option<Finisher>,
}

impl SenderProgram {
    pub(super) fn new(options: SenderOptions, reports: Sender<Report>) -> Result<Self, Error> {
        let SenderOptions {
            lister,
            first,
            decisions,
        } = options;
        let FileRules {
            checksum, dry_run, ..
        } = *lister.rules;
        let aftermath = lister.aftermath.clone();
        let finisher = match (checksum, &aftermath) {
            (FileChecksum::None, None) => None,
            _ if dry_run => None,
            _ => Some(Finisher::start(checksum, aftermath, reports)?),
        };
        Ok(Self {
            lister,
            open: OpenSources::default(),
            names: BTreeMap::new(),
            reads: Vec::new(),
            checks: Checks::new(),
            checked: RangeSet::new(),
            is_listed: false,
            first: first.map(|first| (first, decisions)),
            originals: BTreeMap::new(),
            finisher,
        })
    }

    /// Takes up what the control channel has carried already.
    pub(super) fn begin(&mut self, now: Instant, session: &mut Session, reporter: &mut Reporter) {
        if self.lister.rules.dry_run {
            reporter.set_dry_run();
        }
        if let Some((mut first, decisions)) = self.first.take() {
            first.page.clear();
            self.take(session, reporter, first);
            session.first_decisions(now, &decisions);
        }
    }

    /// What to wait for besides the network.
    pub(super) fn wait_for<'a>(&'a self, session: &Session, select: &mut Select<'a>) {
        let pages: &Receiver<Listed> = &self.lister.pages;
        if self.wants_pages(session) && !self.is_ended() {
            select.recv(pages);
        }
        select.recv(&self.checks.results);
    }

    /// Whether the lister has nothing more to say.
    fn is_ended(&self) -> bool {
        self.is_listed && self.names.is_empty()
    }

    /// Whether the session takes more pages now.
    fn wants_pages(&self, session: &Session) -> bool {
        session.queued_page_bytes() < PAGES_AHEAD
    }

    /// Hands on what the lister has built; true when there was something.
    pub(super) fn poll(
        &mut self,
        now: Instant,
        session: &mut Session,
        reporter: &mut Reporter,
    ) -> bool {
        let mut any = false;
        while self.wants_pages(session) {
            let Ok(listed) = self.lister.pages.try_recv() else {
                break;
            };
            self.take(session, reporter, listed);
            any = true;
        }
        while let Ok(found) = self.checks.results.try_recv() {
            self.on_found(now, session, found);
            any = true;
        }
        any
    }

    /// Something has been read of what the receiver holds.
    fn on_found(&mut self, now: Instant, session: &mut Session, found: Found) {
        match found {
            Found::Checked { file, agrees } => {
                session.send_record(&Record::Checked { file, agrees });
            }
            Found::Held { file, result } => {
                let confirmed = result.and_then(|(digest, identity)| {
                    identity.map_or(Ok(()), |identity| self.open.confirm(file, identity))?;
                    Ok(digest)
                });
                match confirmed {
                    Ok(digest) => session.held_digest(file, digest),
                    Err(error) => Self::give_up(session, file, &error),
                }
            }
            Found::Nothing(error) => {
                let error = Error::Thread(error);
                session.close(now, Some((error.code(), &error.to_string())));
            }
        }
    }

    /// The receiver asks about bytes of a file.
    fn on_check(&mut self, session: &mut Session, file: u32, ranges: Vec<Range<u64>>, digest: u64) {
        if !self.checked.insert(u64::from(file)..u64::from(file) + 1) {
            return;
        }
        let small = || {
            let asked = lock(&self.lister.asked);
            let (origin, size) = asked.get(&file)?;
            Some(Extract::new(origin.clone(), *size, None))
        };
        // One that has its result is asked about no more.
        if let Some(extract) = self.open.extract(file).or_else(small) {
            if !extract.can_continue() {
                let agrees = false;
                session.send_record(&Record::Checked { file, agrees });
                return;
            }
            self.checks.check(file, extract, ranges, digest);
        }
    }

    fn take(&mut self, session: &mut Session, reporter: &mut Reporter, listed: Listed) {
        for (path, code, text) in listed.failures {
            reporter.failed(path.as_str().into(), code, &text);
        }
        for notice in listed.notices {
            reporter.notice(&notice);
        }
        if let Some((files, bytes)) = listed.counted {
            reporter.counted(files, bytes);
        }
        let files = listed.names.len() as u64;
        if files > 0 || listed.bytes > 0 || listed.end.is_some() {
            reporter.listed(files, listed.bytes, listed.end.is_some());
        }
        for (file, origin, size, span) in listed.blocks {
            match origin.can_continue() {
                true => session.announce(file, size),
                false => session.announce_anew(file, size),
            }
            self.open.insert(file, origin, size, span);
        }
        if let Some((last, ..)) = listed.names.last() {
            session.set_listed(last + 1);
        }
        self.names.extend(
            listed
                .names
                .into_iter()
                .map(|(file, path, size)| (file, (path, size))),
        );
        self.originals.extend(listed.originals);
        for (file, size, original) in listed.grown {
            // One that has its result already has failed.
            if let Some((_, listed)) = self.names.get_mut(&file) {
                *listed = size;
                self.originals.extend(original.map(|o| (file, o)));
            }
        }
        session.send_page(listed.page);
        if let Some((files, loose)) = listed.end {
            self.is_listed = true;
            session.end_list(files, loose);
        }
    }

    pub(super) fn on_event(
        &mut self,
        session: &mut Session,
        reporter: &mut Reporter,
        event: Event,
    ) {
        match event {
            Event::Wanted { first, count } => {
                // The content thread lives as long as this program does.
                self.lister.asks.send(Ask::Content { first, count }).ok();
            }
            Event::Held { file, held } => {
                if let Some(extract) = self.open.extract(file) {
                    self.checks.held(file, extract, held);
                }
            }
            Event::Check {
                file,
                ranges,
                digest,
            } => self.on_check(session, file, ranges, digest),
            Event::Restarted { file } => {
                let name = self.names.get(&file).map(|(path, _)| path.to_string());
                reporter.notice(&format!(
                    "{} did not agree with what was there of it, and is sent again",
                    name.unwrap_or_else(|| "a part of a file".to_owned())
                ));
            }
            Event::Sent { file, digest } => {
                self.put_down(file);
                match self.open.check(file, digest) {
                    Ok(()) => session.send_digest(file, digest),
                    Err(error) => Self::give_up(session, file, &error),
                }
            }
            Event::Settled {
                first,
                count,
                result,
            } => {
                for file in first..first.saturating_add(count) {
                    self.settle(reporter, file, &result);
                }
            }
            Event::Deleted { path } => reporter.deleted(&path),
            Event::NotKept { path, what } => reporter.not_kept(&path, what),
            _ => {}
        }
    }

    fn settle(&mut self, reporter: &mut Reporter, file: u32, result: &FileResult) {
        self.put_down(file);
        self.open.remove(file);
        let original = self.originals.remove(&file);
        let Some((path, size)) = self.names.remove(&file) else {
            return;
        };
        match result {
            FileResult::Done if self.lister.rules.dry_run => {
                // Nobody asked for it.
                lock(&self.lister.asked).remove(&file);
                reporter.done(path.as_bytes(), size);
            }
            FileResult::Done => match &self.finisher {
                None => reporter.done(path.as_bytes(), size),
                Some(finisher) => {
                    reporter.count_done(size);
                    finisher.arrived(Arrived::sent(&path, size, original));
                }
            },
            FileResult::Skipped => {
                lock(&self.lister.asked).remove(&file);
                reporter.skipped(path.as_bytes(), "the same file is there already");
                if self.lister.rules.after.skipped_too
                    && let Some(finisher) = &self.finisher
                {
                    finisher.arrived(Arrived::sent(&path, size, original).skipped());
                }
            }
            FileResult::Failed { code, text } => {
                lock(&self.lister.asked).remove(&file);
                let path = crate::event::ShownText::from_bytes(path.as_bytes());
                reporter.failed(path, *code, text);
            }
        }
    }

    /// The lister may take more of what the sessions of the transfer share.
    fn put_down(&mut self, file: u32) {
        if let Some(hand) = &self.lister.hand
            && let Some((size, is_part)) = self.open.put_down(file)
        {
            hand.put_down(size, is_part);
        }
    }

    /// Does what is left to do with the files that have arrived.
    pub(super) fn end(&mut self, is_whole: bool) {
        if let Some(finisher) = self.finisher.take() {
            finisher.end(is_whole && self.lister.is_last);
        }
    }

    fn give_up(session: &mut Session, file: u32, error: &docroot::Error) {
        let (code, text) = failure(error);
        session.source_failed(file, code, &text);
    }

    /// Reads what a batch needs; files that cannot be read leave it again.
    pub(super) fn fill(&mut self, session: &mut Session, batch: &mut TransmitBatch) {
        loop {
            self.reads.clear();
            self.reads.extend_from_slice(batch.reads());
            match self.read_all(batch) {
                Ok(()) => return,
                Err((file, error)) => {
                    Self::give_up(session, file, &error);
                    session.blank(batch, file);
                }
            }
        }
    }

    fn read_all(&mut self, batch: &mut TransmitBatch) -> Result<(), (u32, docroot::Error)> {
        let mut start = 0;
        while start < self.reads.len() {
            let mut end = start + 1;
            while end < self.reads.len() && follows(&self.reads[end - 1], &self.reads[end]) {
                end += 1;
            }
            let mut rooms: Vec<_> = batch.rooms(start..end).map(IoSliceMut::new).collect();
            let reads = &self.reads[start..end];
            self.open
                .read(reads, &mut rooms)
                .map_err(|error| (reads[0].file, error))?;
            start = end;
        }
        Ok(())
    }
}

fn follows(a: &BlockRead, b: &BlockRead) -> bool {
    a.file == b.file && a.offset + a.length as u64 == b.offset
}
