"""The node for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from meshage._base import NodeBase
from meshage._errors import NodeClosed
from meshage._events import Event, event_of
from meshage._loop import Deadline, LoopDriver
from meshage._mesh import Mesh
from meshage._meshage import Core, EventStream, Message
from meshage._types import Body, Recipients

TAKEN_INLINE_MAX = 128
"""How many messages are taken in a row before other coroutines get their turn."""


class AsyncNode(NodeBase):
    """A participant of the mesh, for asyncio programs.

    The constructor is that of ``Node`` and does not wait. A coroutine that is cancelled while it
    receives loses no message; one that is cancelled while it sends cancels the send. A node may be
    used from several event loops, one after the other or at the same time in several threads; a
    message goes to one of those who wait.
    """

    __slots__ = ("_drivers", "_taken")

    _drivers: dict[asyncio.AbstractEventLoop, LoopDriver]
    _taken: int

    def _prepare(self) -> None:
        self._drivers = {}
        self._taken = 0

    def _driver(self) -> LoopDriver:
        # A loop does not outlive a fork either: which of the two it was should be plain.
        self._core.check_here()
        loop = asyncio.get_running_loop()
        driver = self._drivers.get(loop)
        if driver is None:
            for other in [other for other in list(self._drivers) if other.is_closed()]:
                self._drivers.pop(other, None)
            driver = self._drivers[loop] = LoopDriver(loop, self._core)
        return driver

    async def dial(self, address: str, *, timeout: float | None = None) -> None:
        """As ``Node.dial``."""
        driver = self._driver()
        await driver.ended(self._core.begin_dial(driver.completions, address, timeout))

    async def hangup(self, peer: str) -> None:
        """As ``Node.hangup``."""
        driver = self._driver()
        await driver.ended(self._core.begin_hangup(driver.completions, peer))

    async def set(
        self,
        recipients: Recipients,
        body: Body,
        *,
        timeout: float | None = None,
        retry: bool = False,
    ) -> list[str]:
        """As ``Node.set``."""
        driver = self._driver()
        names: list[str] = await driver.ended(
            self._core.begin_set(driver.completions, recipients, body, timeout, retry)
        )
        return names

    async def broadcast(self, body: Body, *, timeout: float | None = None) -> list[str]:
        """As ``Node.broadcast``."""
        driver = self._driver()
        names: list[str] = await driver.ended(
            self._core.begin_broadcast(driver.completions, body, timeout)
        )
        return names

    async def send(self, message: Message, *, timeout: float | None = None) -> list[str]:
        """As ``Node.send``."""
        driver = self._driver()
        names: list[str] = await driver.ended(
            self._core.begin_send(driver.completions, message, timeout)
        )
        return names

    async def recv(self, timeout: float | None = None) -> Message:
        """As ``Node.recv``."""
        self._taken += 1
        if self._taken > TAKEN_INLINE_MAX:
            await self._give_way()
        message = self._core.try_recv()
        return await self._arrival(timeout) if message is None else message

    async def _arrival(self, timeout: float | None) -> Message:
        """The next message; there is none yet."""
        driver, deadline = self._driver(), Deadline(timeout)
        while True:
            await driver.readable(deadline)
            message = self._core.try_recv()
            if message is not None:
                return message

    async def recv_many(self, max: int = 256, timeout: float | None = None) -> list[Message]:
        """As ``Node.recv_many``."""
        if self._taken >= TAKEN_INLINE_MAX:
            await self._give_way()
        messages = self._core.try_recv_many(max)
        if not messages:
            driver, deadline = self._driver(), Deadline(timeout)
            while not messages:
                await driver.readable(deadline)
                messages = self._core.try_recv_many(max)
        self._taken += len(messages)
        return messages

    async def _give_way(self) -> None:
        """Let other coroutines run, before anything is taken."""
        self._taken = 0
        self._core.check_here()
        await asyncio.sleep(0)

    async def __aiter__(self) -> AsyncIterator[Message]:
        """Messages as they come, until the node closes."""
        try_recv = self._core.try_recv
        while True:
            self._taken += 1
            if self._taken > TAKEN_INLINE_MAX:
                await self._give_way()
            try:
                message = try_recv()
                if message is None:
                    message = await self._arrival(None)
            except NodeClosed:
                return
            yield message

    async def batches(self, max: int = 256) -> AsyncIterator[list[Message]]:
        """Lists of up to ``max`` messages as they come, until the node closes."""
        while True:
            try:
                messages = await self.recv_many(max)
            except NodeClosed:
                return
            yield messages

    def events(self) -> AsyncEvents:
        """Subscribe to what happens from now on."""
        return AsyncEvents(self, self._core.events())

    async def wait_for(self, nodes: int | Recipients, timeout: float | None = None) -> Mesh:
        """As ``Node.wait_for``."""
        driver = self._driver()
        return Mesh(
            await driver.ended(self._core.begin_wait_for(driver.completions, nodes, timeout))
        )

    def close(self) -> None:
        """Begin to close, from any thread, and give back at once. Everyone who waits is woken."""
        self._begin_close()

    async def aclose(self) -> None:
        """Leave the mesh; comes back when that is done, after 2 s at most. Idempotent."""
        self.close()
        if self._core.forked:
            return
        driver = self._driver()
        await driver.ended(self._core.begin_join(driver.completions))
        driver.stop()
        self._drivers.pop(driver.loop, None)

    async def __aenter__(self) -> Self:
        self._core.check_open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        super().__del__()
        core: Core | None = getattr(self, "_core", None)
        if core is None or core.forked:
            return
        for loop, driver in self._drivers.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(driver.stop)


class AsyncEvents(AsyncIterator[Event]):
    """A subscription to a node's events, from the moment it was made; it ends when the node closes.

    One coroutine at a time waits on it. What nobody takes is kept, up to 4,096 events.
    """

    __slots__ = ("_node", "_stream")

    def __init__(self, node: AsyncNode, stream: EventStream) -> None:
        self._node = node
        self._stream = stream

    def __aiter__(self) -> AsyncEvents:
        return self

    async def __anext__(self) -> Event:
        event = await self.next()
        if event is None:
            raise StopAsyncIteration
        return event

    async def next(self) -> Event | None:
        """Wait for an event; ``None`` once the node is closed."""
        driver = self._node._driver()
        return event_of(await driver.ended(self._stream.begin_next(driver.completions)))
