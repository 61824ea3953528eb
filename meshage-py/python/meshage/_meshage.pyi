"""The native module: conversions around the core. Programs use the package, not this module."""

import sys
from collections.abc import Sequence
from typing import Any, Final, final

from meshage._types import Body, Recipients

__all__ = [
    "VERSION",
    "Completions",
    "Core",
    "EventStream",
    "LogQueue",
    "Message",
    "Sending",
    "SnoopQueue",
    "drain_waits",
    "restore_message",
]

VERSION: Final[str]

@final
class Message:
    """A received message, or one to send: ``Message(body, recipients=[...])``.

    It is immutable. Without recipients it is a broadcast. By default a ``str`` body is sent as
    text and any other body as bytes; ``encoding`` overrides this. ``memoryview(message)`` reads the
    body without a copy. A message is true, even if its body is empty.
    """

    def __new__(
        cls, body: Body, recipients: Recipients | None = None, encoding: int | None = None
    ) -> Message: ...
    @property
    def source(self) -> str:
        """The node that sent the message; empty in a message that this program created."""
    @property
    def recipients(self) -> tuple[str, ...]:
        """The recipients; empty for a broadcast."""
    @property
    def route(self) -> tuple[str, ...]:
        """The nodes that sent the message over a link, in order: the source, then each relay."""
    @property
    def id(self) -> int:
        """The message's number, unique within the source's instance."""
    @property
    def instance(self) -> int:
        """The incarnation of the source: a node that restarts has a new one."""
    @property
    def encoding(self) -> int:
        """The encoding of the body: an ``Encoding``, or an application's own number."""
    @property
    def command(self) -> int:
        """Always ``MESSAGE``. The field exists in the original."""
    @property
    def body(self) -> bytes:
        """The body, copied once."""
    def text(self) -> str:
        """The body as text; ``UnicodeDecodeError`` if it is not UTF-8."""
    def json(self) -> Any:
        """The body as a JSON value; ``ValueError`` if it is not JSON."""
    def __len__(self) -> int: ...
    def __bool__(self) -> bool: ...
    def __bytes__(self) -> bytes: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    if sys.version_info >= (3, 12):
        def __release_buffer__(self, buffer: memoryview, /) -> None: ...

    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Sending:
    """An outstanding send, from ``Node.send_async``. Dropping the object does not cancel it."""

    def done(self) -> bool:
        """Whether the send has completed."""
    def result(self, timeout: float | None = None) -> list[str]:
        """Wait for the result: returns or raises what ``Node.send`` does.

        It may be called again; one caller at a time may wait. Raises ``MeshageTimeout`` if the send
        does not complete in time; the send then continues.
        """
    def cancel(self) -> None:
        """End the send at once if it is outstanding.

        The outcome for a recipient is ``CANCELED`` if the message was not transmitted to it, and
        ``TIMEOUT`` if it was.
        """

@final
class Core:
    """A running node."""

    def __new__(
        cls,
        name: str,
        namespace: str,
        degree: int,
        broadcast: Sequence[str],
        bind: str,
        port: int,
        listen_port: int | None,
        version: str,
        timeout: float,
        msa_timeout: float,
        receive_buffer: int,
        max_message: int,
        seeds: Sequence[str],
        interfaces: Sequence[str],
    ) -> Core: ...
    @property
    def name(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def instance(self) -> int: ...
    @property
    def port(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    @property
    def forked(self) -> bool: ...
    def check_open(self) -> None: ...
    def check_unforked(self) -> None: ...
    @property
    def degree(self) -> int: ...
    @degree.setter
    def degree(self, degree: int) -> None: ...
    @property
    def msa_timeout(self) -> float: ...
    @msa_timeout.setter
    def msa_timeout(self, period: float) -> None: ...
    @property
    def timeout(self) -> float: ...
    @timeout.setter
    def timeout(self, timeout: float) -> None: ...
    def dial(self, address: str, timeout: float | None) -> None: ...
    def begin_dial(self, completions: Completions, address: str, timeout: float | None) -> int: ...
    def hangup(self, peer: str) -> None: ...
    def begin_hangup(self, completions: Completions, peer: str) -> int: ...
    def set(
        self, recipients: Recipients, body: Body, timeout: float | None, retry: bool
    ) -> list[str]: ...
    def begin_set(
        self,
        completions: Completions,
        recipients: Recipients,
        body: Body,
        timeout: float | None,
        retry: bool,
    ) -> int: ...
    def broadcast(self, body: Body, timeout: float | None) -> list[str]: ...
    def begin_broadcast(
        self, completions: Completions, body: Body, timeout: float | None
    ) -> int: ...
    def send(self, message: Message, timeout: float | None) -> list[str]: ...
    def send_async(self, message: Message, timeout: float | None) -> Sending: ...
    def begin_send(
        self, completions: Completions, message: Message, timeout: float | None
    ) -> int: ...
    def broadcast_recipients(self) -> list[str]: ...
    def recv(self, timeout: float | None) -> Message: ...
    def try_recv(self) -> Message | None: ...
    def recv_many(self, max: int, timeout: float | None) -> list[Message]: ...
    def try_recv_many(self, max: int) -> list[Message]: ...
    def wait_for(
        self, nodes: int | Recipients, timeout: float | None
    ) -> dict[str, tuple[str, ...]]: ...
    def begin_wait_for(
        self, completions: Completions, nodes: int | Recipients, timeout: float | None
    ) -> int: ...
    def mesh(self) -> dict[str, tuple[str, ...]]: ...
    def peers(self) -> list[str]: ...
    def dot(self) -> str: ...
    def msa(self) -> None: ...
    def stats(self) -> dict[str, int]: ...
    def fileno(self) -> int: ...
    def events(self) -> EventStream: ...
    def snoop(self) -> SnoopQueue: ...
    def stop_snooping(self) -> None: ...
    def close(self) -> None: ...
    def join(self, timeout: float | None) -> bool: ...
    def begin_join(self, completions: Completions) -> int: ...

@final
class Completions:
    """The pending operations of one event loop, and the descriptor that wakes the loop."""

    def __new__(cls) -> Completions: ...
    def fileno(self) -> int: ...
    def collect(self) -> list[tuple[int, Any, BaseException | None]]: ...
    def cancel(self, token: int) -> None: ...

@final
class EventStream:
    """A subscription to a node's events."""

    def next(self, timeout: float | None) -> tuple[int, str] | None: ...
    def begin_next(self, completions: Completions) -> int: ...

@final
class SnoopQueue:
    """The queue of messages that passed through a node."""

    def take(self) -> list[Message]: ...
    def end(self) -> None: ...

@final
class LogQueue:
    """The queue of the core's log lines."""

    def __new__(cls, level: int) -> LogQueue: ...
    @property
    def dropped(self) -> int: ...
    def take(self) -> list[tuple[int, str, str]]: ...
    @staticmethod
    def stop() -> None: ...

def restore_message(
    source: str,
    recipients: Recipients,
    route: Recipients,
    id: int,
    instance: int,
    encoding: int,
    body: Body,
) -> Message: ...
def drain_waits() -> None: ...
