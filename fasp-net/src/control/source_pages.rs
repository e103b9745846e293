//! Long lists of sources, which travel ahead of their `Open` (protocol §2.8).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::message::{Open, Sources};
use crate::Error;

/// Most sources of a download (protocol §12).
pub const MAX_SOURCES: usize = 250_000;
/// Bytes of their paths and names together, at most.
pub const MAX_SOURCE_BYTES: usize = 16 << 20;

/// Up to this many bytes they travel in `Open` itself.
const IN_OPEN: usize = 256 << 10;
/// Bytes of one message, with room for what stands around paths.
const PER_MESSAGE: usize = 48 << 10;
/// What a path takes besides its bytes, on its way and in memory.
const PER_PATH: usize = 64;
/// What the lists of all clients take, at most.
const MAX_HELD: usize = 256 << 20;

fn bytes(paths: &[Vec<u8>], names: &[Vec<u8>]) -> usize {
    let of = |paths: &[Vec<u8>]| paths.iter().map(Vec::len).sum::<usize>();
    of(paths) + of(names)
}

fn weight(paths: &[Vec<u8>], names: &[Vec<u8>]) -> usize {
    bytes(paths, names) + PER_PATH * (paths.len() + names.len())
}

/// Takes what is too long for an `Open` out of it: what has to be said before.
pub(crate) fn take_out(open: &mut Open) -> Vec<Sources> {
    let names = open.files.as_ref().map_or(&[][..], |files| &files.names);
    if weight(&open.sources, names) <= IN_OPEN {
        return Vec::new();
    }
    let paths = std::mem::take(&mut open.sources);
    let names = open
        .files
        .as_mut()
        .map(|files| std::mem::take(&mut files.names));
    let mut names = names.unwrap_or_default().into_iter();
    let mut pages = Vec::new();
    let mut page = Sources {
        transfer_id: open.transfer_id,
        paths: Vec::new(),
        names: Vec::new(),
    };
    for path in paths {
        page.names.extend(names.next());
        page.paths.push(path);
        if weight(&page.paths, &page.names) >= PER_MESSAGE {
            let next = Sources {
                transfer_id: open.transfer_id,
                paths: Vec::new(),
                names: Vec::new(),
            };
            pages.push(std::mem::replace(&mut page, next));
        }
    }
    pages.push(page);
    pages
}

/// Room for the lists of all clients of a server. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListRoom(Arc<AtomicUsize>);

/// Gives its bytes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Charge(Arc<AtomicUsize>, usize);

impl Drop for Charge {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

impl ListRoom {
    /// Takes more room for one list; false when there is none.
    fn enlarge(&self, charge: &mut Option<Charge>, bytes: usize) -> bool {
        let fits = |held: usize| held.checked_add(bytes).filter(|held| *held <= MAX_HELD);
        let is_taken = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .is_ok();
        if is_taken {
            charge
                .get_or_insert_with(|| Charge(Arc::clone(&self.0), 0))
                .1 += bytes;
        }
        is_taken
    }
}

/// What a client has said of the sources of its next `Open`.
#[derive(Debug, Default)]
pub(crate) struct Announced {
    pages: Option<Sources>,
    bytes: usize,
    charge: Option<Charge>,
}

impl Announced {
    /// Takes more; those of another transfer are forgotten.
    ///
    /// # Errors
    /// [`Error::Violation`] beyond the limits, and when the lists of all clients take too much.
    pub(crate) fn add(&mut self, room: &ListRoom, more: Sources) -> Result<(), Error> {
        if self
            .pages
            .as_ref()
            .is_some_and(|pages| pages.transfer_id != more.transfer_id)
        {
            *self = Self::default();
        }
        let count = self.pages.as_ref().map_or(0, |pages| pages.paths.len());
        self.bytes += bytes(&more.paths, &more.names);
        let is_too_long = count + more.paths.len().max(more.names.len()) > MAX_SOURCES
            || self.bytes > MAX_SOURCE_BYTES;
        if is_too_long {
            return Err(Error::Violation("too many sources".into()));
        }
        if !room.enlarge(&mut self.charge, weight(&more.paths, &more.names)) {
            return Err(Error::Violation(
                "the lists of all clients take too much memory now".into(),
            ));
        }
        match &mut self.pages {
            Some(pages) => {
                pages.paths.extend(more.paths);
                pages.names.extend(more.names);
            }
            None => self.pages = Some(more),
        }
        Ok(())
    }

