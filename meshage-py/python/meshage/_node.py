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
    """A participant of the mesh, for programs that wait.

    Every call may be made from any thread. A call that waits lets other threads run and answers
    Ctrl-C within 100 ms. Where a ``timeout`` is ``None``, a send waits for ``node.timeout``, a dial
    for 10 s, and all else for ever. A closed node raises ``NodeClosed``, one from before a fork
    ``ForkError``.
    """

    __slots__ = ()

    def dial(self, address: str, *, timeout: float | None = None) -> None:
        """Link to the node that listens at ``host``, ``host:port`` or ``[v6]:port``.

        Raises ``DialError``: nobody answers there, or one of the two nodes refuses.
        """
        self._core.dial(address, timeout)

    def hangup(self, peer: str) -> None:
        """Close the link to a peer; raises ``NotAPeer`` where there is none."""
        self._core.hangup(peer)

    def set(
        self,
        recipients: Recipients,
        body: Body,
        *,
        timeout: float | None = None,
        retry: bool = False,
    ) -> list[str]:
        """Send to the named nodes and wait until all have it; gives their names.

        With ``retry`` it sends again until the deadline, along whatever route there is. Raises
        ``SendError``, which says what became of each; with one recipient also ``MeshageTimeout`` or
        ``NoRoute``.
        """
        return self._core.set(recipients, body, timeout, retry)

    def broadcast(self, body: Body, *, timeout: float | None = None) -> list[str]:
        """Send to every reachable node and wait until all have it; gives their names.

        Raises as ``set`` does. On an empty mesh it gives an empty list.
        """
        return self._core.broadcast(body, timeout)

    def send(self, message: Message, *, timeout: float | None = None) -> list[str]:
        """Send a message made by hand; without recipients it goes to every reachable node."""
        return self._core.send(message, timeout)

    def send_async(self, message: Message, *, timeout: float | None = None) -> Sending:
        """Begin to send a message made by hand and give back at once.

        Many sends may be under way, which ``Sending.result`` waits for one by one. A message may be
        sent again. Raises ``SendError`` where the local queue is full, which 128 MiB under way fill.
        """
        return self._core.send_async(message, timeout)

    def recv(self, timeout: float | None = None) -> Message:
        """Wait for a message.

        Raises ``MeshageTimeout`` if none comes in time, ``NodeClosed`` once the node is closed and
        its queue is empty.
        """
        return self._core.recv(timeout)

    def recv_many(self, max: int = 256, timeout: float | None = None) -> list[Message]:
        """Wait for a message, then take up to ``max`` that are there. Raises as ``recv`` does."""
        return self._core.recv_many(max, timeout)

    def __iter__(self) -> Iterator[Message]:
        """Messages as they come, until the node closes."""
        try:
            while True:
                yield self._core.recv(None)
        except NodeClosed:
            return

    def events(self) -> Events:
        """Subscribe to what happens from now on."""
        return Events(self._core.events())

    def wait_for(self, nodes: int | Recipients, timeout: float | None = None) -> Mesh:
        """Wait until nodes are reachable; gives the topology then.

        A number is how many are on the mesh, this one included. Raises ``MeshageTimeout``, whose
        text names the missing.
        """
        return Mesh(self._core.wait_for(nodes, timeout))

    def close(self) -> None:
        """Leave the mesh and wake everyone who waits in the node.

        It flushes for up to 2 s and comes back when it is done. Closing again does nothing.
        """
        self._begin_close()
        self._core.join(CLOSE_SECONDS_MAX)

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
