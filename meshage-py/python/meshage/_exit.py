"""What happens to nodes that are still open when the interpreter exits.

They are closed in order, like any other: their peers learn that they left, and threads that wait in
them come out before the interpreter ends. In a forked child there is nothing of them to close.
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
"""How long closing may take: the 2 s that the core flushes for, and some."""

_open: WeakSet[Core] = WeakSet()


def remember(core: Core) -> None:
    """Close this node at the interpreter's exit, if it is still there."""
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
