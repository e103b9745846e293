//! Memory that costs every contestant the same.

use std::hint::black_box;
use std::path::Path;

/// The smallest page of any system.
const PAGE: usize = 4096;

/// Touches `bytes` of memory and gives them back, so that the system has them at hand for the next allocations.
///
/// The host of a virtual machine may take free memory back (free page reporting, balloons), and touching it anew then
/// costs several times what the copy of a page does; memory that was never touched costs as much. Without this a copy
/// is measured slower the more memory was used, or lay idle for seconds, before it.
pub fn warm(bytes: u64) {
    let Ok(bytes) = usize::try_from(bytes) else {
        return;
    };
    let mut memory = vec![0_u8; bytes];
    for page in memory.chunks_mut(PAGE) {
        page[0] = 1;
    }
    black_box(&memory);
}

/// Returns true if files at `path` lie in memory.
pub fn holds(path: &Path) -> bool {
    /// `linux/magic.h`.
    const TMPFS_MAGIC: u64 = 0x0102_1994;
    rustix::fs::statfs(path).is_ok_and(|stat| stat.f_type as u64 == TMPFS_MAGIC)
}