    /// Puts them into the `Open` that they belong to; what comes back is to be held as long as the list is.
    pub(crate) fn complete(&mut self, open: &mut Open) -> Option<Charge> {
        let Self { pages, charge, .. } = std::mem::take(self);
        let Sources {
            mut paths,
            mut names,
            ..
        } = pages.filter(|pages| pages.transfer_id == open.transfer_id)?;
        paths.append(&mut open.sources);
        open.sources = paths;
        if !names.is_empty() {
            let files = open.files.get_or_insert_default();
            names.append(&mut files.names);
            files.names = names;
        }
        charge
    }
}

#[cfg(test)]
mod tests {
    use fasp_core::TransferId;

    use fasp_core::Rate;
    use transfer_spec::Direction;

    use super::super::Message;
    use super::*;

    fn usual_open() -> Open {
        let usual = crate::request::TransferOptions::default();
        Open {
            transfer_id: TransferId([3; 16]),
            session_index: 0,
            session_count: 1,
            client_random: [0; 32],
            direction: Direction::Download,
            sources: Vec::new(),
            destination: Vec::new(),
            create_dir: true,
            source_count: 1,
            overwrite: usual.overwrite,
            resume: usual.resume,
            symlinks: usual.symlinks,
            preserve: usual.preserve,
            target_rate: None,
            min_rate: Rate::ZERO,
            policy: None,
            ciphers: usual.ciphers,
            datagram_max: 1472,
            first_page: Vec::new(),
            split_threshold: None,
            files: None,
            protection: super::super::message::ContentProtection::None,
        }
    }

    fn page(transfer: u8, count: usize, length: usize) -> Sources {
        Sources {
            transfer_id: TransferId([transfer; 16]),
            paths: vec![vec![b'p'; length]; count],
            names: Vec::new(),
        }
    }

    #[test]
    fn a_long_list_is_put_together_as_it_was() {
        for (count, has_names) in [(10, true), (100_000, true), (100_000, false)] {
            let mut open = usual_open();
            open.sources = (0..count)
                .map(|n| format!("dir/{n}").into_bytes())
                .collect();
            open.files = has_names.then(|| {
                let names = (0..count).map(|n| format!("{n}").into_bytes()).collect();
                Box::new(transfer_spec::FileRules {
                    names,
                    ..Default::default()
                })
            });
            let whole = open.clone();
            let pages = take_out(&mut open);
            assert_eq!(pages.is_empty(), count == 10);
            let (room, mut announced) = (ListRoom::default(), Announced::default());
            for page in pages {
                let frame = Message::from(page.clone()).to_frame().unwrap();
                assert!(frame.len() <= 65_540);
                announced.add(&room, page).unwrap();
            }
            Message::from(open.clone()).to_frame().unwrap();
            let charge = announced.complete(&mut open);
            assert_eq!(open, whole);
            assert_eq!(room.0.load(Ordering::Relaxed) > 0, count > 10);
            drop(charge);
            assert_eq!(room.0.load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn w40_lists_beyond_the_limits_are_refused_and_forgotten_with_their_connection() {
        let room = ListRoom::default();
        let mut announced = Announced::default();
        for _ in 0..250 {
            announced.add(&room, page(1, 1000, 3)).unwrap();
        }
        assert!(announced.add(&room, page(1, 1, 3)).is_err(), "too many");
        announced = Announced::default();
        for _ in 0..4096 {
            announced.add(&room, page(1, 1, 4096)).unwrap();
        }
        assert!(announced.add(&room, page(1, 1, 4096)).is_err(), "too long");
        drop(announced);
        assert_eq!(room.0.load(Ordering::Relaxed), 0);
        // Many clients, each below its limit.
        let mut clients = Vec::new();
        let is_full = (0..100).any(|_| {
            clients.push(Announced::default());
            let client = clients.last_mut().unwrap();
            (0..250).any(|_| client.add(&room, page(1, 1000, 10)).is_err())
        });
        assert!(is_full && clients.len() > 10, "{}", clients.len());
        clients.clear();
        assert_eq!(room.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn sources_of_another_transfer_are_not_taken() {
        let (room, mut announced) = (ListRoom::default(), Announced::default());
        announced.add(&room, page(1, 5, 5)).unwrap();
        announced.add(&room, page(2, 3, 5)).unwrap();
        let mut open = usual_open();
        open.sources = Vec::new();
        open.transfer_id = TransferId([1; 16]);
        assert!(announced.complete(&mut open).is_none() && open.sources.is_empty());
        announced.add(&room, page(1, 5, 5)).unwrap();
        assert!(announced.complete(&mut open).is_some());
        assert_eq!(open.sources.len(), 5);
    }
}
