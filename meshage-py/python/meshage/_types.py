"""Words that the whole package shares: what is sent, to whom, and what became of it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from typing_extensions import Buffer
elif sys.version_info >= (3, 12):
    from collections.abc import Buffer
else:
    Buffer = bytes | bytearray | memoryview

Body: TypeAlias = Buffer | str
"""A body: a ``str`` travels as UTF-8 text, anything else that has a buffer as bytes."""

Recipients: TypeAlias = str | Iterable[str]
"""Names of nodes; a bare ``str`` is one of them."""

DEFAULT_TIMEOUT: Final = 10.0
"""How long a send waits for acknowledgements, in seconds: the original's."""
DEFAULT_MSA_TIMEOUT: Final = 10.0
"""How often a node announces its links though nothing changed, in seconds: the original's."""
DEFAULT_PORT: Final = 9000
"""The TCP and UDP port: the original's."""
RECEIVE_BUFFER: Final = 1024
"""How many messages wait for the application at most: the original's."""
SOLICIT_LIMIT: Final = 16
"""Up to this many nodes in the mesh, every eligible one answers a solicitation."""
SOLICIT_RATIO: Final = 8
"""In a larger mesh one node in so many answers a solicitation."""
LOLLIPOP_LENGTH: Final = 16
"""Sequences of announcements up to this one are used once after a start, never again."""
MAX_MESSAGE: Final = 64 << 20
"""The largest body, in bytes."""

ACK: Final = 0
"""The original's command for an acknowledgement."""
MSA: Final = 1
"""The original's command for a mesh state announcement."""
MESSAGE: Final = 2
"""The original's command for an application's message: the only one that an application sees."""


class Outcome(IntEnum):
    """What became of a message at one recipient."""

    DELIVERED = 0
    """It is in the receiver's queue."""
    NO_ROUTE = 1
    """Certainly not delivered: the recipient is unknown or cannot be reached."""
    BUSY = 2
    """Certainly not delivered: a queue on the way stayed full to the deadline."""
    TOO_LARGE = 3
    """Certainly not delivered: larger than the recipient takes."""
    CANCELED = 4
    """Certainly not delivered: taken back before it left."""
    TIMEOUT = 5
    """Unknown: no acknowledgement by the deadline. It may still arrive."""
    LOST = 6
    """Unknown: the link or the node it was travelling through failed."""

    @property
    def is_certain_failure(self) -> bool:
        """Whether the message certainly did not arrive, so that sending it again is safe."""
        return self in _CERTAIN


_CERTAIN: Final = frozenset(
    {Outcome.NO_ROUTE, Outcome.BUSY, Outcome.TOO_LARGE, Outcome.CANCELED}
)


class Encoding(IntEnum):
    """How a body is to be read. Numbers from ``APPLICATION`` on belong to applications."""

    BYTES = 0
    TEXT = 1
    JSON = 2
    BINCODE = 3
    GOB = 4
    APPLICATION = 1024
