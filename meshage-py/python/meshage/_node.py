"""The blocking node."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Self

from meshage._base import NodeBase
from meshage._errors import NodeClosed
from meshage._events import Events
from meshage._exit import CLOSE_SECONDS_MAX
from meshage._mesh import Mesh
from meshage._meshage import Message, Sending
from meshage._types import Body, Recipients


class Node(NodeBase):
    """A node of the mesh, with blocking calls.

    All methods may be called from any thread. A blocking call lets other threads run and handles
    Ctrl-C within 100 ms. If ``timeout`` is ``None``, a send waits for ``node.timeout``, a dial for
    10 s, and any other call without a limit. A call that receives with a ``timeout`` of 0 returns
    what is there, or raises ``MeshageTimeout`` at once. A closed node raises ``NodeClosed``. In a forked child
    a node of the parent raises ``ForkError``.
    """

    __slots__ = ()

    def dial(self, address: str, *, timeout: float | None = None) -> None:
        """Link to the node that listens at ``host``, ``host:port`` or ``[v6]:port``.

        A link-local address has a zone: ``fe80::1%eth0``.

        Raises ``DialError`` if no node answers or if one of the two nodes refuses the link. With a
        ``timeout`` of 0 nothing is dialled, because a dial takes at least a round trip.
        """
        self._core.dial(address, timeout)

    def hangup(self, peer: str) -> None:
        """Close the link to a peer; raises ``NotAPeer`` if there is none."""
        self._core.hangup(peer)

    def set(
        self,
        recipients: Recipients,
        body: Body,
        *,
        timeout: float | None = None,
        retry: bool = False,
    ) -> list[str]:
        """Send to the named nodes, wait until all have the message, and return their names.

        With ``retry`` the message is sent again, along the current route, to each recipient that
        lacks it, until the deadline: while it has no route or its route breaks. No recipient gets it
        twice. With a ``timeout`` of 0 the message is sent, but the call does not wait for
        acknowledgements: the outcome is ``Outcome.TIMEOUT``, which is unknown, unless it is certain
        at once (no route, too large, a full queue); with ``retry`` an unknown node is retried for up
        to 10 s. Raises ``SendError``, which has the outcome for each recipient; with one recipient
        also ``MeshageTimeout`` or ``NoRoute``.
        """
        return self._core.set(recipients, body, timeout, retry)

    def broadcast(self, body: Body, *, timeout: float | None = None) -> list[str]:
        """Send to every reachable node and wait until all have received the message.

        Returns their names: an empty list on an empty mesh. Raises the exceptions of ``set``.
        """
        return self._core.broadcast(body, timeout)

    def send(self, message: Message, *, timeout: float | None = None) -> list[str]:
        """Send a ``Message``; without recipients it goes to every reachable node."""
        return self._core.send(message, timeout)

    def send_async(self, message: Message, *, timeout: float | None = None) -> Sending:
        """Start to send a ``Message`` and return at once.

        Several sends may be outstanding; ``Sending.result`` waits for each of them. A message may
        be sent again. Raises ``SendError`` if the local queue is full: 128 MiB of outstanding sends
        fill it.
        """
        return self._core.send_async(message, timeout)

    def recv(self, timeout: float | None = None) -> Message:
        """Wait for a message.

        Raises ``MeshageTimeout`` if none arrives in time, ``NodeClosed`` once the node is closed and
        its queue is empty.
        """
        return self._core.recv(timeout)

    def recv_many(self, max: int = 256, timeout: float | None = None) -> list[Message]:
        """Wait for a message, then return up to ``max`` queued ones. Raises as ``recv`` does."""
        return self._core.recv_many(max, timeout)

    def __iter__(self) -> Iterator[Message]:
        """Yield messages as they arrive, until the node closes."""
        try:
            while True:
                yield self._core.recv(None)
        except NodeClosed:
            return

    def events(self) -> Events:
        """Subscribe to the node's events from now on.

        ``Events.mesh`` is the topology at this moment. Every later change is an event, so that no
        node is missed between the two.
        """
        return Events(self._core.events())

    def wait_for(self, nodes: int | Recipients, timeout: float | None = None) -> Mesh:
        """Wait until nodes are reachable and return the topology.

        A number is the size of the mesh, this node included. Raises ``MeshageTimeout``, whose
        message names some of the missing nodes.
        """
        return Mesh(self._core.wait_for(nodes, timeout))

    def close(self) -> None:
        """Leave the mesh and wake all calls that wait in the node.

        The node flushes for up to 2 s; ``close`` returns when this is done and the node's threads
        and descriptors are given back (the descriptor of ``fileno`` only with the node object).
        Queued messages can still be received. Closing a closed node does nothing.
        """
        self._begin_close()
        self._core.join(CLOSE_SECONDS_MAX)
        self._join_snooper(CLOSE_SECONDS_MAX)

    def __enter__(self) -> Self:
        self._core.check_open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
