//! Finding what there is to send: the walk over the sources.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use docroot::{Entry, EntryError, EntryPath, FileKind, SourceFile, Suffixes, WalkOptions};
use fasp_core::{Attributes, Record};
use transfer_spec::{FauxSource, FileChecksum, SymlinkPolicy};

use super::growing::Watch;
use super::{Gone, Listing, Out};
use crate::engine::extras::Extras;
use crate::engine::faux::Content;
use crate::engine::finisher::Original;
use crate::engine::origin::{Located, Origin};
use crate::engine::pool::{Item, Offer};
use crate::engine::source_list::{ListWalk, Located as Found, SourceList};
use crate::engine::sources::{Source, Sources};

impl Listing {
    pub(in crate::engine) fn run(&mut self, sources: &Sources) {
        self.rules = Arc::clone(&sources.rules);
        self.unfinished.clone_from(&sources.unfinished);
        self.aftermath = sources.aftermath.clone();
        self.protection = sources.protection().cloned();
        self.preserve = sources.preserve();
        if self.rules.precalculate {
            self.count(sources);
        }
        let mut growing = Vec::new();
        for source in &sources.items {
            let listed = match source {
                Source::Tree { root, path, place } => self.walk(&Found::held(root, path, place)),
                Source::List(list) => self.walk_list(list),
                Source::Faux(faux) => self.make_up(faux),
                Source::Growing {
                    root,
                    path,
                    place,
                    growth,
                } => {
                    growing.push(Watch::new(Found::held(root, path, place), *growth));
                    Ok(())
                }
            };
            if listed.is_err() {
                return;
            }
        }
        // Behind everything else, which need not wait for them.
        if self.watch(growing).is_err() {
            return;
        }
        self.say_what_is_complete();
        // What was left out behind the last entry.
        self.close_full_page().ok();
        match &self.out {
            Out::Pool(pool) => pool.end_walk(),
            Out::Pages(_) => self.end(),
        }
    }

    /// Lets the receiver delete what the list does not name, if all could be listed (rule P-13).
    fn say_what_is_complete(&mut self) {
        let complete = std::mem::take(&mut self.complete);
        if self.has_failed && !complete.is_empty() {
            let text =
                "nothing is deleted at the destination, because not everything here could be read";
            self.current.notices.push(text.to_owned());
            return;
        }
        for path in complete {
            self.add_loose(&Record::Prune {
                path: path.as_bytes(),
            });
        }
    }

    fn walk_list(&mut self, list: &SourceList) -> Result<(), Gone> {
        let mut walk = ListWalk::default();
        for entry in list.entries() {
            match walk.locate(list, entry) {
                Ok(found) => self.walk(&found)?,
                Err((code, text)) => self.fail_with(entry.source, code, text),
            }
            self.close_full_page()?;
        }
        Ok(())
    }

    pub(super) fn walk(&mut self, source: &Found) -> Result<(), Gone> {
        if source.path.is_root() && self.rules.delete_absent {
            self.complete.push(source.place.clone());
        }
        let mut walk = match source.root.walk(&source.path, self.walk_options()) {
            Ok(walk) => walk,
            Err(error) => {
                self.fail(source.path.as_bytes(), &error);
                return Ok(());
            }
        };
        let name = source.path.parent().unwrap_or(EntryPath::root());
        loop {
            walk.open_files(self.reads_at_once());
            let Some(entry) = walk.next() else { break };
            match entry {
                Ok(entry) => {
                    let opened = walk.take_file();
                    match self.admits(&entry, &name) && self.add(source, &entry, opened)? {
                        true => {}
                        false => walk.skip_directory(),
                    }
                }
                Err(error) if self.leaves_out(&error.path, &name) => {}
                Err(error) => self.fail_or_leave_out(source, &error),
            }
            self.close_full_page()?;
        }
        Ok(())
    }

    /// Something cannot be sent: it failed, unless it is of a kind that is to be left out.
    fn fail_or_leave_out(&mut self, source: &Found, error: &EntryError) {
        if let (true, docroot::Error::NotRegular(kind)) = (self.rules.skip_special, &error.error) {
            let place = EntryPath::parse(&error.path)
                .ok()
                .and_then(|path| source.place.join(&path.strip_prefix(&source.path)?).ok());
            if let Some(place) = place {
                return self.leave_out(&place, &format!("it is a {kind}"));
            }
        }
        self.fail(&error.path, &error.error);
    }

