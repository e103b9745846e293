//! TUN devices inside network namespaces.
#![allow(
    unsafe_code,
    reason = "TUNSETIFF is an ioctl that takes a C structure; rustix has no safe face for it"
)]

use std::fs::{File, OpenOptions};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::ioctl::{Setter, ioctl, opcode};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::Failure;

const IFF_TUN: i16 = 0x0001;
/// Packets come without a protocol header in front.
const IFF_NO_PI: i16 = 0x1000;
/// The longest interface name, with its final zero.
const NAME_ROOM: usize = 16;

/// `struct ifreq`, as far as the kernel reads it here: a name, flags, and the rest of its 40 bytes.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; NAME_ROOM],
    flags: i16,
    rest: [u8; 22],
}

const TUNSETIFF: rustix::ioctl::Opcode = opcode::write::<i32>(b'T', 202);

/// Makes a TUN device in a namespace under `/run/netns`; it lives as long as the file is open. The calling thread stays in
/// that namespace.
///
/// # Errors
/// Namespaces that do not exist, missing rights, names that are too long.
pub(crate) fn open(namespace: &str, name: &str) -> Result<File, Failure> {
    if name.len() >= NAME_ROOM {
        return Err(format!("the device name {name} is too long").into());
    }
    let place = File::open(Path::new("/run/netns").join(namespace))
        .map_err(|error| format!("network namespace {namespace}: {error}"))?;
    move_into_link_name_space(place.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(|error| format!("cannot enter network namespace {namespace}: {error}"))?;
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open("/dev/net/tun")
        .map_err(|error| format!("/dev/net/tun: {error}"))?;
    let mut request = InterfaceRequest {
        name: [0; NAME_ROOM],
        flags: IFF_TUN | IFF_NO_PI,
        rest: [0; 22],
    };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: TUNSETIFF reads a `struct ifreq`, which on 64-bit Linux has exactly the 40 bytes of `InterfaceRequest`.
    let made = unsafe { ioctl(&device, Setter::<TUNSETIFF, InterfaceRequest>::new(request)) };
    made.map_err(|error| format!("cannot make the device {name}: {error}"))?;
    Ok(device)
}
