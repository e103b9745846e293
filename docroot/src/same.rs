//! Whether two files are the same, for a publisher who finds that somebody else was first.

use std::os::fd::{AsFd as _, OwnedFd};

use crate::sys::{fstat, openat};
use rustix::fs::{Mode, OFlags};

use crate::attributes::{Attributes, FileKind};
use crate::dir::Dir;
use crate::partial::read_at;

/// Bytes compared at once.
const PIECE: usize = 64 << 10;

/// Returns true if both names are regular files with the same modification time and the same content.
pub(crate) fn is_same(dir: &Dir, one: &[u8], other: &[u8]) -> bool {
    let (Some((one, a)), Some((other, b))) = (open(dir, one), open(dir, other)) else {
        return false;
    };
    a.size == b.size && a.mtime == b.mtime && has_same_content(&one, &other)
}

fn open(dir: &Dir, name: &[u8]) -> Option<(OwnedFd, Attributes)> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(dir.as_fd(), name, flags, Mode::empty()).ok()?;
    let attributes = Attributes::of(&fstat(&file).ok()?);
    (attributes.kind == FileKind::File).then_some((file, attributes))
}

fn has_same_content(one: &OwnedFd, other: &OwnedFd) -> bool {
    let mut buffers = [vec![0; PIECE], vec![0; PIECE]];
    let mut offset = 0;
    loop {
        let [a, b] = &mut buffers;
        let (Ok(read), Ok(other_read)) = (read_at(one, a, offset), read_at(other, b, offset))
        else {
            return false;
        };
        if read != other_read || a[..read] != b[..read] {
            return false;
        }
        if read == 0 {
            return true;
        }
        offset += read as u64;
    }
}
