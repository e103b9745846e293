//! Where the bytes of a file come from, and reading them beside the sending.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use docroot::{Docroot, EntryPath, Identity, LinkRule, SourceFile};

use super::faux::Content;
use super::growing::GrowingFile;
use super::sealed::Sealed;

/// A root that sources lie beneath.
#[derive(Debug, Clone)]
pub(super) enum Root {
    /// Kept open.
    Open(Docroot),
    /// The directory of an entry of a list, opened when it is needed: a list may name more directories than can be open.
    Named(Arc<Path>),
}

impl Root {
    pub(super) fn open(&self) -> Result<Docroot, docroot::Error> {
        match self {
            Self::Open(root) => Ok(root.clone()),
            Self::Named(path) => Docroot::open(path),
        }
    }
}

/// Where the bytes of one file come from.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// A file beneath a root.
    File(Located),
    /// A file that leaves as an envelope.
    Sealed(Arc<Sealed>),
    /// Nowhere.
    Faux(Content),
    /// A file that is still being written.
    Growing(Arc<GrowingFile>),
}

/// Where a file lies.
#[derive(Debug, Clone)]
pub(super) struct Located {
    pub(super) root: Root,
    pub(super) path: EntryPath,
    pub(super) rule: LinkRule,
}

impl Located {
    pub(super) fn open(&self) -> Result<SourceFile, docroot::Error> {
        self.root.open()?.open_source(&self.path, self.rule)
    }
}

impl Origin {
    /// Opens what has to be as long as it was listed; nothing for what is made up, or is open already.
    pub(super) fn open(&self, size: u64) -> Result<Option<SourceFile>, docroot::Error> {
        let Some(source) = self.source() else {
            return Ok(None);
        };
        let file = source.open()?;
        self.require_version(&file, size)?;
        file.advise_sequential();
        Ok(Some(file))
    }

    /// Where the file lies, if there is one.
    fn source(&self) -> Option<&Located> {
        match self {
            Self::File(source) => Some(source),
            Self::Sealed(sealed) => Some(sealed.source()),
            Self::Faux(_) | Self::Growing(_) => None,
        }
    }

    /// Looks whether a file is what was listed with this size.
    fn require_version(&self, file: &SourceFile, size: u64) -> Result<(), docroot::Error> {
        let is_version = match self {
            Self::Sealed(sealed) => sealed.is_version(file),
            Self::File(_) | Self::Faux(_) | Self::Growing(_) => file.attributes().size == size,
        };
        is_version
            .then_some(())
            .ok_or(docroot::Error::SourceChanged)
    }

    /// Whether an earlier attempt had the same bytes, so that it can be continued.
    pub(super) fn can_continue(&self) -> bool {
        match self {
            Self::Sealed(sealed) => sealed.is_continued(),
            Self::File(_) | Self::Faux(_) => true,
            Self::Growing(_) => false,
        }
    }

    /// Reads a whole small file of the size it was listed with into `content`; from `opened`, if the walk has opened it.
    pub(super) fn read_small(
        &self,
        opened: Option<SourceFile>,
        size: u64,
        content: &mut Vec<u8>,
    ) -> Result<(), docroot::Error> {
        content.resize(size as usize, 0);
        // Nothing to open where there is nothing to read.
        if size == 0 {
            return Ok(());
        }
        let file = match (opened, self.source()) {
            (Some(file), _) => Some(file),
            (None, Some(source)) => Some(source.open()?),
            (None, None) => None,
        };
        if let Some(file) = &file {
            self.require_version(file, size)?;
        }
        match (self, &file) {
            (Self::Faux(made_up), _) => made_up.fill(0, content),
            (Self::Sealed(sealed), Some(file)) => {
                sealed.read(file, content, 0)?;
                file.unchanged()?;
            }
            (_, Some(file)) if file.read_at(content, 0)? == content.len() => {}
            _ => return Err(docroot::Error::SourceChanged),
        }
        Ok(())
    }
}

/// Where a part is in its file (protocol §13.3).
#[derive(Debug, Clone)]
pub(super) struct Span {
    /// The part's first byte.
    pub(super) start: u64,
    /// The file's size when it was listed.
    pub(super) whole: u64,
    /// What the file was when the first session opened it.
    pub(super) identity: Arc<OnceLock<Identity>>,
}

impl Span {
    /// The span that begins a file of this size.
    pub(super) fn first(whole: u64) -> Self {
        Self {
            start: 0,
            whole,
            identity: Arc::default(),
        }
    }

    /// The span behind this one, when this one is of `length` bytes.
    pub(super) fn behind(&self, length: u64) -> Self {
        Self {
            start: self.start + length,
            ..self.clone()
        }
    }
}

/// A file, or the part of it that one session sends, to be read beside the sending of it.
#[derive(Debug)]
pub(super) struct Extract {
    origin: Origin,
    /// Bytes of the file, or of the part.
    size: u64,
    span: Option<Span>,
}

/// A file that is being read beside the sending of it.
#[derive(Debug)]
pub(super) enum Extracted {
    File(SourceFile),
    Sealed(SourceFile, Arc<Sealed>),
    Faux(Content),
}

impl Extract {
    pub(super) fn new(origin: Origin, size: u64, span: Option<Span>) -> Self {
        Self { origin, size, span }
    }

    /// Whether an earlier attempt had the same bytes.
    pub(super) fn can_continue(&self) -> bool {
        self.origin.can_continue()
    }

    /// Where it begins in the file.
    pub(super) fn base(&self) -> u64 {
        self.span.as_ref().map_or(0, |span| span.start)
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Opens the file, which has to be as long as it was listed.
    pub(super) fn open(&self) -> Result<Extracted, docroot::Error> {
        let whole = self.span.as_ref().map_or(self.size, |span| span.whole);
        match (&self.origin, self.origin.open(whole)?) {
            (Origin::Faux(content), _) => Ok(Extracted::Faux(*content)),
            (Origin::Sealed(sealed), Some(file)) => Ok(Extracted::Sealed(file, Arc::clone(sealed))),
            (Origin::File(_), Some(file)) => Ok(Extracted::File(file)),
            (Origin::Growing(_), _) | (_, None) => Err(docroot::Error::NotFound),
        }
    }
}

impl Extracted {
    pub(super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, docroot::Error> {
        match self {
            Self::File(file) => file.read_at(buffer, offset),
            Self::Sealed(file, sealed) => {
                sealed.read(file, buffer, offset)?;
                Ok(buffer.len())
            }
            Self::Faux(content) => {
                content.fill(offset, buffer);
                Ok(buffer.len())
            }
        }
    }

    /// Says which version of the file was read, if it is a file; fails if it changed meanwhile (rule D-7).
    pub(super) fn close(self) -> Result<Option<Identity>, docroot::Error> {
        match self {
            Self::File(file) | Self::Sealed(file, _) => {
                file.unchanged()?;
                Ok(Some(file.identity()))
            }
            Self::Faux(_) => Ok(None),
        }
    }
}
