"""Threads that take batches from a queue of the native module.

A thread waits with ``recv`` on a socket, and both come from the standard library at the moment of
the start. If a program has replaced them by cooperative ones (gevent, eventlet), the thread is a
cooperative one, and its wait lets the others run.
"""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from meshage._errors import ResourceError

T = TypeVar("T")

WAKEUPS_MAX = 64
"""How many wakeups are read at once; usually there is one."""


class Queue(Protocol[T]):
    """A queue of the native module."""

    def detach(self) -> int | None: ...
    def take(self) -> list[T]: ...


def start(
    what: str, target: Callable[..., object], arguments: tuple[object, ...], name: str
) -> threading.Thread:
    """Start a daemon thread; raises ``ResourceError``, which names ``what`` the thread is for."""
    thread = threading.Thread(target=target, args=arguments, name=name, daemon=True)
    try:
        thread.start()
    except (RuntimeError, MemoryError) as error:
        raise ResourceError(
            errno.EAGAIN,
            f"cannot start the thread that {what}: {error}; "
            "raise the limit on threads (ulimit -u, or pids.max of the container)",
        ) from error
    return thread


def each_batch(queue: Queue[Any], handle: Callable[[list[Any]], bool]) -> None:
    """Pass each batch of a queue to ``handle``, until it returns ``False`` or the queue has ended.

    No batch is referenced during a wait.
    """
    descriptor = queue.detach()
    if descriptor is None:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=descriptor) as readable:
        # The queue makes the socket readable when it is no longer empty, and ends it with itself.
        while readable.recv(WAKEUPS_MAX):
            if not handle(queue.take()):
                return
        handle(queue.take())
