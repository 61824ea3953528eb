//! The inputs and outputs of the [`super::router::Router`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{DialError, HangupError, RefuseReason};
use crate::event::{Event, LinkEnd};
use crate::name::{LinkId, NodeName};
use crate::route::RouteTable;
use crate::secure::handshake::Peer;
use crate::secure::policy::Grant;
use crate::secure::revocations::Revocations;
use crate::secure::{AuthError, PublicKey, UnixMillis};
use crate::wire::control::ControlFrame;
use crate::wire::hello::{Hello, Purpose};
use crate::wire::solicitation::Solicitation;

/// A dial that the router requested, counted from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(pub u64);

/// A command that waits for a reply. Chosen by the caller that gives the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Which end made a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// This node, as the router requested.
    Dialler(DialId),
    /// The other end.
    Listener,
}

/// What the other end of a sealed link has proven in its handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerProof {
    /// Its public key.
    pub public_key: PublicKey,
    /// What its name is based on.
    pub grant: Grant,
    /// Its ticket, if it showed one.
    pub ticket: Option<Arc<[u8]>>,
}

impl From<&Peer> for PeerProof {
    fn from(peer: &Peer) -> Self {
        Self { public_key: peer.public_key, grant: peer.grant, ticket: peer.ticket.clone() }
    }
}

/// An event that the driver reports to a router.
#[derive(Debug)]
pub enum Input {
    /// Hellos were exchanged over a new connection. The router now decides whether it becomes a
    /// link.
    LinkUp {
        /// The driver's number of the connection, never used twice.
        link: LinkId,
        /// Which end made it.
        role: Role,
        /// The hello of the other end.
        hello: Hello,
        /// What the other end has proven; `None` in an open mesh.
        proof: Option<PeerProof>,
    },
    /// A connection ended: the other end closed it, it broke, or the other end violated the
    /// protocol. Not passed for a connection that the router closed.
    LinkDown {
        /// The link.
        link: LinkId,
        /// Why it ended: [`LinkEnd::Closed`], [`LinkEnd::Broken`], [`LinkEnd::Auth`] or, if the other
        /// end violated the protocol, as a program that is no mesh node does, [`LinkEnd::Breach`].
        end: LinkEnd,
    },
    /// A control frame arrived.
    Control {
        /// The link that it arrived on.
        link: LinkId,
        /// The frame.
        frame: ControlFrame,
    },
    /// Bytes of any kind arrived on a link. Passed at least every 250 ms while bytes arrive.
    BytesReceived {
        /// The link that they arrived on.
        link: LinkId,
    },
    /// A datagram arrived.
    Solicited {
        /// Its source address. Its port is not the one to dial.
        from: SocketAddr,
        /// Its contents.
        solicitation: Solicitation,
    },
    /// An [`Output::Solicit`] could not be sent to any address.
    SolicitationUnsent {
        /// Whether it was a beacon.
        beacon: bool,
        /// The reason, for the application.
        reason: String,
    },
    /// An interface or an address of this machine came up: nodes that could not be reached before
    /// may be reachable now.
    NetworkChanged,
    /// The time of day, at the time of this input: passed when the clock of the machine was set.
    WallClock(UnixMillis),
    /// A dial did not lead to a connection, or its other end is no mesh node.
    DialFailed {
        /// The dial.
        dial: DialId,
        /// The reason.
        error: DialError,
    },
    /// A node was turned away, or turned this one away, because one of them lacks a key or a right,
    /// or a datagram came from a node without a key of this one.
    Denied {
        /// The address of the other node.
        from: SocketAddr,
        /// Whether this node dialled it. Otherwise the port of the address is not the one to dial.
        dialled: bool,
        /// The reason.
        error: AuthError,
    },
    /// The application gives a command.
    Command(Command),
}

/// A command of the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Link to the node that listens at an address. The reply is [`Reply::Dial`].
    Dial {
        /// Returned with the reply.
        request: RequestId,
        /// `host`, `host:port` or `[v6]:port`, as the application gave it.
        address: String,
    },
    /// Drop a dial whose caller no longer waits. A link that it leads to nevertheless is closed.
    CancelDial {
        /// The request of the dial.
        request: RequestId,
    },
    /// Close the link to a peer. The reply is [`Reply::Hangup`].
    Hangup {
        /// Returned with the reply.
        request: RequestId,
        /// The peer's name.
        peer: NodeName,
    },
    /// Set the number of links that the node looks for.
    SetDegree(u32),
    /// Set the interval at which the node compares its database with its peers.
    SetMsaTimeout(Duration),
    /// Announce now.
    Announce,
    /// The pre-shared keys of the node were changed: what failed for lack of a key is tried again at
    /// once.
    KeysChanged,
    /// Take a revocation, signed by the root, and flood it.
    Revoke(Arc<[u8]>),
    /// Inform every peer that this node leaves, and stop.
    Close,
}

/// The destination of a dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A name to resolve. Without a port, the mesh's port is used.
    Named(String),
    /// The sender of a solicitation: the addresses from which its copies came, the first one first.
    Sockets(Vec<SocketAddr>),
}

/// The result of a command.
#[derive(Debug)]
pub enum Reply {
    /// The peer to which the link is up, or why there is none.
    Dial(Result<NodeName, DialError>),
    /// Whether the link was closed.
    Hangup(Result<(), HangupError>),
}

/// Why the router closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// One of the two nodes refused.
    Refused(RefuseReason),
    /// The application hung up.
    Hangup,
    /// No byte arrived during this time, the dead interval.
    Silent(Duration),
    /// Admission or the database exchange took too long.
    AdmissionTimeout,
    /// The other end violated the protocol.
    Breach,
    /// The same node connected again.
    Replaced,
    /// The other end announced that it leaves.
    Left,
    /// This node leaves.
    Leaving,
}

/// An action that a router requests from the driver.
#[derive(Debug)]
pub enum Output {
    /// Send a control frame.
    Send {
        /// The link to send it on.
        link: LinkId,
        /// The frame.
        frame: ControlFrame,
    },
    /// Send a keep-alive.
    KeepAlive {
        /// The link to send it on.
        link: LinkId,
    },
    /// Send a keep-alive that is as long as a packet of the path.
    PaddedKeepAlive {
        /// The link to send it on.
        link: LinkId,
    },
    /// Send a [`ControlFrame::Probe`] over a link on which a keep-alive is missing. Before the next call
    /// of `handle_timeout`, pass [`Input::BytesReceived`] if there is another sign that its peer lives.
    Probe {
        /// The link to send it on.
        link: LinkId,
    },
    /// Send a datagram to every broadcast address.
    Solicit(Solicitation),
    /// Connect, exchange hellos with this purpose, then pass [`Input::LinkUp`] or
    /// [`Input::DialFailed`].
    Dial {
        /// Returned with the input.
        dial: DialId,
        /// The destination.
        address: Address,
        /// The purpose for the hello.
        purpose: Purpose,
    },
    /// Send what is queued for the link, then close it. No [`Input::LinkDown`] follows.
    Close {
        /// The link.
        link: LinkId,
        /// The reason.
        reason: CloseReason,
    },
    /// Use these routes from now on.
    Install(Arc<RouteTable>),
    /// Use these revocations in handshakes from now on.
    Revocations(Revocations),
    /// Report an event to the application.
    Event(Event),
    /// Reply to a command.
    Reply {
        /// The request of the command.
        request: RequestId,
        /// The result.
        reply: Reply,
    },
}
