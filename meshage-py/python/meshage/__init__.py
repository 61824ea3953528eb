"""Mesh message passing.

Nodes in the same namespace discover each other, link into a mesh, and send acknowledged messages
to each other by name. Nodes without a direct link reach each other through relays. ``Node`` is the
blocking API, ``AsyncNode`` the asyncio API.

    import meshage

    with meshage.Node("ada", "example", degree=3) as node:
        node.wait_for("bob", timeout=30)
        node.set("bob", "hello")
        for message in node:
            print(message.source, message.text())

Nothing is durable: messages are kept in memory only.
"""

from meshage._async import AsyncEvents, AsyncNode
from meshage._errors import (
    BindError,
    BusyError,
    DialError,
    DialTimeout,
    ForkError,
    HandshakeError,
    InternalError,
    InvalidArgument,
    MeshageError,
    MeshageTimeout,
    MessageTooLarge,
    NodeClosed,
    NoRoute,
    NotAPeer,
    RecipientError,
    ResourceError,
    SendError,
)
from meshage._events import Departure, Event, EventKind, Events
from meshage._logging import disable_logging, enable_logging
from meshage._mesh import Mesh, MeshDiff
from meshage._meshage import VERSION as __version__
from meshage._meshage import Message, Sending
from meshage._node import Node
from meshage._types import (
    ACK,
    DEFAULT_MSA_TIMEOUT,
    DEFAULT_PORT,
    DEFAULT_TIMEOUT,
    LOLLIPOP_LENGTH,
    MAX_MESSAGE,
    MESSAGE,
    MSA,
    RECEIVE_BUFFER,
    SOLICIT_LIMIT,
    SOLICIT_RATIO,
    Body,
    Encoding,
    Outcome,
    Recipients,
)

__all__ = [
    "ACK",
    "DEFAULT_MSA_TIMEOUT",
    "DEFAULT_PORT",
    "DEFAULT_TIMEOUT",
    "LOLLIPOP_LENGTH",
    "MAX_MESSAGE",
    "MESSAGE",
    "MSA",
    "RECEIVE_BUFFER",
    "SOLICIT_LIMIT",
    "SOLICIT_RATIO",
    "AsyncEvents",
    "AsyncNode",
    "BindError",
    "Body",
    "BusyError",
    "Departure",
    "DialError",
    "DialTimeout",
    "Encoding",
    "Event",
    "EventKind",
    "Events",
    "ForkError",
    "HandshakeError",
    "InternalError",
    "InvalidArgument",
    "Mesh",
    "MeshDiff",
    "MeshageError",
    "MeshageTimeout",
    "Message",
    "MessageTooLarge",
    "NoRoute",
    "Node",
    "NodeClosed",
    "NotAPeer",
    "Outcome",
    "RecipientError",
    "Recipients",
    "ResourceError",
    "SendError",
    "Sending",
    "__version__",
    "disable_logging",
    "enable_logging",
]

# Tracebacks and pickles should name the public module of these classes.
for _public in (
    AsyncEvents,
    AsyncNode,
    Departure,
    Event,
    EventKind,
    Events,
    Mesh,
    MeshDiff,
    Node,
    Outcome,
    Encoding,
    MeshageError,
    MeshageTimeout,
    InvalidArgument,
    SendError,
    NoRoute,
    RecipientError,
    MessageTooLarge,
    DialError,
    DialTimeout,
    HandshakeError,
    NotAPeer,
    BindError,
    ResourceError,
    InternalError,
    BusyError,
    NodeClosed,
    ForkError,
):
    _public.__module__ = __name__
del _public
