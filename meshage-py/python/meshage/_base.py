"""What both kinds of node have: all that does not wait."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import NoReturn, SupportsIndex

from meshage import _exit
from meshage._mesh import Mesh
from meshage._meshage import Core, Message
from meshage._snoop import Snooper
from meshage._types import (
    DEFAULT_MSA_TIMEOUT,
    DEFAULT_PORT,
    DEFAULT_TIMEOUT,
    MAX_MESSAGE,
    RECEIVE_BUFFER,
)


class NodeBase:
    """The common part; not a class to use or to inherit from."""

    __slots__ = ("__weakref__", "_core", "_snooper")

    _core: Core
    _snooper: Snooper | None

    def __init__(
        self,
        name: str,
        namespace: str = "",
        degree: int = 0,
        *,
        broadcast: str | Sequence[str] = "255.255.255.255",
        bind: str = "0.0.0.0",
        port: int = DEFAULT_PORT,
        listen_port: int | None = None,
        version: str = "",
        timeout: float = DEFAULT_TIMEOUT,
        msa_timeout: float = DEFAULT_MSA_TIMEOUT,
        receive_buffer: int = RECEIVE_BUFFER,
        max_message: int = MAX_MESSAGE,
        seeds: str | Sequence[str] = (),
    ) -> None:
        """Start a node.

        ``degree`` is how many links it wants; with fewer it solicits at the ``broadcast``
        addresses. ``port`` is the mesh's, for TCP and UDP; ``listen_port`` is the TCP port alone,
        so that many nodes share a machine, and 0 takes any free one. ``seeds`` are addresses that
        are dialled until they are linked, for ever; a bare ``str`` is one of them, here as at
        ``broadcast``. Times are in seconds, ``max_message`` is in
        bytes.

        Raises ``BindError`` where the port is taken, ``InvalidArgument`` for an option that cannot
        be used.
        """
        self._snooper = None
        self._prepare()
        self._core = Core(
            name,
            namespace,
            degree,
            [broadcast] if isinstance(broadcast, str) else list(broadcast),
            bind,
            port,
            listen_port,
            version,
            timeout,
            msa_timeout,
            receive_buffer,
            max_message,
            [seeds] if isinstance(seeds, str) else list(seeds),
        )
        _exit.remember(self._core)

    def _prepare(self) -> None:
        """What a class sets up before the node starts."""

    @property
    def name(self) -> str:
        """The node's name."""
        return self._core.name

    @property
    def namespace(self) -> str:
        """Only nodes of one namespace join each other by themselves."""
        return self._core.namespace

    @property
    def port(self) -> int:
        """The TCP port it listens on."""
        return self._core.port

    @property
    def instance(self) -> int:
        """This life of the node: a random number, new at each start."""
        return self._core.instance

    @property
    def closed(self) -> bool:
        """Whether it is closed, or was left behind by a fork."""
        return self._core.closed

    @property
    def degree(self) -> int:
        """How many links it wants."""
        return self._core.degree

    @degree.setter
    def degree(self, degree: int) -> None:
        self._core.degree = degree

    @property
    def msa_timeout(self) -> float:
        """How often it announces its links though nothing changed, in seconds."""
        return self._core.msa_timeout

    @msa_timeout.setter
    def msa_timeout(self, seconds: float) -> None:
        self._core.msa_timeout = seconds

    @property
    def timeout(self) -> float:
        """How long a send waits where it does not say, in seconds."""
        return self._core.timeout

    @timeout.setter
    def timeout(self, seconds: float) -> None:
        self._core.timeout = seconds

    @property
    def snoop(self) -> Callable[[Message], None] | None:
        """Called for every whole message that passes through and is not for this node.

        The calls come from a thread of their own. Messages are dropped where it is slow, and
        counted in ``stats()["net_snoops_dropped"]``: 1,024 of them wait, or 64 MiB. What it raises
        is logged.
        """
        return None if self._snooper is None else self._snooper.callback

    @snoop.setter
    def snoop(self, callback: Callable[[Message], None] | None) -> None:
        if callback is not None and not callable(callback):
            raise TypeError("snoop is a function of one message, or None")
        if callback is not None:
            self._core.check_open()
        earlier, self._snooper = self._snooper, None
        if earlier is not None:
            earlier.stop()
        if callback is None:
            self._core.stop_snooping()
        else:
            self._snooper = Snooper(self._core, callback)

    def broadcast_recipients(self) -> list[str]:
        """The nodes that a broadcast would go to now, sorted."""
        return self._core.broadcast_recipients()

    def try_recv(self) -> Message | None:
        """Take a message if there is one.

        Raises ``NodeClosed`` once the node is closed and its queue is empty.
        """
        return self._core.try_recv()

    def mesh(self) -> Mesh:
        """The topology as this node knows it, itself included."""
        return Mesh(self._core.mesh())

    def peers(self) -> list[str]:
        """The nodes it has links to, sorted."""
        return self._core.peers()

    def dot(self) -> str:
        """The topology in Graphviz's language."""
        return self._core.dot()

    def msa(self) -> None:
        """Announce the node's links now."""
        self._core.msa()

    def stats(self) -> dict[str, int]:
        """The node's counters, by name."""
        return self._core.stats()

    def fileno(self) -> int:
        """A descriptor that is readable while a message waits, and once the node is closed.

        It belongs to the node: neither read from it nor close it.
        """
        return self._core.fileno()

    def _begin_close(self) -> None:
        """Begin to close; gives back at once."""
        self._core.stop_snooping()
        self._core.close()

    def __del__(self) -> None:
        core: Core | None = getattr(self, "_core", None)
        if core is not None and not core.closed:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, source=self)
            core.close()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        # What pickle and copy both ask for: a copy would close the node that it was made of.
        raise TypeError(f"a {type(self).__name__} can be neither pickled nor copied")

    def __repr__(self) -> str:
        if not hasattr(self, "_core"):
            return f"<{type(self).__name__}, not started>"
        state = "closed" if self.closed else f"port {self.port}"
        return f"<{type(self).__name__} {self.name!r} in {self.namespace!r}, {state}>"
