"""The exceptions. Each is a ``MeshageError`` and also the built-in exception that a caller would
catch. All can be pickled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from meshage._types import Outcome


class MeshageError(Exception):
    """The base class of all exceptions of this package.

    Besides them, an argument of a wrong type raises ``TypeError``, a body that cannot be encoded
    ``UnicodeEncodeError``, and a coroutine outside a running event loop ``RuntimeError``.
    """


class _OutcomeError(MeshageError):
    """An exception with the outcome of a message at each recipient."""

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


class MeshageTimeout(_OutcomeError, TimeoutError):
    """A timeout passed. After a send to one node its outcome is unknown: it may still arrive."""


class SendError(_OutcomeError, ConnectionError):
    """A message did not reach all of its recipients; see ``delivered`` and ``failed``."""


class NoRoute(SendError):
    """The only recipient is unknown or unreachable: the message was certainly not delivered."""


class RecipientError(SendError, ValueError):
    """There is no recipient, or the only one is the sender itself. Nothing was sent."""


class MessageTooLarge(MeshageError, ValueError):
    """The body is larger than the node's ``max_message``. Nothing was sent."""


class InvalidArgument(MeshageError, ValueError):
    """A name, an address, a time, a number or a key is invalid, or a file with keys; the text gives
    the reason. Also raised for a change of the keys that is refused."""


class ResourceError(MeshageError, OSError):
    """The system refused a thread, a descriptor or memory; ``errno`` gives the reason."""


class InternalError(MeshageError, RuntimeError):
    """A bug of the library. Please report its text."""


class BusyError(MeshageError, RuntimeError):
    """Another thread or coroutine already waits on this object."""


class DialError(MeshageError, ConnectionError):
    """A dial created no link. ``errno`` is set if the operating system reported an error."""


class DialTimeout(DialError, MeshageTimeout):
    """A dial timed out."""

    def __init__(self, message: str = "") -> None:
        MeshageTimeout.__init__(self, message)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self),)


class HandshakeError(DialError):
    """The dialled peer is not a mesh node or uses another version of the protocol."""


class AuthError(DialError):
    """The two nodes have no key in common, one of them does not encrypt, or one may not join.

    The text says what was heard and what to do. Neither it nor ``heard`` contains a key.
    """

    heard: tuple[str, ...]
    """The ids of the keys that the other node named; empty if it named none."""

    def __init__(self, message: str = "", heard: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.heard = tuple(heard)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.heard)


class UnknownKey(MeshageError, KeyError):
    """The node has no key with this id."""

    # A KeyError shows its argument with quotes.
    __str__ = Exception.__str__


class NotAPeer(MeshageError, LookupError):
    """There is no link to this node."""


class BindError(MeshageError, OSError):
    """The node could not listen; ``errno`` gives the reason, as in any ``OSError``."""


class NodeClosed(MeshageError, RuntimeError):
    """The node is closed."""


class ForkError(MeshageError, RuntimeError):
    """The node was started before a fork and belongs to the parent process."""
