//! The system's calls for files, all of them: `clippy.toml` keeps the rest of the crate from calling past this module.
//!
//! Each is the call of `rustix` and nothing else, unless the feature `faults` is on; then [`faults`](crate::faults) may
//! let it fail first.
#![allow(
    clippy::disallowed_methods,
    reason = "the one module that may call them"
)]

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, OwnedFd};

use rustix::buffer::Buffer;
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
use rustix::fs::RenameFlags;
use rustix::fs::{
    Access, Advice, AtFlags, FlockOperation, Gid, Mode, OFlags, Stat, StatFs, StatVfs, Timestamps,
    Uid,
};
#[cfg(target_os = "linux")]
use rustix::fs::{FallocateFlags, ResolveFlags, XattrFlags};
use rustix::io::Result;
use rustix::path::Arg;

/// Defines functions that are called as those of `rustix`.
macro_rules! calls {
    ($(
        $(#[$attribute:meta])*
        $module:ident::$call:ident($($argument:ident: $kind:ty),*) -> $result:ty;
    )*) => {$(
        $(#[$attribute])*
        #[inline]
        #[cfg_attr(feature = "faults", track_caller)]
        pub(crate) fn $call($($argument: $kind),*) -> Result<$result> {
            before(stringify!($call))?;
            rustix::$module::$call($($argument),*)
        }
    )*};
}

calls! {
    fs::accessat(directory: impl AsFd, path: impl Arg, access: Access, flags: AtFlags) -> ();
    fs::fadvise(file: impl AsFd, offset: u64, length: Option<std::num::NonZeroU64>, advice: Advice) -> ();
    #[cfg(target_os = "linux")]
    fs::fallocate(file: impl AsFd, mode: FallocateFlags, offset: u64, length: u64) -> ();
    fs::fchmod(file: impl AsFd, mode: Mode) -> ();
    fs::fchown(file: impl AsFd, owner: Option<Uid>, group: Option<Gid>) -> ();
    fs::fcntl_setfl(file: impl AsFd, flags: OFlags) -> ();
    #[cfg(target_vendor = "apple")]
    fs::fcntl_fullfsync(file: impl AsFd) -> ();
    #[cfg(not(target_vendor = "apple"))]
    fs::fdatasync(file: impl AsFd) -> ();
    fs::flock(file: impl AsFd, operation: FlockOperation) -> ();
    #[cfg(target_os = "linux")]
    fs::fsetxattr(file: impl AsFd, name: impl Arg, value: &[u8], flags: XattrFlags) -> ();
    fs::fstat(file: impl AsFd) -> Stat;
    fs::fstatfs(file: impl AsFd) -> StatFs;
    fs::fstatvfs(file: impl AsFd) -> StatVfs;
    fs::fsync(file: impl AsFd) -> ();
    fs::ftruncate(file: impl AsFd, length: u64) -> ();
    fs::futimens(file: impl AsFd, times: &Timestamps) -> ();
    fs::linkat(from: impl AsFd, old: impl Arg, to: impl AsFd, new: impl Arg, flags: AtFlags) -> ();
    fs::mkdirat(directory: impl AsFd, path: impl Arg, mode: Mode) -> ();
    fs::open(path: impl Arg, flags: OFlags, mode: Mode) -> OwnedFd;
    fs::openat(directory: impl AsFd, path: impl Arg, flags: OFlags, mode: Mode) -> OwnedFd;
    #[cfg(target_os = "linux")]
    fs::openat2(directory: impl AsFd, path: impl Arg, flags: OFlags, mode: Mode, resolve: ResolveFlags) -> OwnedFd;
    fs::readlinkat(directory: impl AsFd, path: impl Arg, reuse: impl Into<Vec<u8>>) -> std::ffi::CString;
    fs::renameat(from: impl AsFd, old: impl Arg, to: impl AsFd, new: impl Arg) -> ();
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    fs::renameat_with(from: impl AsFd, old: impl Arg, to: impl AsFd, new: impl Arg, flags: RenameFlags) -> ();
    fs::statat(directory: impl AsFd, path: impl Arg, flags: AtFlags) -> Stat;
    fs::symlinkat(target: impl Arg, directory: impl AsFd, path: impl Arg) -> ();
    #[cfg(target_os = "linux")]
    fs::syncfs(file: impl AsFd) -> ();
    fs::unlinkat(directory: impl AsFd, path: impl Arg, flags: AtFlags) -> ();
    io::preadv(file: impl AsFd, buffers: &mut [IoSliceMut<'_>], offset: u64) -> usize;
    io::pwrite(file: impl AsFd, bytes: &[u8], offset: u64) -> usize;
    io::pwritev(file: impl AsFd, buffers: &[IoSlice<'_>], offset: u64) -> usize;
}

#[inline]
#[cfg_attr(feature = "faults", track_caller)]
pub(crate) fn pread<B: Buffer<u8>>(file: impl AsFd, buffer: B, offset: u64) -> Result<B::Output> {
    before("pread")?;
    rustix::io::pread(file, buffer, offset)
}

#[cfg(target_os = "linux")]
#[cfg_attr(feature = "faults", track_caller)]
pub(crate) fn flistxattr<B: Buffer<u8>>(file: impl AsFd, names: B) -> Result<B::Output> {
    before("flistxattr")?;
    rustix::fs::flistxattr(file, names)
}

#[cfg(target_os = "linux")]
#[cfg_attr(feature = "faults", track_caller)]
pub(crate) fn fgetxattr<B: Buffer<u8>>(
    file: impl AsFd,
    name: impl Arg,
    value: B,
) -> Result<B::Output> {
    before("fgetxattr")?;
    rustix::fs::fgetxattr(file, name, value)
}

/// Has to stand before names of a directory are read: `rustix` does that behind an iterator.
#[cfg_attr(feature = "faults", track_caller)]
pub(crate) fn before_listing() -> Result<()> {
    before("getdents")
}

#[cfg(not(feature = "faults"))]
#[inline(always)]
#[allow(
    clippy::unnecessary_wraps,
    reason = "so that calls look the same with and without the feature"
)]
const fn before(_call: &'static str) -> Result<()> {
    Ok(())
}

#[cfg(feature = "faults")]
#[track_caller]
fn before(call: &'static str) -> Result<()> {
    crate::faults::before(call)
}
