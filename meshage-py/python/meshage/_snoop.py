"""Showing passing messages to the application, from a thread of their own."""

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

    It holds the queue, not the node, and between two messages its thread does not hold the function
    either: a forgotten node is collected and closed though it was snooped on, even by a method of
    its owner.
    """

    __slots__ = ("__weakref__", "_queue", "callback")

    def __init__(self, core: Core, callback: Callable[[Message], None]) -> None:
        self.callback = callback
        self._queue: SnoopQueue = core.snoop()
        name = f"meshage-snoop-{core.name}"
        arguments = (self._queue, weakref.ref(self))
        threading.Thread(target=_run, args=arguments, name=name, daemon=True).start()

    def stop(self) -> None:
        """Ends the queue; a call under way is not waited for."""
        self._queue.end()


def _run(queue: SnoopQueue, snooper: weakref.ref[Snooper]) -> None:
    while messages := queue.take():
        if not _show(messages, snooper):
            return
        # Nothing is kept while it waits for more.
        del messages


def _show(messages: list[Message], snooper: weakref.ref[Snooper]) -> bool:
    """Shows them; false if there is nobody left to show them to."""
    there = snooper()
    if there is None:
        return False
    for message in messages:
        try:
            there.callback(message)
        except Exception:
            _log.exception("the snoop callback failed on %r", message)
    return True
