//! TAP devices: a network interface whose frames a program reads and writes. This is the only file of
//! the commands with a call that needs `unsafe`.

use std::fs::File;
use std::io;

/// The device that creates others.
pub(crate) const CLONE_DEVICE: &str = "/dev/net/tun";
/// The longest name of an interface.
#[cfg(target_os = "linux")]
const NAME_BYTES_MAX: usize = 15;

/// What the request `TUNSETIFF` takes: the kernel's `struct ifreq`.
#[cfg(target_os = "linux")]
#[repr(C)]
struct InterfaceRequest {
    name: [u8; NAME_BYTES_MAX + 1],
    flags: libc::c_short,
    rest: [u8; 22],
}

/// Creates an interface in the network namespace of this process. It exists until the returned file is
/// closed, and may be moved to another namespace. Each read returns one frame, each write sends one.
#[cfg(target_os = "linux")]
pub(super) fn create(name: &str) -> io::Result<File> {
    use std::os::fd::AsRawFd as _;

    if name.len() > NAME_BYTES_MAX {
        return Err(io::Error::other("the name of the interface is too long"));
    }
    let file = File::options().read(true).write(true).open(CLONE_DEVICE)?;
    let mut request = InterfaceRequest {
        name: [0; NAME_BYTES_MAX + 1],
        flags: (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short,
        rest: [0; 22],
    };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    #[expect(unsafe_code, reason = "the standard library has no call for this request")]
    // SAFETY: the descriptor is open for the whole call, and the request has the layout and the
    // length of `struct ifreq`, which the kernel reads and writes.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(file) }
}

/// Other systems have no such devices.
#[cfg(not(target_os = "linux"))]
pub(super) fn create(_: &str) -> io::Result<File> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}
