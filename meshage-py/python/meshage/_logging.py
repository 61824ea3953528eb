"""The core's log, handed to ``logging``. Nothing is logged until a program asks for it."""

from __future__ import annotations

import logging
import threading

from meshage._meshage import LogQueue

_lock = threading.Lock()
_thread: threading.Thread | None = None


def enable_logging(level: int | str = logging.INFO) -> None:
    """Hand the core's log, from ``level`` on, to ``logging.getLogger("meshage")``.

    The core's modules are loggers below it: ``meshage.net``, ``meshage.protocol`` …. Frames are
    logged at level 5. Called again, it changes the level. Lines wait in a bounded queue for a
    thread of their own; where that is too slow, lines are dropped and their number is logged.
    """
    number = logging.getLevelNamesMapping()[level] if isinstance(level, str) else level
    global _thread
    with _lock:
        queue = LogQueue(min(max(number, 0), 255))
        _thread = threading.Thread(target=_run, args=(queue,), name="meshage-log", daemon=True)
        _thread.start()


def disable_logging() -> None:
    """Stop it; what was logged before is handed on first."""
    global _thread
    with _lock:
        LogQueue.stop()
        thread, _thread = _thread, None
    if thread is not None and thread is not threading.current_thread():
        thread.join(timeout=1.0)


def _run(queue: LogQueue) -> None:
    dropped = 0
    while lines := queue.take():
        for level, target, text in lines:
            logging.getLogger(target.replace("::", ".")).log(level, "%s", text)
        if queue.dropped > dropped:
            logging.getLogger("meshage").warning("%d lines dropped", queue.dropped - dropped)
            dropped = queue.dropped
