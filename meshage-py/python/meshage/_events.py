"""The events of the mesh that a node reports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

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
    """No solicitation can be sent, so that no other node can be found. The node goes on trying."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event on the mesh, and the node that it concerns ("" if none)."""

    kind: EventKind
    node: str = ""


class Events(Iterator[Event]):
    """A subscription to a node's events, from its creation until the node closes.

    One thread at a time may wait on it. Up to 4,096 events are queued.
    """

    __slots__ = ("_stream",)

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream

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


def event_of(parts: tuple[int, str] | None) -> Event | None:
    """Make an event from the core's kind and node name."""
    return None if parts is None else Event(EventKind(parts[0]), parts[1])
