//! Where the blocks of one file go.

use std::io::IoSlice;

use docroot::{Existing, Metadata, Partial};
use fasp_core::BlockWrite;

use super::decide::Plain;
use super::durable::Progress;
use super::unseal::Beginning;

/// A file that is opened while it arrives is looked at each time so much more has been written, bytes: several chunks.
const GROWTH: u64 = 32 << 20;

/// Where the bytes of a file go.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one sink beside many partials would be the odd case"
)]
pub(super) enum Output {
    Partial {
        partial: Partial,
        /// Nothing at level 0.
        progress: Option<Progress>,
        metadata: Metadata,
        existing: Existing,
        /// What it is opened into, if it is an envelope that is to be.
        plain: Option<Plain>,
        /// Bytes written since the thread that opens it was told.
        grown: u64,
    },
    Sink,
}

impl Output {
    pub(super) fn write(
        &mut self,
        slices: &[IoSlice<'_>],
        run: &Run,
    ) -> Result<(), docroot::Error> {
        let Self::Partial {
            partial, progress, ..
        } = self
        else {
            return Ok(());
        };
        if let Some(progress) = progress {
            progress.make_room(run.end - run.start)?;
        }
        partial.write_vectored_at(slices, run.start)?;
        match progress {
            Some(progress) => progress.on_written(run.start, run.end),
            None => Ok(()),
        }
    }

    /// The beginning of an envelope, when much has been written since it was asked for last.
    pub(super) fn beginning(&mut self, file: u32, size: u64, written: u64) -> Option<Beginning> {
        let Self::Partial {
            partial,
            progress: Some(progress),
            plain: Some(plain),
            grown,
            ..
        } = self
        else {
            return None;
        };
        *grown += written;
        if *grown < GROWTH {
            return None;
        }
        *grown = 0;
        Some(Beginning {
            file,
            size,
            held: progress.held_from_start(),
            handle: partial.handle(),
            plain: plain.clone(),
        })
    }

    pub(super) fn progress(&mut self) -> Option<&mut Progress> {
        match self {
            Self::Partial { progress, .. } => progress.as_mut(),
            Self::Sink => None,
        }
    }
}

/// Blocks that follow each other in a file.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) file: u32,
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Run {
    pub(super) fn of(write: &BlockWrite) -> Self {
        Self {
            file: write.file,
            start: write.offset,
            end: write.offset + write.length as u64,
        }
    }
}
