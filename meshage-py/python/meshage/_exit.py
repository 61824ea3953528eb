"""Closes the nodes that are still open when the interpreter exits.

They are closed like any other node: their peers are notified, and threads that wait in them return
before the interpreter ends. A daemon thread that does not handle the ``NodeClosed`` of this moment
ends without a traceback. In a forked child the parent's nodes are not closed.
"""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar
from weakref import WeakSet

from meshage import _meshage
from meshage._errors import NodeClosed
from meshage._logging import disable_logging

if TYPE_CHECKING:
    from meshage._meshage import Core

CLOSE_SECONDS_MAX = 2.5
"""How long closing may take: the 2 s for which the core flushes, and a margin."""

_open: WeakSet[Core] = WeakSet()


def close_at_exit(core: Core) -> None:
    """Close this node at the interpreter's exit, if it still exists."""
    _open.add(core)


class _Uncaught(Protocol):
    """What a hook for uncaught exceptions gets."""

    @property
    def exc_type(self) -> type[BaseException]: ...


_Args = TypeVar("_Args", bound=_Uncaught)


def _without_closed(hook: Callable[[_Args], object]) -> Callable[[_Args], None]:
    """The hook, but not for ``NodeClosed``."""

    def quiet(args: _Args) -> None:
        if not issubclass(args.exc_type, NodeClosed):
            hook(args)

    return quiet


def _close_all() -> None:
    cores = [core for core in list(_open) if not core.forked]
    if any(not core.closed for core in cores):
        # Only daemon threads are left: Python has waited for all others.
        threading.excepthook = _without_closed(threading.excepthook)
        sys.unraisablehook = _without_closed(sys.unraisablehook)
    for core in cores:
        core.stop_snooping()
        core.close()
    for core in cores:
        core.join(CLOSE_SECONDS_MAX)
    disable_logging()
    _meshage.drain_waits()


atexit.register(_close_all)
