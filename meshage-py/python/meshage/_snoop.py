"""Showing passing messages to the application, from a thread of their own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshage._meshage import Core, Message, SnoopQueue

_log = logging.getLogger("meshage.snoop")


class Snooper:
    """Calls a function for each message of a queue until the queue ends.

    It holds the queue, not the node: a forgotten node is closed though it was snooped on.
    """

    __slots__ = ("_queue", "callback")

    def __init__(self, core: Core, callback: Callable[[Message], None]) -> None:
        self.callback = callback
        self._queue: SnoopQueue = core.snoop()
        name = f"meshage-snoop-{core.name}"
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def stop(self) -> None:
        """Ends the queue; a call under way is not waited for."""
        self._queue.end()

    def _run(self) -> None:
        while messages := self._queue.take():
            for message in messages:
                try:
                    self.callback(message)
                except Exception:
                    _log.exception("the snoop callback failed on %r", message)
