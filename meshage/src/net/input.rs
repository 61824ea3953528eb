//! What the control task receives, and the bounds of its queues.

use std::net::IpAddr;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::handshake::Met;
use super::transport::{KeyNotice, Transport};
use crate::name::LinkId;
use crate::protocol::io::{Command, Input, Reply, RequestId, Role};
use crate::wire::control::ControlFrame;

/// The capacity of the queue of network events. Readers wait while it is full, so that a peer that
/// floods a node with control frames (of 64 KiB at most) takes no more than 16 MiB.
pub(super) const NETWORK_EVENTS_MAX: usize = 256;
/// The control frames of one link in that queue, or whose outputs are not carried out yet. The
/// frames of other links wait for few of them.
pub(super) const CONTROL_FRAMES_MAX: usize = 8;

/// An event from the network.
pub(super) enum NetworkEvent {
    /// An event that the router handles as it is.
    Input(Input),
    /// A control frame. The permit is returned once the outputs are carried out, and the routes are
    /// in force or marked as pending.
    Control(LinkId, ControlFrame, OwnedSemaphorePermit),
    /// A connection over which hellos were exchanged.
    Connected {
        /// The connection.
        transport: Transport,
        /// Which end made it.
        role: Role,
        /// The other end.
        met: Met,
    },
    /// The other end of a sealed link has said something about its keys.
    Keys {
        /// The link.
        link: LinkId,
        /// What it said.
        notice: KeyNotice,
    },
    /// An interface or address of this machine came up.
    NetworkChanged,
    /// This machine no longer has these addresses.
    AddressesLost(Vec<IpAddr>),
    /// Completed once all events before it have taken effect, the new routes included.
    Barrier(oneshot::Sender<()>),
}

/// A request of the application.
pub(super) enum Request {
    /// A command without a reply.
    Command(Command),
    /// A command with a reply.
    CommandWithReply { request: RequestId, command: Command, reply: oneshot::Sender<Reply> },
    /// Close the node.
    Close,
}
