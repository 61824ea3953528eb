"""The methods that both node classes share: all that do not wait."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NoReturn, SupportsIndex

from meshage import _exit
from meshage._keys import Keys
from meshage._mesh import Mesh
from meshage._meshage import Core, Message
from meshage._snoop import Snooper
from meshage._types import (
    DEFAULT_MSA_TIMEOUT,
    DEFAULT_PORT,
    DEFAULT_TIMEOUT,
    MAX_MESSAGE,
    RECEIVE_BUFFER,
    KeyLike,
)


class NodeBase:
    """The common base of the node classes; not public."""

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
        interfaces: str | Sequence[str] = (),
        keys: KeyLike | Iterable[KeyLike] = (),
        key_file: str | os.PathLike[str] | None = None,
        identity_file: str | os.PathLike[str] | None = None,
        root: KeyLike | None = None,
        ticket_file: str | os.PathLike[str] | None = None,
        allow: Mapping[str, KeyLike] | None = None,
        signed: bool = False,
    ) -> None:
        """Start a node.

        ``degree`` is the number of links that the node looks for. With fewer links it sends
        solicitations to the ``broadcast`` addresses. ``"255.255.255.255"`` and IPv6 multicast
        addresses such as ``"ff02::1"`` stand for every network that this machine is connected to:
        the node sends once on each of them, or on those of the ``interfaces`` (names such as
        ``"eth0"``; one that does not exist yet is used as soon as it does). Any other address is
        used as it is. ``bind`` is the address to listen on, and to solicit from. A link-local
        address has a zone, here and in ``seeds``: ``"fe80::1%eth0"``. ``port`` is the port of the mesh, for TCP and
        UDP. ``listen_port`` is the TCP port alone, so that several nodes can share a machine; 0
        selects any free port.
        ``seeds`` are addresses that the node dials whenever it is not linked to them. A bare
        ``str`` is one item, for ``seeds``, ``broadcast`` and ``interfaces``. Times are in seconds,
        ``max_message`` is in bytes.

        ``keys`` close the mesh: only nodes that have one of them can link to this node. The first
        one is the primary key, which opens new links; all are accepted. A key is 32 bytes, or as
        text 64 hex digits or base64; ``generate_key`` makes one. ``key_file`` has one a line, and
        only its owner may have the right to read it. Without a key the node is open.

        ``allow`` and ``root`` also bind names to the public keys of nodes: ``allow`` maps names to
        public keys, and ``root`` is the public key that has signed the tickets of nodes. Then each
        node needs an ``identity_file``, whose public key is ``public_key``, and with ``root`` a
        ``ticket_file``. With ``signed``, announcements are signed; every node needs the same
        setting.

        Raises ``BindError`` if the port is in use and ``InvalidArgument`` for an invalid option.
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
            [interfaces] if isinstance(interfaces, str) else list(interfaces),
            [keys] if isinstance(keys, (str, bytes, bytearray)) else list(keys),
            key_file,
            identity_file,
            root,
            ticket_file,
            list((allow or {}).items()),
            signed,
        )
        _exit.close_at_exit(self._core)

    def _prepare(self) -> None:
        """Set up the attributes of a subclass before the node starts."""

    @property
    def name(self) -> str:
        """The node's name."""
        return self._core.name

    @property
    def namespace(self) -> str:
        """The node's namespace. Only nodes of the same namespace discover each other."""
        return self._core.namespace

    @property
    def port(self) -> int:
        """The TCP port that the node listens on."""
        return self._core.port

    @property
    def instance(self) -> int:
        """The incarnation of the node: a random number, new at each start."""
        return self._core.instance

    @property
    def closed(self) -> bool:
        """Whether the node is closed or belongs to the parent process of a fork."""
        return self._core.closed

    @property
    def degree(self) -> int:
        """The number of links that the node looks for."""
        return self._core.degree

    @degree.setter
    def degree(self, degree: int) -> None:
        self._core.degree = degree

    @property
    def msa_timeout(self) -> float:
        """How often the node compares what it knows of the mesh with its peers, in seconds."""
        return self._core.msa_timeout

    @msa_timeout.setter
    def msa_timeout(self, seconds: float) -> None:
        self._core.msa_timeout = seconds

    @property
    def timeout(self) -> float:
        """The default timeout of a send, in seconds."""
        return self._core.timeout

    @timeout.setter
    def timeout(self, seconds: float) -> None:
        self._core.timeout = seconds

    @property
    def keys(self) -> Keys:
        """The pre-shared keys, as a set of their ids that can be changed while the node runs."""
        return Keys(self._core)

    @property
    def public_key(self) -> bytes | None:
        """The public key of the node's identity, 32 bytes; ``None`` for an open node."""
        return self._core.public_key

    def revoke(self, revocation: bytes) -> None:
        """Take a revocation of a ticket, which the root signed, and pass it on to every node.

        Links of the node that has the ticket are closed everywhere. Raises ``InvalidArgument`` if
        the root of this node did not sign it.
        """
        self._core.revoke(revocation)

    @property
    def snoop(self) -> Callable[[Message], None] | None:
        """A callback for every complete message that this node only forwards.

        A separate thread calls it. Up to 1,024 messages or 64 MiB wait for the callback. If it is
        too slow, messages are dropped and counted in ``stats()["net_snoops_dropped"]``. Exceptions
        from the callback are logged. Setting it raises ``ResourceError`` if the thread cannot start.
        """
        return None if self._snooper is None else self._snooper.callback

    @snoop.setter
    def snoop(self, callback: Callable[[Message], None] | None) -> None:
        if callback is not None and not callable(callback):
            raise TypeError("snoop must be a function of one message, or None")
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
        """The nodes that a broadcast would be sent to now, sorted."""
        return self._core.broadcast_recipients()

    def try_recv(self) -> Message | None:
        """Return a queued message, or ``None``.

        Raises ``NodeClosed`` once the node is closed and its queue is empty.
        """
        return self._core.try_recv()

    def mesh(self) -> Mesh:
        """The topology that this node knows, itself included."""
        return Mesh(self._core.mesh())

    def peers(self) -> list[str]:
        """The nodes that this node has links to, sorted."""
        return self._core.peers()

    def dot(self) -> str:
        """The topology in the DOT language of Graphviz."""
        return self._core.dot()

    def msa(self) -> None:
        """Announce the node's links now."""
        self._core.msa()

    def stats(self) -> dict[str, int]:
        """The node's counters, by name."""
        return self._core.stats()

    def fileno(self) -> int:
        """A descriptor that is readable while a message waits, and once the node is closed.

        The node owns it: do not read from it or close it. It stays open until the node object is
        deleted. Raises ``ResourceError`` if the system has no free descriptor.
        """
        return self._core.fileno()

    def _begin_close(self) -> None:
        """Start to close and return at once."""
        self._core.stop_snooping()
        self._core.close()

    def _join_snooper(self, timeout: float) -> None:
        """Wait until the thread of the snoop callback has ended, unless a call is in progress."""
        snooper, self._snooper = self._snooper, None
        if snooper is not None and not self._core.forked:
            snooper.join(timeout)

    def __del__(self) -> None:
        core: Core | None = getattr(self, "_core", None)
        if core is not None and not core.closed:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, source=self)
            core.close()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        # Both pickle and copy call this. Deleting a copy would close the original node.
        raise TypeError(f"a {type(self).__name__} can be neither pickled nor copied")

    def __repr__(self) -> str:
        if not hasattr(self, "_core"):
            return f"<{type(self).__name__}, not started>"
        state = "closed" if self.closed else f"port {self.port}"
        return f"<{type(self).__name__} {self.name!r} in {self.namespace!r}, {state}>"
