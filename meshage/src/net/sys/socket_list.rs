//! A list of the library's sockets, so that a forked child does not keep them open.
//!
//! A child of `fork` has a copy of every descriptor. Without this list, the port of a node that has
//! ended would stay in use until its last child ends, and peers would keep links to a node that no
//! longer runs. So a handler that runs in each child puts an inert descriptor in the place of each
//! socket. It does not close them: the child still has the objects that own these numbers, and when
//! one of them is dropped, its number must not belong to something else.
//!
//! The runtime's own descriptors (`epoll`, `eventfd`) stay in the child. They keep no socket open.
//!
//! The handler may call only what is safe in a signal handler, so the list takes no lock: it is a
//! chain of arrays of atomics that only grows. A socket is identified by its number and by the
//! numbers of its inode, because a program may close all descriptors behind the library's back and
//! use the number for something else.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

/// The number of sockets in one array of the chain: those of a node with many links.
pub(super) const CHUNK_SLOTS: usize = 64;
/// The value of a slot that is not in use.
const FREE: i32 = -1;
/// The value of a slot that is being filled.
const CLAIMED: i32 = -2;

/// The place of one socket in the list.
pub(super) struct Slot {
    pub(super) descriptor: AtomicI32,
    device: AtomicU64,
    inode: AtomicU64,
}

struct Chunk {
    slots: [Slot; CHUNK_SLOTS],
    next: OnceLock<Box<Chunk>>,
}

static FIRST: Chunk = Chunk::new();

impl Slot {
    const fn new() -> Self {
        Self {
            descriptor: AtomicI32::new(FREE),
            device: AtomicU64::new(0),
            inode: AtomicU64::new(0),
        }
    }

    /// Takes the socket off the list.
    pub(super) fn free(&self) {
        self.descriptor.store(FREE, Ordering::Release);
    }
}

impl Chunk {
    const fn new() -> Self {
        Self { slots: [const { Slot::new() }; CHUNK_SLOTS], next: OnceLock::new() }
    }
}

/// All slots of the chain.
pub(super) fn slots() -> impl Iterator<Item = &'static Slot> {
    let chunks = std::iter::successors(Some(&FIRST), |chunk| chunk.next.get().map(Box::as_ref));
    chunks.flat_map(|chunk| &chunk.slots)
}

#[cfg(unix)]
pub(super) use unix::{enter, replace_all};

#[cfg(unix)]
mod unix {
    #![expect(unsafe_code, reason = "the system calls of a handler of fork")]

    use std::mem::MaybeUninit;
    use std::os::fd::RawFd;

    use super::*;

    /// Enters a socket into the list; `None` if the system does not describe it.
    pub(in crate::net::sys) fn enter(descriptor: RawFd) -> Option<&'static Slot> {
        let (device, inode) = identity(descriptor)?;
        let slot = claim();
        slot.device.store(device, Ordering::Relaxed);
        slot.inode.store(inode, Ordering::Relaxed);
        slot.descriptor.store(descriptor, Ordering::Release);
        Some(slot)
    }

    /// A slot that is not in use; the chain grows if there is none.
    fn claim() -> &'static Slot {
        let mut chunk = &FIRST;
        loop {
            let claimed = chunk.slots.iter().find(|slot| {
                let slot = &slot.descriptor;
                slot.compare_exchange(FREE, CLAIMED, Ordering::AcqRel, Ordering::Relaxed).is_ok()
            });
            match claimed {
                Some(slot) => return slot,
                None => chunk = chunk.next.get_or_init(|| Box::new(Chunk::new())),
            }
        }
    }

    /// The numbers of the device and the inode behind a descriptor.
    fn identity(descriptor: RawFd) -> Option<(u64, u64)> {
        let mut stat = MaybeUninit::<libc::stat>::uninit();
        // SAFETY: `stat` is written by the call, and read only if it succeeds.
        let stat = unsafe {
            if libc::fstat(descriptor, stat.as_mut_ptr()) != 0 {
                return None;
            }
            stat.assume_init()
        };
        #[allow(clippy::unnecessary_cast, reason = "the types differ between systems")]
        let identity = (stat.st_dev as u64, stat.st_ino as u64);
        Some(identity)
    }

    /// Puts an inert descriptor in the place of every socket of the list. For the handler of `fork`
    /// in the child: it takes no lock, allocates nothing, and calls only what is safe in a signal
    /// handler. No other thread runs.
    pub(in crate::net::sys) fn replace_all() {
        let mut inert: Option<RawFd> = None;
        for slot in slots() {
            let descriptor = slot.descriptor.load(Ordering::Acquire);
            let entered = (slot.device.load(Ordering::Relaxed), slot.inode.load(Ordering::Relaxed));
            if descriptor < 0 || identity(descriptor) != Some(entered) {
                continue;
            }
            let Some(from) = inert.or_else(|| open_inert(descriptor)) else { return };
            if from != descriptor {
                replace(from, descriptor);
                inert = Some(from);
            }
        }
        if let Some(inert) = inert {
            // SAFETY: the number was opened here, and no object owns it.
            unsafe { libc::close(inert) };
        }
    }

    /// Opens a socket that is connected to nothing. If the process has no free descriptor, `victim`
    /// is closed first; the new socket may then have its number.
    fn open_inert(victim: RawFd) -> Option<RawFd> {
        let open = || {
            // SAFETY: the call has no memory arguments.
            let opened = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0) };
            if opened >= 0 {
                set_close_on_exec(opened);
            }
            (opened >= 0).then_some(opened)
        };
        open().or_else(|| {
            // SAFETY: the number gets a new descriptor before anything else can use it: `socket`
            // takes the lowest free number, and if that is another one, the caller replaces this.
            unsafe { libc::close(victim) };
            open()
        })
    }

    /// Makes `to` a copy of `from`, and thereby closes what `to` was.
    fn replace(from: RawFd, to: RawFd) {
        // SAFETY: both are descriptors of this process, and `to` is one of the library's.
        unsafe { libc::dup2(from, to) };
        set_close_on_exec(to);
    }

    fn set_close_on_exec(descriptor: RawFd) {
        // SAFETY: the call has no memory arguments.
        unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}
