//! What else is kept of files and directories (protocol §9.8), read from sources and handed to what is received.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use docroot::{Docroot, Entry, FileKind, LinkRule, Metadata, Timestamp, Xattrs};
use fasp_core::{Extra, NotKept, Record};
use transfer_spec::Preserve;

/// Bytes of extended attributes of files that wait for their content, at most (protocol §12).
const MAX_WAITING: usize = 64 << 20;

/// What a source has.
#[derive(Debug)]
pub(super) struct Extras {
    accessed: Option<Timestamp>,
    owner: Option<u32>,
    group: Option<u32>,
    xattrs: Xattrs,
    lacks_xattrs: bool,
}

impl Extras {
    /// Reads what is to be kept of an entry, if anything is.
    pub(super) fn of(
        preserve: Preserve,
        root: &Docroot,
        entry: &Entry,
        rule: LinkRule,
    ) -> Option<Arc<Self>> {
        let Preserve {
            access_time,
            owner,
            group,
            xattrs,
            ..
        } = preserve;
        let has_any = matches!(entry.kind(), FileKind::File | FileKind::Directory);
        if !has_any || !(access_time || owner || group || xattrs) {
            return None;
        }
        let (xattrs, are_all) = match xattrs {
            // What cannot be opened fails by itself.
            true => root.xattrs(&entry.path, rule).unwrap_or_default(),
            false => (Xattrs::default(), true),
        };
        let found = &entry.attributes;
        Some(Arc::new(Self {
            accessed: access_time.then_some(found.atime),
            owner: owner.then_some(found.uid),
            group: group.then_some(found.gid),
            xattrs,
            lacks_xattrs: !are_all,
        }))
    }

    /// Bytes that they take in a page, or a few less.
    pub(super) fn bytes(&self) -> usize {
        self.xattrs.bytes()
    }

    /// Adds them to a page; what they belong to has to follow.
    pub(super) fn encode(&self, page: &mut Vec<u8>) {
        Record::Extra(Extra {
            accessed: self.accessed.map(|time| (time.seconds, time.nanos)),
            owner: self.owner,
            group: self.group,
            xattrs: self.xattrs.iter().collect(),
            lacks_xattrs: self.lacks_xattrs,
        })
        .encode(page);
    }
}

/// What the other side says about the next file or directory, as far as it is to be kept here.
#[derive(Debug, Default)]
pub(super) struct Wished {
    accessed: Option<Timestamp>,
    owner: Option<u32>,
    group: Option<u32>,
    xattrs: Xattrs,
    /// What is known not to be kept before anything was tried.
    pub(super) lost: NotKept,
}

impl Wished {
    /// Takes a record; `room` is for what has to wait.
    pub(super) fn new(preserve: Preserve, extra: &Extra<'_>, room: &Room) -> Self {
        let (xattrs, are_all) = match preserve.xattrs {
            true => room.hold(Xattrs::new(extra.xattrs.iter().copied())),
            false => (Xattrs::default(), true),
        };
        let accessed = extra.accessed.filter(|_| preserve.access_time);
        Self {
            accessed: accessed.map(|(seconds, nanos)| Timestamp { seconds, nanos }),
            owner: extra.owner.filter(|_| preserve.owner),
            group: extra.group.filter(|_| preserve.group),
            xattrs,
            lost: NotKept {
                xattrs: preserve.xattrs && (extra.lacks_xattrs || !are_all),
                ..NotKept::default()
            },
        }
    }

    /// Adds it to what is to be set anyway. What the administrator says about groups counts.
    pub(super) fn add_to(&self, metadata: &mut Metadata) {
        metadata.atime = self.accessed;
        metadata.owner = self.owner;
        metadata.group = metadata.group.or(self.group);
        metadata.xattrs = self.xattrs.clone();
    }
}

/// Room for extended attributes that wait. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Room(Arc<AtomicUsize>);

/// Gives back its bytes when nobody holds it any more.
#[derive(Debug)]
struct Charge(Arc<AtomicUsize>, usize);

impl Drop for Charge {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

impl Room {
    fn hold(&self, (xattrs, are_all): (Xattrs, bool)) -> (Xattrs, bool) {
        let bytes = xattrs.bytes();
        if xattrs.is_empty() {
            return (xattrs, are_all);
        }
        // One thread takes; others only give back.
        if self.0.load(Ordering::Relaxed) + bytes > MAX_WAITING {
            return (Xattrs::default(), false);
        }
        self.0.fetch_add(bytes, Ordering::Relaxed);
        let charge: Arc<dyn Any + Send + Sync> = Arc::new(Charge(Arc::clone(&self.0), bytes));
        (xattrs.charged(charge), are_all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Preserve = Preserve {
        times: true,
        mode: true,
        owner: true,
        group: true,
        access_time: true,
        xattrs: true,
    };

    fn extra(value: &[u8]) -> Extra<'_> {
        Extra {
            accessed: Some((5, 6)),
            owner: Some(1),
            group: Some(2),
            xattrs: vec![(b"user.a", value)],
            lacks_xattrs: false,
        }
    }

    #[test]
    fn what_waits_takes_no_more_room_than_there_is_and_gives_it_back() {
        let room = Room::default();
        let value = vec![0; 60_000];
        let mut held = Vec::new();
        loop {
            let wished = Wished::new(ALL, &extra(&value), &room);
            if wished.lost.xattrs {
                break;
            }
            held.push(wished);
        }
        assert_eq!(held.len(), MAX_WAITING / 60_006);
        held.pop();
        assert!(!Wished::new(ALL, &extra(&value), &room).lost.xattrs);
        held.clear();
        assert_eq!(room.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn p7_what_was_not_asked_for_is_not_taken_and_the_administrator_s_group_counts() {
        let room = Room::default();
        let mut metadata = Metadata::default();
        Wished::new(Preserve::default(), &extra(b"x"), &room).add_to(&mut metadata);
        assert_eq!(metadata, Metadata::default());
        metadata.group = Some(77);
        Wished::new(ALL, &extra(b"x"), &room).add_to(&mut metadata);
        assert_eq!((metadata.owner, metadata.group), (Some(1), Some(77)));
        assert_eq!(metadata.xattrs.iter().count(), 1);
        assert_eq!(metadata.atime.map(|t| (t.seconds, t.nanos)), Some((5, 6)));
    }
}
