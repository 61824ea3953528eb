"""The asyncio node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from meshage._base import NodeBase
from meshage._errors import MeshageTimeout, NodeClosed
from meshage._events import Event, Subscription, event_of
from meshage._exit import CLOSE_SECONDS_MAX
from meshage._loop import Deadline, LoopDriver
from meshage._mesh import Mesh
from meshage._meshage import Core, EventStream, Message
from meshage._types import Body, Recipients

RECEIVED_INLINE_MAX = 128
"""How many messages are received in a row before other coroutines may run."""


class AsyncNode(NodeBase):
    """A node of the mesh, for asyncio programs.

    The constructor is that of ``Node`` and does not block. Cancelling a coroutine that receives
    loses no message. Cancelling one that sends cancels the send. A node may be used from several
    event loops, one after the other, or at the same time in several threads. Each message goes to
    one of the waiting receivers.
    """

    __slots__ = ("_drivers", "_received_in_a_row")

    _drivers: dict[asyncio.AbstractEventLoop, LoopDriver]
    _received_in_a_row: int

    def _prepare(self) -> None:
        self._drivers = {}
        self._received_in_a_row = 0

    def _driver(self) -> LoopDriver:
        # After a fork there is no running loop either. The error should report the fork.
        self._core.check_unforked()
        loop = asyncio.get_running_loop()
        driver = self._drivers.get(loop)
        if driver is None:
            for other in [other for other in list(self._drivers) if other.is_closed()]:
                self._drop_driver(other)
            driver = LoopDriver(loop, self._core)
            if self._core.closed:
                # Nothing would stop it: it detaches from the loop after its first use.
                driver.stop()
            else:
                self._drivers[loop] = driver
        return driver

    def _drop_driver(self, loop: asyncio.AbstractEventLoop) -> None:
        """Detach from an event loop, which may run in another thread or be closed."""
        driver = self._drivers.pop(loop, None)
        if driver is None:
            return
        try:
            loop.call_soon_threadsafe(driver.stop)
        except RuntimeError:
            driver.abandon()

    async def dial(self, address: str, *, timeout: float | None = None) -> None:
        """As ``Node.dial``."""
        driver = self._driver()
        await driver.result(self._core.begin_dial(driver.completions, address, timeout))

    async def hangup(self, peer: str) -> None:
        """As ``Node.hangup``."""
        driver = self._driver()
        await driver.result(self._core.begin_hangup(driver.completions, peer))

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
        names: list[str] = await driver.result(
            self._core.begin_set(driver.completions, recipients, body, timeout, retry)
        )
        return names

    async def broadcast(self, body: Body, *, timeout: float | None = None) -> list[str]:
        """As ``Node.broadcast``."""
        driver = self._driver()
        names: list[str] = await driver.result(
            self._core.begin_broadcast(driver.completions, body, timeout)
        )
        return names

    async def send(self, message: Message, *, timeout: float | None = None) -> list[str]:
        """As ``Node.send``."""
        driver = self._driver()
        names: list[str] = await driver.result(
            self._core.begin_send(driver.completions, message, timeout)
        )
        return names

    async def recv(self, timeout: float | None = None) -> Message:
        """As ``Node.recv``."""
        self._received_in_a_row += 1
        if self._received_in_a_row > RECEIVED_INLINE_MAX:
            await self._yield_to_loop()
        message = self._core.try_recv()
        return await self._wait_for_message(timeout) if message is None else message

    async def _wait_for_message(self, timeout: float | None) -> Message:
        """Wait for the next message; the queue is empty."""
        driver, deadline = self._driver(), Deadline(timeout)
        while True:
            await driver.readable(deadline)
            message = self._core.try_recv()
            if message is not None:
                return message

    async def recv_many(self, max: int = 256, timeout: float | None = None) -> list[Message]:
        """As ``Node.recv_many``."""
        if self._received_in_a_row >= RECEIVED_INLINE_MAX:
            await self._yield_to_loop()
        messages = self._core.try_recv_many(max)
        if not messages:
            driver, deadline = self._driver(), Deadline(timeout)
            while not messages:
                await driver.readable(deadline)
                messages = self._core.try_recv_many(max)
        self._received_in_a_row += len(messages)
        return messages

    async def _yield_to_loop(self) -> None:
        """Let other coroutines run before the next message is received."""
        self._received_in_a_row = 0
        self._core.check_unforked()
        await asyncio.sleep(0)

    async def __aiter__(self) -> AsyncIterator[Message]:
        """Yield messages as they arrive, until the node closes."""
        try_recv = self._core.try_recv
        while True:
            self._received_in_a_row += 1
            if self._received_in_a_row > RECEIVED_INLINE_MAX:
                await self._yield_to_loop()
            try:
                message = try_recv()
                if message is None:
                    message = await self._wait_for_message(None)
            except NodeClosed:
                return
            yield message

    async def batches(self, max: int = 256) -> AsyncIterator[list[Message]]:
        """Yield lists of up to ``max`` messages as they arrive, until the node closes."""
        while True:
            try:
                messages = await self.recv_many(max)
            except NodeClosed:
                return
            yield messages

    def events(self) -> AsyncEvents:
        """As ``Node.events``."""
        return AsyncEvents(self, self._core.events())

    async def wait_for(self, nodes: int | Recipients, timeout: float | None = None) -> Mesh:
        """As ``Node.wait_for``."""
        driver = self._driver()
        return Mesh(
            await driver.result(self._core.begin_wait_for(driver.completions, nodes, timeout))
        )

    def close(self) -> None:
        """Start to close and return at once, from any thread. All waiting calls are woken.

        When the node is closed, its threads and descriptors are given back.
        """
        self._begin_close()
        for loop in list(self._drivers):
            self._drop_driver(loop)
        self._core.release()

    async def aclose(self) -> None:
        """Leave the mesh and wait until this is done, for 2 s at most. Idempotent.

        Then the node's threads and descriptors are given back, as after ``Node.close``.
        """
        self.close()
        if self._core.forked:
            return
        driver = self._driver()
        try:
            token = self._core.begin_join(driver.completions)
            await driver.result(token, Deadline(CLOSE_SECONDS_MAX))
        except MeshageTimeout:
            pass
        finally:
            self._snooper = None

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
        for loop in list(self._drivers):
            self._drop_driver(loop)


class AsyncEvents(Subscription, AsyncIterator[Event]):
    """A subscription to a node's events, from its creation until the node closes.

    It begins with the changes after ``mesh``: earlier events are not repeated. One coroutine at a
    time may wait on it; a second one gets ``BusyError``. Up to 4,096 events are queued. Cancelling a
    coroutine that waits loses no event.
    """

    __slots__ = ("_node",)

    def __init__(self, node: AsyncNode, stream: EventStream) -> None:
        super().__init__(stream)
        self._node = node

    def __aiter__(self) -> AsyncEvents:
        return self

    async def __anext__(self) -> Event:
        event = await self.next()
        if event is None:
            raise StopAsyncIteration
        return event

    async def next(self, timeout: float | None = None) -> Event | None:
        """Wait for an event; ``None`` once the node is closed.

        Raises ``MeshageTimeout`` if no event arrives in time.
        """
        driver, deadline = self._node._driver(), Deadline(timeout)
        token = self._stream.begin_wait(driver.completions)
        try:
            await driver.result(token, deadline, "no event arrived in time")
        except MeshageTimeout:
            event = event_of(self._stream.try_next())
            if event is None:
                raise
            return event
        return event_of(self._stream.try_next())
