"""The exceptions. Each is a ``MeshageError`` and the built-in one that a caller would catch; each
can be pickled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from meshage._types import Outcome


class MeshageError(Exception):
    """Whatever this package raises."""


class _WithOutcomes(MeshageError):
    """An exception that knows what became of a message at each recipient."""

    delivered: list[str]
    failed: dict[str, Outcome]

    def __init__(
        self,
        message: str = "",
        delivered: Iterable[str] = (),
        failed: Mapping[str, int] | Iterable[tuple[str, int]] = (),
    ) -> None:
        super().__init__(message)
        self.delivered = list(delivered)
        self.failed = {name: Outcome(number) for name, number in dict(failed).items()}

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.delivered, self.failed)


class MeshageTimeout(_WithOutcomes, TimeoutError):
    """The time was up. Of a send to one node: its outcome is unknown, it may still arrive."""


class SendError(_WithOutcomes, ConnectionError):
    """A message did not reach all of its recipients: ``delivered`` and ``failed`` name them."""


class NoRoute(SendError):
    """The only recipient is unknown or cannot be reached: certainly not delivered."""


class RecipientError(SendError, ValueError):
    """Nobody to send to: no recipient was named, or only the sender itself. Nothing was sent."""


class MessageTooLarge(MeshageError, ValueError):
    """The body is larger than the node's ``max_message``. Nothing was sent."""


class InvalidArgument(MeshageError, ValueError):
    """A name, an address, a time or a number is not one that can be used; the text says why."""


class DialError(MeshageError, ConnectionError):
    """A dial did not lead to a link. Where the system had a reason, ``errno`` has it."""


class DialTimeout(DialError, MeshageTimeout):
    """A dial did not lead to a link in time."""

    def __init__(self, message: str = "") -> None:
        MeshageTimeout.__init__(self, message)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self),)


class HandshakeError(DialError):
    """What answered the dial is no mesh node, or one of another version of the protocol."""


class NotAPeer(MeshageError, LookupError):
    """There is no link to this node."""


class BindError(MeshageError, OSError):
    """The node could not listen; ``errno`` says why, as of any ``OSError``."""


class NodeClosed(MeshageError, RuntimeError):
    """The node is closed."""


class ForkError(MeshageError, RuntimeError):
    """The node was started before a fork and belongs to the parent process."""
