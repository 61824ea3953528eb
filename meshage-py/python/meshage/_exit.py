"""Closes the nodes that are still open when the interpreter exits.

They are closed like any other node: their peers are notified, and threads that wait in them return
before the interpreter ends. In a forked child the parent's nodes are not closed.
"""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING
from weakref import WeakSet

from meshage import _meshage
from meshage._logging import disable_logging

if TYPE_CHECKING:
    from meshage._meshage import Core

CLOSE_SECONDS_MAX = 2.5
"""How long closing may take: the 2 s for which the core flushes, and a margin."""

_open: WeakSet[Core] = WeakSet()


def close_at_exit(core: Core) -> None:
    """Close this node at the interpreter's exit, if it still exists."""
    _open.add(core)


def _close_all() -> None:
    cores = [core for core in list(_open) if not core.forked]
    for core in cores:
        core.stop_snooping()
        core.close()
    for core in cores:
        core.join(CLOSE_SECONDS_MAX)
    disable_logging()
    _meshage.drain_waits()


atexit.register(_close_all)
