"""Calls the snoop callback for passing messages, from a separate thread."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshage._meshage import Core, Message, SnoopQueue

_log = logging.getLogger("meshage.snoop")


class Snooper:
    """Calls a function for each message of a queue until the queue ends.

    It references the queue, not the node. Between two batches its thread does not reference the
    function either. An unreferenced node is therefore collected and closed, even if its callback is
    a method of its owner.
    """

    __slots__ = ("__weakref__", "_queue", "callback")

    def __init__(self, core: Core, callback: Callable[[Message], None]) -> None:
        self.callback = callback
        self._queue: SnoopQueue = core.snoop()
        name = f"meshage-snoop-{core.name}"
        arguments = (self._queue, weakref.ref(self))
        threading.Thread(target=_run, args=arguments, name=name, daemon=True).start()

    def stop(self) -> None:
        """End the queue without waiting for a call that is in progress."""
        self._queue.end()


def _run(queue: SnoopQueue, snooper: weakref.ref[Snooper]) -> None:
    while messages := queue.take():
        if not _call(messages, snooper):
            return
        # Keep no reference while waiting for more messages.
        del messages


def _call(messages: list[Message], snooper: weakref.ref[Snooper]) -> bool:
    """Pass the messages to the callback; ``False`` if the snooper no longer exists."""
    alive = snooper()
    if alive is None:
        return False
    for message in messages:
        try:
            alive.callback(message)
        except Exception:
            _log.exception("the snoop callback raised an exception for %r", message)
    return True
