//! Listing files while they are being written (protocol §13.6).

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use docroot::{Entry, EntryPath, FileKind, LinkRule};
use fasp_core::Record;
use transfer_spec::SymlinkPolicy;

use super::walk::attributes;
use super::{Gone, Listing, Out};
use crate::engine::extras::Extras;
use crate::engine::growing::{GrowingFile, Growth, Watched, time_of_day};
use crate::engine::origin::{Located, Origin, Span};
use crate::engine::source_list::Located as Found;

/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(150);
/// How often at most, where they are complete at once.
const SHORTEST: Duration = Duration::from_millis(20);
/// Files sent as they grow, at most: as many as a receiver takes (protocol §12). Others are sent when they are complete.
const MAX_FILES: u32 = 256;
/// A part has at least this share of what is before it, so that their number grows with the logarithm of the size …
const SHARE: u64 = 4096;
/// … unless that takes longer than this.
const LONGEST: Duration = Duration::from_secs(5);
/// Parts of all growing files, at most: what is new beyond them waits for the end.
const MAX_PARTS: u32 = 32_768;

/// A source that is still being written.
pub(super) struct Watch {
    found: Found,
    growth: Growth,
    watched: Watched,
    begun: Option<Begun>,
}

/// A file of which some has been listed.
struct Begun {
    file: Arc<GrowingFile>,
    place: EntryPath,
    /// What its parts have in common.
    whole: u32,
    /// The number of its first part, which stands for the file.
    first: u32,
    parts: usize,
    /// Listed up to here, and when that was.
    listed: u64,
    listed_at: Instant,
}

/// Where a look at a file has led.
#[derive(PartialEq, Eq)]
enum Look {
    /// There is more to come.
    Again,
    /// Nothing is left to list.
    Over,
}

impl Watch {
    pub(super) fn new(found: Found, growth: Growth) -> Self {
        Self {
            found,
            growth,
            watched: Watched::default(),
            begun: None,
        }
    }
}

impl Listing {
    /// Lists what there is of these files, again and again until they are complete.
    pub(super) fn watch(&mut self, mut files: Vec<Watch>) -> Result<(), Gone> {
        while !files.is_empty() {
            let mut left = Vec::with_capacity(files.len());
            for mut file in files {
                if self.look(&mut file)? == Look::Again {
                    left.push(file);
                }
                self.close_full_page()?;
            }
            files = left;
            if !files.is_empty() {
                self.hand_on()?;
                let quiet = files.iter().map(|file| file.growth.quiet).min();
                self.pause(quiet.unwrap_or_default())?;
            }
        }
        Ok(())
    }

    /// What was found is of use before the page is full.
    fn hand_on(&mut self) -> Result<(), Gone> {
        match self.current.is_empty() {
            true => Ok(()),
            false => self.close_page(),
        }
    }

    /// Waits before the next look.
    fn pause(&self, quiet: Duration) -> Result<(), Gone> {
        thread::sleep(LOOK.min(quiet).max(SHORTEST));
        match self.is_heard() {
            true => Ok(()),
            false => Err(Gone),
        }
    }

    fn look(&mut self, watch: &mut Watch) -> Result<Look, Gone> {
        let entry = match self.find(&watch.found) {
            Ok(entry) => entry,
            Err(error) => {
                match &mut watch.begun {
                    Some(begun) => self.give_up(begun),
                    None => self.fail(watch.found.path.as_bytes(), &error),
                }
                return Ok(Look::Over);
            }
        };
        let seen = (entry.attributes.size, entry.attributes.mtime);
        let is_complete =
            watch
                .watched
                .is_complete(watch.growth, seen, Instant::now(), time_of_day());
        if let Some(begun) = &mut watch.begun {
            return self.look_on(&watch.found, begun, &entry, is_complete);
        }
        if is_complete || self.rules.dry_run || !self.is_admitted(&watch.found, &entry) {
            self.walk(&watch.found)?;
            return Ok(Look::Over);
        }
        if !self.sends_growing_files() {
            return Ok(Look::Again);
        }
        match self.begin(&watch.found, &entry) {
            Ok(begun) => watch.begun = begun,
            Err(error) => {
                self.fail(watch.found.path.as_bytes(), &error);
                return Ok(Look::Over);
            }
        }
        Ok(Look::Again)
    }

    /// Looks at the file itself, behind a link if links are followed.
    fn find(&self, source: &Found) -> Result<Entry, docroot::Error> {
        let mut walk = source.root.walk(&source.path, self.walk_options())?;
        let entry = walk.next().ok_or(docroot::Error::NotFound)?;
        let entry = entry.map_err(|failed| failed.error)?;
        match entry.kind() {
            FileKind::File => Ok(entry),
            FileKind::Directory => Err(docroot::Error::IsADirectory),
            kind => Err(docroot::Error::NotRegular(kind)),
        }
    }

    /// Whether the rules let it through; one that they do not is left to the walk.
    fn is_admitted(&self, source: &Found, entry: &Entry) -> bool {
        let above = source.path.parent().unwrap_or(EntryPath::root());
        let name = entry.path.file_name().unwrap_or_default();
        self.admits(entry, &above) && !self.unfinished(source).is_unfinished(name)
    }

