"""One event loop's way to a node: two descriptors, and who waits for them.

    core ── message waits ───► node's descriptor ──────► _readable: wake one who waits to receive
    core ── operation ended ─► completions' descriptor ► _completed: all that ended, in one batch

A message stays in the core's queue until the coroutine that asked for it runs and takes it, so a
coroutine that is cancelled in between loses none.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import Any

from meshage._errors import InvalidArgument, MeshageTimeout
from meshage._meshage import Completions, Core

NOTHING_ARRIVED = "nothing arrived in time"


class Deadline:
    """The end of a wait, in the running loop's time."""

    __slots__ = ("_at",)

    def __init__(self, timeout: float | None) -> None:
        if timeout is not None and not timeout >= 0:
            raise InvalidArgument(f"{timeout} is no time to wait: give 0 or more seconds")
        forever = timeout is None or timeout == math.inf
        self._at = None if forever else asyncio.get_running_loop().time() + (timeout or 0)

    def left(self, now: float) -> float | None:
        """How many seconds are left; ``None`` where it never ends."""
        return None if self._at is None else max(self._at - now, 0.0)


class LoopDriver:
    """What a node needs of one event loop. Used from that loop's thread alone."""

    def __init__(self, loop: asyncio.AbstractEventLoop, core: Core) -> None:
        self.loop = loop
        self._core = core
        self._receivers: deque[asyncio.Future[None]] = deque()
        self._receive_fd = -1
        self.completions = Completions()
        self._complete_fd = -1
        self._under_way: dict[int, asyncio.Future[Any]] = {}
        self._stopped = False

    async def readable(self, deadline: Deadline) -> None:
        """Wait until a message may be there, or the node is closed."""
        left = deadline.left(self.loop.time())
        if left == 0:
            raise MeshageTimeout(NOTHING_ARRIVED)
        if self._receive_fd < 0:
            self._receive_fd = self._core.fileno()
            self.loop.add_reader(self._receive_fd, self._readable)
        future: asyncio.Future[None] = self.loop.create_future()
        self._receivers.append(future)
        alarm = None
        if left is not None:
            alarm = self.loop.call_later(left, _expire, future)
        try:
            await future
        except BaseException:
            # Given up: nobody need be woken for a message that it does not want.
            if future in self._receivers:
                self._receivers.remove(future)
            raise
        finally:
            if alarm is not None:
                alarm.cancel()

    def _readable(self) -> None:
        while self._receivers:
            future = self._receivers.popleft()
            if not future.done():
                future.set_result(None)
                return
        # Nobody waits: the descriptor stays readable, so stop looking at it until somebody does.
        self._stop_receiving()

    async def ended(self, token: int) -> Any:
        """Wait for the end of an operation of the core; cancelled, it cancels that too."""
        if self._complete_fd < 0:
            self._complete_fd = self.completions.fileno()
            self.loop.add_reader(self._complete_fd, self._completed)
        future: asyncio.Future[Any] = self.loop.create_future()
        self._under_way[token] = future
        try:
            return await future
        except asyncio.CancelledError:
            self.completions.forget(token)
            raise
        finally:
            del self._under_way[token]
            if self._stopped:
                self._stop_completing()

    def _completed(self) -> None:
        for token, value, error in self.completions.collect():
            future = self._under_way.get(token)
            if future is None or future.done():
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

    def _stop_receiving(self) -> None:
        if self._receive_fd >= 0:
            self.loop.remove_reader(self._receive_fd)
            self._receive_fd = -1

    def _stop_completing(self) -> None:
        if self._complete_fd >= 0 and not self._under_way:
            self.loop.remove_reader(self._complete_fd)
            self._complete_fd = -1

    def stop(self) -> None:
        """Let go of the loop. Who still waits to receive is woken, and finds the node closed."""
        if self.loop.is_closed():
            return
        self._stopped = True
        self._stop_receiving()
        self._stop_completing()
        while self._receivers:
            future = self._receivers.popleft()
            if not future.done():
                future.set_result(None)


def _expire(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(MeshageTimeout(NOTHING_ARRIVED))
