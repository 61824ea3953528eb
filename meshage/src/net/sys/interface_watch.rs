//! Waits until an interface or an address of this machine may have changed.
//!
//! Linux reports every change over a netlink socket. Where there is none (another system, or a
//! sandbox that forbids it), the caller looks at regular intervals.

use std::time::Duration;

/// The interval at which the interfaces are listed where the system reports no changes: together
/// with the first solicitation, which follows within 0.5 s, and its response, within 2 s.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Reports changes of the interfaces.
#[derive(Debug)]
pub(in crate::net) struct InterfaceWatch {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    netlink: Option<netlink::Netlink>,
}

impl InterfaceWatch {
    /// Starts to watch. Must be called on a runtime.
    pub(in crate::net) fn new() -> Self {
        Self {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            netlink: netlink::Netlink::open()
                .inspect_err(|error| tracing::debug!(%error, "changes of interfaces are polled"))
                .ok(),
        }
    }

    /// Waits until there may have been a change. Changes before the call count.
    pub(in crate::net) async fn changed(&mut self) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(netlink) = &self.netlink {
            match netlink.changed().await {
                Ok(()) => return,
                Err(error) => {
                    tracing::debug!(%error, "changes of interfaces are polled");
                    self.netlink = None;
                }
            }
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod netlink {
    use std::io::{self, Read as _};

    use socket2::{Domain, Protocol, SockAddr, Socket, Type};
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    use crate::net::sys::descriptors::Descriptor;

    /// The changes that the kernel reports: of interfaces, and of addresses of both families.
    const GROUPS: i32 = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;

    /// A socket that is readable after a change.
    #[derive(Debug)]
    pub(super) struct Netlink {
        /// The first field, so that it is dropped before the socket is closed.
        _descriptor: Descriptor,
        socket: AsyncFd<Socket>,
    }

    impl Netlink {
        pub(super) fn open() -> io::Result<Self> {
            let socket = Socket::new(
                Domain::from(libc::AF_NETLINK),
                Type::RAW,
                Some(Protocol::from(libc::NETLINK_ROUTE)),
            )?;
            socket.set_nonblocking(true)?;
            socket.bind(&address()?)?;
            let _descriptor = Descriptor::of(&socket);
            Ok(Self { _descriptor, socket: register(socket)? })
        }

        /// Waits for messages and removes them. Their contents do not matter: the interfaces are
        /// listed afterwards.
        pub(super) async fn changed(&self) -> io::Result<()> {
            let mut buffer = [0; 8192];
            let mut changed = false;
            loop {
                let mut ready = self.socket.readable().await?;
                loop {
                    match ready.try_io(|socket| socket.get_ref().read(&mut buffer)) {
                        Ok(Ok(_)) => changed = true,
                        // Messages were lost because too many were queued.
                        Ok(Err(error)) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                            changed = true;
                        }
                        Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                        Ok(Err(error)) => return Err(error),
                        Err(_would_block) => break,
                    }
                }
                if changed {
                    return Ok(());
                }
            }
        }
    }

    #[expect(unsafe_code, reason = "the runtime waits for a descriptor")]
    fn register(socket: Socket) -> io::Result<AsyncFd<Socket>> {
        // SAFETY: the socket owns its descriptor, which stays open until the socket is dropped, and
        // always returns the same one.
        let registered = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
        Ok(registered?)
    }

    #[expect(unsafe_code, reason = "the address of a netlink socket is a C structure")]
    fn address() -> io::Result<SockAddr> {
        // SAFETY: the storage is zeroed, aligned for every address and large enough for this one.
        // The length is that of the structure that was written.
        let ((), address) = unsafe {
            SockAddr::try_init(|storage, length| {
                let address = storage.cast::<libc::sockaddr_nl>();
                (*address).nl_family = libc::AF_NETLINK as libc::sa_family_t;
                (*address).nl_groups = GROUPS as u32;
                *length = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
                Ok(())
            })
        }?;
        Ok(address)
    }
}
