"""Calls the snoop callback for passing messages, from a separate thread."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from meshage import _threads

if TYPE_CHECKING:
    from meshage._meshage import Core, Message, SnoopQueue

_log = logging.getLogger("meshage.snoop")


class Snooper:
    """Calls a function for each message of a queue until the queue ends.

    It references the queue, not the node. Between two batches its thread does not reference the
    function either. An unreferenced node is therefore collected and closed, even if its callback is
    a method of its owner.
    """

    __slots__ = ("__weakref__", "_queue", "_thread", "callback", "is_calling")

    def __init__(self, core: Core, callback: Callable[[Message], None]) -> None:
        self.callback = callback
        self.is_calling = False
        self._queue: SnoopQueue = core.snoop()
        arguments = (self._queue, weakref.ref(self))
        try:
            self._thread = _threads.start(
                "calls the snoop callback", _run, arguments, f"meshage-snoop-{core.name}"
            )
        except BaseException:
            core.stop_snooping()
            raise

    def stop(self) -> None:
        """End the queue without waiting for a call that is in progress."""
        self._queue.end()

    def join(self, timeout: float) -> None:
        """Wait until the thread has ended, unless a call is in progress."""
        if not self.is_calling and self._thread is not threading.current_thread():
            self._thread.join(timeout)


def _run(queue: SnoopQueue, snooper: weakref.ref[Snooper]) -> None:
    _threads.each_batch(queue, lambda messages: _call(messages, snooper))


def _call(messages: list[Message], snooper: weakref.ref[Snooper]) -> bool:
    """Pass the messages to the callback; ``False`` if the snooper no longer exists."""
    alive = snooper()
    if alive is None:
        return False
    alive.is_calling = True
    for message in messages:
        try:
            alive.callback(message)
        except Exception:
            _log.exception("the snoop callback raised an exception for %r", message)
    alive.is_calling = False
    return True
