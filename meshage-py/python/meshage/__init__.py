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

With ``keys=[key]`` a mesh is closed: only nodes that have the key can join, and nobody else can
read or change what they send. ``generate_key`` makes a key.

Nothing is durable: messages are kept in memory only.
"""

from meshage._async import AsyncEvents, AsyncNode
from meshage._errors import (
    AuthError,
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
    UnknownKey,
)
from meshage._events import Departure, Event, EventKind, Events
from meshage._keys import Keys
from meshage._logging import disable_logging, enable_logging
from meshage._mesh import Mesh, MeshDiff
from meshage._meshage import VERSION as __version__
from meshage._meshage import Message, Sending, generate_key, key_id
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
    KeyLike,
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
    "AuthError",
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
    "KeyLike",
    "Keys",
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
    "UnknownKey",
    "__version__",
    "disable_logging",
    "enable_logging",
    "generate_key",
    "key_id",
]

# Tracebacks and pickles should name the public module of these classes.
for _public in (
    AsyncEvents,
    AsyncNode,
    Departure,
    Event,
    EventKind,
    Events,
    Keys,
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
    AuthError,
    UnknownKey,
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