    pub(super) fn walk_options(&self) -> WalkOptions {
        WalkOptions::default().symlinks(match self.symlinks {
            SymlinkPolicy::Follow => docroot::SymlinkPolicy::Follow,
            SymlinkPolicy::Copy => docroot::SymlinkPolicy::Copy,
            SymlinkPolicy::CopyForce => docroot::SymlinkPolicy::CopyForce,
            SymlinkPolicy::Skip => docroot::SymlinkPolicy::Skip,
        })
    }

    /// Walks over everything once without listing it, and says how much there is.
    fn count(&mut self, sources: &Sources) {
        let (mut files, mut bytes) = (0u64, 0u64);
        let mut add = |count: u64, size: u64| {
            files = files.saturating_add(count);
            bytes = bytes.saturating_add(size);
        };
        for source in &sources.items {
            match source {
                Source::Tree { root, path, place }
                | Source::Growing {
                    root, path, place, ..
                } => {
                    self.count_tree(&Found::held(root, path, place), &mut add);
                }
                Source::List(list) => {
                    let mut walk = ListWalk::default();
                    for entry in list.entries() {
                        if let Ok(found) = walk.locate(list, entry) {
                            self.count_tree(&found, &mut add);
                        }
                    }
                }
                Source::Faux(FauxSource::File { size, .. }) => add(1, *size),
                Source::Faux(FauxSource::Directory(directory)) => {
                    (1..=directory.count).for_each(|n| add(1, directory.size_of(n)));
                }
            }
        }
        self.current.counted = Some((files, bytes));
        self.add_loose(&Record::Counted { files, bytes });
    }

    /// How unfinished files end, which are left out.
    pub(super) fn unfinished<'a>(&'a self, source: &'a Found) -> &'a Suffixes {
        let of_root = || source.root.suffixes();
        self.unfinished.as_ref().unwrap_or_else(of_root)
    }

    /// What cannot be read is told by the walk that lists.
    fn count_tree(&self, source: &Found, add: &mut impl FnMut(u64, u64)) {
        let name = source.path.parent().unwrap_or(EntryPath::root());
        let Ok(mut walk) = source.root.walk(&source.path, self.walk_options()) else {
            return;
        };
        while let Some(entry) = walk.next() {
            let Ok(entry) = entry else { continue };
            let name_of = entry.path.file_name().unwrap_or_default();
            let is_unfinished = self.unfinished(source).is_unfinished(name_of);
            match (entry.kind(), self.admits(&entry, &name) && !is_unfinished) {
                (_, false) => walk.skip_directory(),
                (FileKind::Directory, true) => {}
                (FileKind::Symlink, true) => add(1, 0),
                (_, true) => add(1, entry.attributes.size),
            }
        }
    }

    /// Whether the rules let an entry through. They see its path from the source's own name on.
    pub(super) fn admits(&self, entry: &Entry, above: &EntryPath) -> bool {
        let filter = &self.rules.filter;
        if filter.is_empty() {
            return true;
        }
        let Some(path) = entry.path.strip_prefix(above) else {
            return true;
        };
        match entry.kind() {
            FileKind::Directory => filter.admits_directory(path.as_bytes()),
            _ => filter.admits_file(path.as_bytes(), entry.attributes.mtime.seconds),
        }
    }

    /// Whether the rules leave out what could not be looked at, which nobody misses then.
    fn leaves_out(&self, path: &[u8], above: &EntryPath) -> bool {
        let below = match above.as_bytes() {
            b"" => path,
            above => path.get(above.len() + 1..).unwrap_or_default(),
        };
        !self.rules.filter.admits_directory(below)
    }

    /// Lists files that do not exist.
    fn make_up(&mut self, faux: &FauxSource) -> Result<(), Gone> {
        let name = match EntryPath::parse(faux.name().as_bytes()) {
            Ok(name) => name,
            Err(error) => {
                self.fail(faux.name().as_bytes(), &error);
                return Ok(());
            }
        };
        let attributes = Attributes {
            mode: 0o644,
            ..made_now()
        };
        let directory = match faux {
            FauxSource::File { size, .. } => {
                let origin = Origin::Faux(Content::Zero);
                return self.offer(Offer::new(origin, name, attributes, *size), None);
            }
            FauxSource::Directory(directory) => directory,
        };
        self.add_loose(&Record::Directory {
            path: name.as_bytes(),
            attributes: Attributes {
                mode: 0o755,
                ..attributes
            },
        });
        for number in 1..=directory.count {
            let path = EntryPath::parse(directory.name_of(number).as_bytes())
                .and_then(|file| name.join(&file));
            match path {
                Ok(path) => {
                    let content = Content::new(directory.content, u64::from(number));
                    let size = directory.size_of(number);
                    let offer = Offer::new(Origin::Faux(content), path, attributes, size);
                    self.offer(offer, None)?;
                }
                Err(error) => self.fail(directory.name_of(number).as_bytes(), &error),
            }
            self.close_full_page()?;
        }
        Ok(())
    }

