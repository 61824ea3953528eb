"""The keys of a closed node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from typing import TYPE_CHECKING, TypeVar

from meshage._meshage import Core

if TYPE_CHECKING:
    from meshage._types import KeyLike


_Element = TypeVar("_Element")


class Keys(Set[str]):
    """The pre-shared keys of a node, as a set of their ids; the primary one comes first.

    The ids are public. Nothing gives a key back. To change the key of a mesh without losing a
    message, add the new key on every node, then use it on every node, then remove the old one from
    every node. The set of an open node is empty.
    """

    __slots__ = ("_core",)

    def __init__(self, core: Core) -> None:
        self._core = core

    def __contains__(self, id: object) -> bool:
        return id in self._core.key_ids()

    def __iter__(self) -> Iterator[str]:
        return iter(self._core.key_ids())

    def __len__(self) -> int:
        return len(self._core.key_ids())

    @classmethod
    def _from_iterable(cls, it: Iterable[_Element]) -> frozenset[_Element]:
        # The results of ``&``, ``|``, ``-`` and ``^`` belong to no node.
        return frozenset(it)

    @property
    def primary(self) -> str | None:
        """The id of the primary key, which opens new links; ``None`` for an open node."""
        return next(iter(self), None)

    def add(self, key: KeyLike) -> str:
        """Add a key, which is accepted from now on, and return its id.

        A key that the node has already is no error. A node that found no peer because it lacked the
        key joins at once. Raises ``InvalidArgument`` if it is no key, if the node has 8 keys, or if
        it is open.
        """
        return self._core.add_key(key)

    def use(self, id: str) -> None:
        """Make a key the primary one. The node moves its links to it; no message is lost.

        Raises ``UnknownKey`` if the node has no such key.
        """
        self._core.use_key(id)

    def remove(self, id: str) -> None:
        """Remove a key. Links under it move to the primary key.

        A link whose other end does not have that one is closed. Raises ``UnknownKey``, and
        ``InvalidArgument`` for the primary key.
        """
        self._core.remove_key(id)

    def reload(self) -> None:
        """Read the key file again and take its keys instead of all present ones.

        Raises ``InvalidArgument`` if the file cannot be used; the keys stay as they are then.
        """
        self._core.reload_keys()

    def __repr__(self) -> str:
        return f"<Keys {self._core.key_ids()}>"
