"""The events of the mesh that a node reports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, TypeAlias

from meshage._mesh import Mesh

if TYPE_CHECKING:
    from meshage._meshage import EventStream


class EventKind(IntEnum):
    """The kind of an event."""

    LINK_UP = 1
    """A link to a peer was established."""
    LINK_DOWN = 2
    """The link to a peer was closed or broke."""
    NODE_JOINED = 3
    """A node became reachable."""
    NODE_LEFT = 4
    """A node left the mesh, or can no longer be reached."""
    TOPOLOGY = 5
    """The effective network changed."""
    NAME_CONFLICT = 6
    """Two reachable nodes have the same name."""
    OVERFLOW = 7
    """The queue was full and events were dropped: take a new snapshot of the mesh."""
    DISCOVERY_FAILED = 8
    """No solicitation could be sent: the node finds no others until the cause is removed."""
    KEY_MISMATCH = 9
    """A node has none of this node's keys, or does not encrypt, so there is no link to it. At most
    one event a minute for each address."""
    REVOKED = 10
    """The ticket of the node was revoked, or has ended: it can no longer join."""


class Departure(StrEnum):
    """How a node departed; equal to the strings ``"left"`` and ``"failed"``."""

    LEFT = "left"
    """It was closed, and announced that it leaves."""
    FAILED = "failed"
    """It can no longer be reached, and did not announce that it leaves."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event on the mesh."""

    kind: EventKind
    node: str = ""
    """The name of the node that it concerns; empty if there is none."""
    instance: int | None = None
    """The incarnation of that node: a node that was restarted joins with another one."""
    reason: str = ""
    """Why it happened, in words, for example why a link ended; empty if there is no reason."""
    departure: Departure | None = None
    """With ``NODE_LEFT``, whether the node left in order or failed."""
    address: str = ""
    """With ``KEY_MISMATCH``, the address of the other node."""
    key_ids: tuple[str, ...] = ()
    """With ``KEY_MISMATCH``, the ids of the keys that the other node named; empty if it does not
    encrypt."""


class Subscription:
    """The common base of ``Events`` and ``AsyncEvents``; not public."""

    __slots__ = ("_mesh", "_stream")

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream
        self._mesh: Mesh | None = None

    @property
    def mesh(self) -> Mesh:
        """The topology at the moment of the subscription.

        The events are the changes since then, each exactly once: no node is missed between the two.
        """
        if self._mesh is None:
            self._mesh = Mesh(self._stream.mesh())
        return self._mesh


class Events(Subscription, Iterator[Event]):
    """A subscription to a node's events, from its creation until the node closes.

    It begins with the changes after ``mesh``: earlier events are not repeated. One thread at a time
    may wait on it; a second one gets ``BusyError``. Up to 4,096 events are queued.
    """

    __slots__ = ()

    def __iter__(self) -> Events:
        return self

    def __next__(self) -> Event:
        event = self.next()
        if event is None:
            raise StopIteration
        return event

    def next(self, timeout: float | None = None) -> Event | None:
        """Wait for an event; ``None`` once the node is closed.

        Raises ``MeshageTimeout`` if no event arrives in time.
        """
        return event_of(self._stream.next(timeout))


EventParts: TypeAlias = tuple[int, str, int | None, str, str | None, str, list[str]]
"""An event as the core passes it: the fields of ``Event``."""


def event_of(parts: EventParts | None) -> Event | None:
    """Make an event from its parts."""
    if parts is None:
        return None
    kind, node, instance, reason, departure, address, key_ids = parts
    departed = None if departure is None else Departure(departure)
    return Event(
        EventKind(kind), node, instance, reason, departed, address, tuple(key_ids)
    )
