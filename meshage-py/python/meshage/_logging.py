"""Passes the core's log to ``logging``. Nothing is logged until a program enables it."""

from __future__ import annotations

import logging
import threading

from meshage._meshage import LogQueue

_lock = threading.Lock()
_thread: threading.Thread | None = None


def enable_logging(level: int | str = logging.INFO) -> None:
    """Pass the core's log, from ``level`` upwards, to ``logging.getLogger("meshage")``.

    The core's modules are child loggers: ``meshage.net``, ``meshage.protocol`` …. Frames are logged
    at level 5. A second call changes the level. A separate thread logs the lines from a bounded
    queue. If it is too slow, lines are dropped and their number is logged.
    """
    number = logging.getLevelNamesMapping()[level] if isinstance(level, str) else level
    global _thread
    with _lock:
        queue = LogQueue(min(max(number, 0), 255))
        _thread = threading.Thread(target=_run, args=(queue,), name="meshage-log", daemon=True)
        _thread.start()


def disable_logging() -> None:
    """Stop logging. Lines that are queued are logged first."""
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