    /// Whether files can be sent while they grow; if not, they are when they are complete. An envelope begins with its
    /// length, and sessions that share a list share whole files.
    fn sends_growing_files(&self) -> bool {
        self.protection.is_none() && matches!(self.out, Out::Pages(_)) && self.wholes < MAX_FILES
    }

    /// Lists the first part; nothing as long as there are no two bytes.
    fn begin(&mut self, source: &Found, entry: &Entry) -> Result<Option<Begun>, docroot::Error> {
        if entry.attributes.size < 2 {
            return Ok(None);
        }
        let located = Located {
            root: source.held.clone(),
            path: entry.path.clone(),
            rule: self.source_rule(),
        };
        let place = source.place.clone();
        let file = GrowingFile::new(located.open()?);
        if !file.is(&entry.attributes.identity()) {
            // Another one by now: at the next look.
            return Ok(None);
        }
        let mut begun = Begun {
            file: Arc::new(file),
            place,
            whole: self.wholes,
            first: self.next,
            parts: 0,
            listed: 0,
            listed_at: Instant::now(),
        };
        self.wholes += 1;
        self.list_growing(&mut begun, entry, entry.attributes.size - 1, false);
        Ok(Some(begun))
    }

    /// Lists what is new of a file that has been begun, or how it ends.
    fn look_on(
        &mut self,
        source: &Found,
        begun: &mut Begun,
        entry: &Entry,
        is_complete: bool,
    ) -> Result<Look, Gone> {
        if begun.file.is_settled() {
            return Ok(Look::Over);
        }
        let size = entry.attributes.size;
        if !begun.file.is(&entry.attributes.identity()) || size <= begun.listed {
            self.give_up(begun);
            return Ok(Look::Over);
        }
        if is_complete {
            return self.complete(source, begun, entry);
        }
        let new = size - 1 - begun.listed;
        let is_due = new > begun.listed / SHARE || begun.listed_at.elapsed() >= LONGEST;
        if new > 0 && is_due && self.growing_parts < MAX_PARTS {
            self.list_growing(begun, entry, new, false);
        }
        Ok(Look::Again)
    }

    /// Lists the last part, when all before it have been sent and are what they were.
    fn complete(&mut self, source: &Found, begun: &mut Begun, entry: &Entry) -> Result<Look, Gone> {
        if begun.file.parts_sent() < begun.parts {
            return Ok(Look::Again);
        }
        match begun.file.is_as_sent(|| self.is_heard()) {
            _ if !self.is_heard() => return Err(Gone),
            Ok(true) => {}
            Ok(false) | Err(_) => {
                self.give_up(begun);
                return Ok(Look::Over);
            }
        }
        // That may have taken long.
        let identity = entry.attributes.identity();
        if self.find(source).ok().map(|now| now.attributes.identity()) != Some(identity) {
            return Ok(Look::Again);
        }
        let extras = Extras::of(self.preserve, &source.root, entry, self.source_rule());
        self.make_room(extras.as_deref())?;
        self.enter(&begun.place);
        self.add_extras(extras.as_deref());
        begun.file.end(identity);
        let size = entry.attributes.size;
        let original = self.original(source, entry, &begun.place);
        let first = begun.first;
        self.current.grown.push((first, size, original.map(|o| *o)));
        self.list_growing(begun, entry, size - begun.listed, true);
        Ok(Look::Over)
    }

    /// A file that is not what it was fails with the part that would come next, which cannot be read.
    fn give_up(&mut self, begun: &mut Begun) {
        begun.file.set_changed();
        let attributes = fasp_core::Attributes::default();
        self.list_growing_part(begun, attributes, 1, false);
    }

    fn list_growing(&mut self, begun: &mut Begun, entry: &Entry, length: u64, is_last: bool) {
        self.list_growing_part(begun, attributes(entry), length, is_last);
    }

    fn list_growing_part(
        &mut self,
        begun: &mut Begun,
        attributes: fasp_core::Attributes,
        length: u64,
        is_last: bool,
    ) {
        self.enter(&begun.place);
        let start = begun.listed;
        let file = match start {
            0 => self.number(&begun.place, 0, None),
            _ => {
                self.next += 1;
                self.next - 1
            }
        };
        let record = Record::Growing {
            file,
            whole: begun.whole,
            name: begun.place.file_name().unwrap_or_default(),
            attributes,
            start,
            length,
            is_last,
        };
        record.encode(&mut self.current.page);
        self.current.bytes = self.current.bytes.saturating_add(length);
        let origin = Origin::Growing(Arc::clone(&begun.file));
        let span = Span::first(0).behind(start);
        self.current.blocks.push((file, origin, length, Some(span)));
        begun.listed += length;
        begun.listed_at = Instant::now();
        begun.parts += 1;
        self.growing_parts += 1;
    }

    /// How the path of a source is followed.
    pub(super) fn source_rule(&self) -> LinkRule {
        match self.symlinks {
            SymlinkPolicy::Follow => LinkRule::FollowBeneath,
            _ => LinkRule::Refuse,
        }
    }
}
