"""Connects one event loop to a node through two descriptors.

    core ── message queued ────► node's descriptor ───────► _readable: wake one receiver
    core ── operation completed ► completions' descriptor ► _completed: resolve a batch of futures

A message stays in the core's queue until the coroutine that waits for it runs and takes it. A
coroutine that is cancelled in between therefore loses no message.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import Any

from meshage._errors import InvalidArgument, MeshageTimeout
from meshage._meshage import Completions, Core

RECEIVE_TIMED_OUT = "nothing arrived in time"


class Deadline:
    """The deadline of a wait, in the running loop's time."""

    __slots__ = ("_at",)

    def __init__(self, timeout: float | None) -> None:
        if timeout is not None and not timeout >= 0:
            raise InvalidArgument(f"{timeout} is not a valid duration: use 0 or more seconds")
        forever = timeout is None or timeout == math.inf
        self._at = None if forever else asyncio.get_running_loop().time() + (timeout or 0)

    def left(self, now: float) -> float | None:
        """The seconds that are left; ``None`` without a limit."""
        return None if self._at is None else max(self._at - now, 0.0)


class LoopDriver:
    """A node's state for one event loop. Only that loop's thread uses it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, core: Core) -> None:
        self.loop = loop
        self._core = core
        self._receivers: deque[asyncio.Future[None]] = deque()
        self._receive_fd = -1
        self.completions = Completions()
        self._complete_fd = -1
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._stopped = False

    async def readable(self, deadline: Deadline) -> None:
        """Wait until a message may be queued or the node is closed."""
        left = deadline.left(self.loop.time())
        if left == 0:
            raise MeshageTimeout(RECEIVE_TIMED_OUT)
        if self._receive_fd < 0:
            self._receive_fd = self._core.borrow_descriptor()
            self.loop.add_reader(self._receive_fd, self._readable)
        future: asyncio.Future[None] = self.loop.create_future()
        self._receivers.append(future)
        timer = None
        if left is not None:
            timer = self.loop.call_later(left, _expire, future, RECEIVE_TIMED_OUT)
        try:
            await future
        except BaseException:
            # The receiver is gone: wake the next one for the next message instead.
            if future in self._receivers:
                self._receivers.remove(future)
            raise
        finally:
            if timer is not None:
                timer.cancel()
            if self._stopped and not self._receivers:
                self._stop_receiving()

    def _readable(self) -> None:
        while self._receivers:
            future = self._receivers.popleft()
            if not future.done():
                future.set_result(None)
                return
        # No coroutine waits, and the descriptor stays readable: stop watching it until one does.
        self._stop_receiving()

    async def result(
        self, token: int, deadline: Deadline | None = None, timed_out: str = "no result in time"
    ) -> Any:
        """Wait for the result of an operation of the core.

        Cancellation and the deadline cancel the operation.
        """
        if self._complete_fd < 0:
            self._complete_fd = self.completions.fileno()
            self.loop.add_reader(self._complete_fd, self._completed)
        future: asyncio.Future[Any] = self.loop.create_future()
        self._pending[token] = future
        left = None if deadline is None else deadline.left(self.loop.time())
        timer = None
        if left is not None:
            timer = self.loop.call_later(left, _expire, future, timed_out)
        try:
            return await future
        except (asyncio.CancelledError, MeshageTimeout):
            # This does nothing if it was the operation that timed out.
            self.completions.cancel(token)
            raise
        finally:
            if timer is not None:
                timer.cancel()
            del self._pending[token]
            if self._stopped:
                self._stop_completing()

    def _completed(self) -> None:
        for token, value, error in self.completions.collect():
            future = self._pending.get(token)
            if future is None or future.done():
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

    def _stop_receiving(self) -> None:
        if self._receive_fd >= 0:
            self.loop.remove_reader(self._receive_fd)
            self._return_descriptor()

    def _return_descriptor(self) -> None:
        if self._receive_fd >= 0:
            self._receive_fd = -1
            self._core.return_descriptor()

    def _stop_completing(self) -> None:
        if self._complete_fd >= 0 and not self._pending:
            self.loop.remove_reader(self._complete_fd)
            self._complete_fd = -1

    def stop(self) -> None:
        """Detach from the loop. Waiting receivers are woken and find the node closed."""
        if self.loop.is_closed():
            self.abandon()
            return
        self._stopped = True
        self._stop_receiving()
        self._stop_completing()
        while self._receivers:
            future = self._receivers.popleft()
            if not future.done():
                future.set_result(None)


    def abandon(self) -> None:
        """Detach from a loop that is closed, which watches no descriptor any more."""
        self._return_descriptor()


def _expire(future: asyncio.Future[Any], text: str) -> None:
    if not future.done():
        future.set_exception(MeshageTimeout(text))
