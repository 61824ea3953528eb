"""Types and constants of the whole package: bodies, recipients, outcomes, encodings.

"The original" is minimega's Go package ``meshage``, where some of the constants come from.
"""

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
"""A body: a ``str`` is sent as UTF-8 text, any other object with a buffer as bytes."""

Recipients: TypeAlias = str | Iterable[str]
"""Names of nodes; a bare ``str`` is one name."""

KeyLike: TypeAlias = bytes | bytearray | str
"""A key or a public key: 32 bytes, or its text as 64 hex digits or base64."""

DEFAULT_TIMEOUT: Final = 10.0
"""How long a send waits for acknowledgements, in seconds: the original's default."""
DEFAULT_MSA_TIMEOUT: Final = 10.0
"""How often a node compares what it knows of the mesh with its peers, in seconds."""
DEFAULT_PORT: Final = 9000
"""The TCP and UDP port: the original's default."""
RECEIVE_BUFFER: Final = 1024
"""The most messages that wait for the application: the original's default."""
SOLICIT_LIMIT: Final = 16
"""In a mesh of up to this many nodes, every eligible node responds to a solicitation."""
SOLICIT_RATIO: Final = 8
"""In a larger mesh, one in this many eligible nodes responds to a solicitation."""
LOLLIPOP_LENGTH: Final = 16
"""Announcement sequences up to this one are used only once, after a start."""
MAX_MESSAGE: Final = 64 << 20
"""The largest body, in bytes."""

ACK: Final = 0
"""The original's command for an acknowledgement."""
MSA: Final = 1
"""The original's command for a mesh state announcement."""
MESSAGE: Final = 2
"""The original's command for an application message: the only one that applications receive."""


class Outcome(IntEnum):
    """The outcome of a message at one recipient."""

    DELIVERED = 0
    """The message is in the recipient's queue."""
    NO_ROUTE = 1
    """Certainly not delivered: the recipient is unknown or unreachable."""
    BUSY = 2
    """Certainly not delivered: a queue on the path stayed full until the deadline."""
    TOO_LARGE = 3
    """Certainly not delivered: larger than the recipient's limit."""
    CANCELED = 4
    """Certainly not delivered: canceled before it was transmitted."""
    TIMEOUT = 5
    """Unknown: no acknowledgement by the deadline. It may still arrive."""
    LOST = 6
    """Unknown: a link or a node on the path failed."""

    @property
    def is_certain_failure(self) -> bool:
        """Whether the message certainly did not arrive, so that it is safe to send it again."""
        return self in _CERTAIN


_CERTAIN: Final = frozenset(
    {Outcome.NO_ROUTE, Outcome.BUSY, Outcome.TOO_LARGE, Outcome.CANCELED}
)


class Encoding(IntEnum):
    """The encoding of a body. Numbers from ``APPLICATION`` upwards are for applications."""

    BYTES = 0
    TEXT = 1
    JSON = 2
    BINCODE = 3
    GOB = 4
    APPLICATION = 1024
