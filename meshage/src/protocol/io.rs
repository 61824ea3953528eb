//! Everything that enters and leaves the [`super::router::Router`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{DialError, HangupError, RefuseReason};
use crate::event::Event;
use crate::name::{LinkId, NodeName};
use crate::route::RouteTable;
use crate::wire::control::ControlFrame;
use crate::wire::hello::{Hello, Purpose};
use crate::wire::solicitation::Solicitation;

/// A dial that the router asked for, counted from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(pub u64);

/// A command that waits for a reply. Chosen by whoever gives the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// How this node came by a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It made it, as the router asked.
    Dialler(DialId),
    /// The other end made it.
    Listener,
}

/// What happens to a router.
#[derive(Debug)]
pub enum Input {
    /// Hellos were exchanged over a new connection. The router now decides whether it becomes a link.
    LinkUp {
        /// The driver's number for it, never used twice.
        link: LinkId,
        /// How it came about.
        role: Role,
        /// What the other end said.
        hello: Hello,
    },
    /// A connection is gone: closed by the other end, broken, or in breach of the protocol. Not
    /// given for one that the router closed itself.
    LinkDown {
        /// Which.
        link: LinkId,
        /// Why, for the log.
        reason: String,
        /// Whether the other end broke the protocol, as one that is no mesh node does.
        breach: bool,
    },
    /// A control frame arrived.
    Control {
        /// Over which link.
        link: LinkId,
        /// What.
        frame: ControlFrame,
    },
    /// Bytes arrived over a link, of whatever kind. Given at least every 250 ms while they do.
    Heard {
        /// Over which link.
        link: LinkId,
    },
    /// A datagram arrived.
    Solicited {
        /// Where it came from; its port is not the one to dial.
        from: SocketAddr,
        /// What it said.
        solicitation: Solicitation,
    },
    /// A dial led to no connection, or to one whose other end is no mesh node.
    DialFailed {
        /// Which.
        dial: DialId,
        /// Why.
        error: DialError,
    },
    /// The application wants something.
    Command(Command),
}

/// What an application can ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Link to whoever listens there; answered by [`Reply::Dial`].
    Dial {
        /// Comes back in the reply.
        request: RequestId,
        /// `host`, `host:port` or `[v6]:port`, as the application gave it.
        address: String,
    },
    /// Forget a dial whose caller waits no more; a link that comes of it all the same is closed.
    CancelDial {
        /// The request of the dial.
        request: RequestId,
    },
    /// Close the link to a peer; answered by [`Reply::Hangup`].
    Hangup {
        /// Comes back in the reply.
        request: RequestId,
        /// The peer's name.
        peer: NodeName,
    },
    /// Want so many links from now on.
    SetDegree(u32),
    /// Announce so often from now on.
    SetMsaTimeout(Duration),
    /// Announce now.
    Announce,
    /// Tell every peer that this node leaves, and do nothing more.
    Close,
}

/// Where a dial goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// To a name that is to be resolved; without a port of its own it means the mesh's.
    Named(String),
    /// To where a solicitation came from.
    Socket(SocketAddr),
}

/// What came of a command.
#[derive(Debug)]
pub enum Reply {
    /// The link is up, with this peer; or not.
    Dial(Result<NodeName, DialError>),
    /// The link is closed; or there was none.
    Hangup(Result<(), HangupError>),
}

/// Why the router closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// One of the two nodes refused.
    Refused(RefuseReason),
    /// The application hung up.
    Hangup,
    /// Not a byte for the dead interval.
    Silent,
    /// The two ends did not agree in time.
    AdmissionTimeout,
    /// The other end broke the protocol.
    Breach,
    /// The same node came back over a new connection.
    Replaced,
    /// The other end said that it leaves.
    Left,
    /// This node leaves.
    Leaving,
}

/// What a router wants done.
#[derive(Debug)]
pub enum Output {
    /// Send a control frame.
    Send {
        /// Over which link.
        link: LinkId,
        /// What.
        frame: ControlFrame,
    },
    /// Send a sign of life.
    KeepAlive {
        /// Over which link.
        link: LinkId,
    },
    /// Send a datagram to every broadcast address.
    Solicit(Solicitation),
    /// Connect, exchange hellos with this purpose, then give [`Input::LinkUp`] or
    /// [`Input::DialFailed`].
    Dial {
        /// Comes back in the input.
        dial: DialId,
        /// Where to.
        address: Address,
        /// Why.
        purpose: Purpose,
    },
    /// Send what is queued for the link, then close it. No [`Input::LinkDown`] follows.
    Close {
        /// Which.
        link: LinkId,
        /// Why.
        reason: CloseReason,
    },
    /// These are the routes from now on.
    Install(Arc<RouteTable>),
    /// Tell the application.
    Event(Event),
    /// Answer a command.
    Reply {
        /// Which.
        request: RequestId,
        /// With what.
        reply: Reply,
    },
}
