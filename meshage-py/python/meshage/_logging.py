"""Passes the core's log to ``logging``. Nothing is logged until a program enables it."""

from __future__ import annotations

import logging
import threading

from meshage import _threads
from meshage._errors import InvalidArgument
from meshage._meshage import LogQueue

_running: list[threading.Thread] = []
"""The threads that log. All but the last one are about to end. No lock protects the list: a thread
that starts may let others run, and the operations on the list are atomic."""

JOIN_SECONDS_MAX = 1.0
"""How long disabling may wait for the queued lines: a handler that is stuck does not stop it."""


def enable_logging(level: int | str = logging.INFO) -> None:
    """Pass the core's log, from ``level`` upwards, to ``logging.getLogger("meshage")``.

    A level is a number or a name of ``logging``, in upper or lower case; an unknown name raises
    ``InvalidArgument``, a ``ValueError``. The core's modules are child loggers: ``meshage.net``,
    ``meshage.protocol`` …. Frames are logged at level 5. A second call changes the level. A separate
    thread logs the lines from a bounded queue. If it is too slow, lines are dropped and their number
    is logged. Raises ``ResourceError`` if the thread cannot start.
    """
    queue = LogQueue(min(max(_number(level), 0), 255))
    try:
        thread = _threads.start("logs", _run, (queue,), "meshage-log")
    except BaseException:
        LogQueue.stop()
        raise
    _running[:] = [*(earlier for earlier in list(_running) if earlier.is_alive()), thread]


def disable_logging() -> None:
    """Stop logging. Lines that are queued are logged first."""
    LogQueue.stop()
    while _running:
        thread = _running.pop()
        if thread is not threading.current_thread():
            thread.join(timeout=JOIN_SECONDS_MAX)


def _number(level: int | str) -> int:
    if not isinstance(level, str):
        return level
    levels = logging.getLevelNamesMapping()
    number = levels.get(level, levels.get(level.upper()))
    if number is None:
        names = ", ".join(sorted(levels, key=lambda name: (-levels[name], name)))
        raise InvalidArgument(f"unknown level {level[:100]!r}: use one of {names}, or a number")
    return number


def _run(queue: LogQueue) -> None:
    dropped = 0

    def log(lines: list[tuple[int, str, str]]) -> bool:
        nonlocal dropped
        for level, target, text in lines:
            logging.getLogger(target.replace("::", ".")).log(level, "%s", text)
        if queue.dropped > dropped:
            logging.getLogger("meshage").warning("%d lines dropped", queue.dropped - dropped)
            dropped = queue.dropped
        return True

    _threads.each_batch(queue, log)