    /// Lists an entry; false for one that is left out, with everything in it.
    fn add(
        &mut self,
        source: &Found,
        entry: &Entry,
        opened: Option<SourceFile>,
    ) -> Result<bool, Gone> {
        let path = match entry.path.strip_prefix(&source.path) {
            Some(path) => source.place.join(&path),
            None => Err(docroot::Error::NotFound),
        };
        let path = match path {
            // The destination itself.
            Ok(path) if path.is_root() => {
                if self.rules.delete_absent {
                    self.complete.push(path);
                }
                return Ok(true);
            }
            Ok(path) => path,
            Err(error) => {
                self.fail(entry.path.as_bytes(), &error);
                return Ok(false);
            }
        };
        // The directories above have been looked at before, but for those of a place that was named.
        let name = entry.path.file_name().unwrap_or_default();
        let is_first = entry.path == source.path;
        let suffixes = self.unfinished(source);
        if suffixes.is_unfinished(name) || (is_first && path.is_reserved(suffixes)) {
            self.leave_out(&path, "it is a partial file");
            return Ok(false);
        }
        let attributes = attributes(entry);
        let rule = self.source_rule();
        let extras = Extras::of(self.preserve, &source.root, entry, rule);
        match entry.kind() {
            FileKind::Directory => {
                self.make_room(extras.as_deref())?;
                self.add_extras(extras.as_deref());
                self.add_loose(&Record::Directory {
                    path: path.as_bytes(),
                    attributes,
                });
                let is_named = entry.path == source.path;
                if is_named && self.rules.delete_absent {
                    self.complete.push(path.clone());
                }
                if let Some(aftermath) = &self.aftermath {
                    aftermath.note_directory(&source.held, &entry.path, is_named);
                }
            }
            FileKind::Symlink => {
                let target = entry.target.as_deref().unwrap_or_default();
                if let Out::Pool(pool) = &self.out {
                    let target = target.to_vec();
                    let original = self.original(source, entry, &path);
                    pool.put_first(Item::Link {
                        path,
                        target,
                        original,
                    })?;
                } else {
                    let original = self.original(source, entry, &path);
                    self.link(&path, target, original);
                }
            }
            _ => {
                let located = Located {
                    root: source.held.clone(),
                    path: entry.path.clone(),
                    rule,
                };
                let original = self.original(source, entry, &path);
                let Some((origin, path, size)) = self.leaving(located, entry, path) else {
                    return Ok(false);
                };
                let offer = Offer {
                    original,
                    extras,
                    ..Offer::new(origin, path, attributes, size)
                };
                self.offer(offer, opened)?;
            }
        }
        Ok(true)
    }

    /// How a file leaves: as it is, or as an envelope; nothing if it cannot.
    fn leaving(
        &mut self,
        source: Located,
        entry: &Entry,
        place: EntryPath,
    ) -> Option<(Origin, EntryPath, u64)> {
        let Some(protection) = &self.protection else {
            return Some((Origin::File(source), place, entry.attributes.size));
        };
        match protection.seal(source, entry.attributes.identity(), &place) {
            Ok(sealed) => {
                let (place, size) = (sealed.place().clone(), sealed.size());
                Some((Origin::Sealed(Arc::new(sealed)), place, size))
            }
            Err(error) => {
                self.fail_with(place.as_bytes(), error.code(), error.to_string());
                None
            }
        }
    }

    /// What has to be known of a source when it has arrived, if anything is to be done then.
    pub(super) fn original(
        &self,
        source: &Found,
        entry: &Entry,
        place: &EntryPath,
    ) -> Option<Box<Original>> {
        let is_needed = self.aftermath.is_some() || self.rules.checksum != FileChecksum::None;
        is_needed.then(|| {
            Box::new(Original {
                root: source.held.clone(),
                path: entry.path.clone(),
                identity: entry.attributes.identity(),
                place: place.clone(),
            })
        })
    }
}

pub(super) fn attributes(entry: &Entry) -> Attributes {
    Attributes {
        mode: entry.attributes.mode & 0o7777,
        mtime: entry.attributes.mtime.seconds,
        mtime_nanos: entry.attributes.mtime.nanos,
    }
}

/// Attributes of something that comes into being as it is listed.
fn made_now() -> Attributes {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Attributes {
        mode: 0,
        mtime: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
        mtime_nanos: now.subsec_nanos(),
    }
}
