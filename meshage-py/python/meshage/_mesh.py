"""The topology of the mesh, as an immutable snapshot."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from meshage import _drawing

if TYPE_CHECKING:
    import networkx

Edge = tuple[str, str]
"""A link between two nodes, in the order of their names."""


SHOWN_MAX = 10
"""The most nodes or links of a list that a ``repr`` shows."""


@dataclass(frozen=True, slots=True)
class MeshDiff:
    """The changes between two snapshots. It is false if there are none."""

    nodes_added: tuple[str, ...] = ()
    nodes_removed: tuple[str, ...] = ()
    edges_added: tuple[Edge, ...] = ()
    edges_removed: tuple[Edge, ...] = ()

    def __repr__(self) -> str:
        fields = ("nodes_added", "nodes_removed", "edges_added", "edges_removed")
        return f"MeshDiff({', '.join(f'{name}={_short(getattr(self, name))}' for name in fields)})"

    def __bool__(self) -> bool:
        changes = (self.nodes_added, self.nodes_removed, self.edges_added, self.edges_removed)
        return any(changes)


class Mesh(Mapping[str, tuple[str, ...]]):
    """The links of the mesh: each node's name with the names of its neighbours, both sorted.

    It is made from any adjacency list. A link that is listed at one end only is added at the other.
    """

    __slots__ = ("__dict__", "_neighbors")

    _neighbors: dict[str, tuple[str, ...]]

    def __init__(self, adjacency: Mapping[str, Iterable[str]] | None = None) -> None:
        linked: dict[str, set[str]] = {}
        for node, neighbors in (adjacency or {}).items():
            of_node = linked.setdefault(node, set())
            for neighbor in neighbors:
                of_node.add(neighbor)
                linked.setdefault(neighbor, set()).add(node)
        in_order = {node: tuple(sorted(linked[node])) for node in sorted(linked)}
        object.__setattr__(self, "_neighbors", in_order)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Mesh is immutable: cannot set {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a Mesh is immutable: cannot delete {name!r}")

    def __getitem__(self, node: str) -> tuple[str, ...]:
        return self._neighbors[node]

    def __iter__(self) -> Iterator[str]:
        return iter(self._neighbors)

    def __len__(self) -> int:
        return len(self._neighbors)

    def __hash__(self) -> int:
        return hash(tuple(self._neighbors.items()))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Mesh):
            return self._neighbors == other._neighbors
        return self._neighbors == other if isinstance(other, Mapping) else NotImplemented

    def __reduce__(self) -> tuple[Any, ...]:
        return Mesh, (self._neighbors,)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of all nodes, sorted."""
        return tuple(self._neighbors)

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """Each link once, its two names in order, sorted."""
        return tuple((a, b) for a, linked in self._neighbors.items() for b in linked if a < b)

    def neighbors(self, node: str) -> tuple[str, ...]:
        """The nodes that are linked to this one, sorted; ``KeyError`` for an unknown node."""
        return self._neighbors[node]

    def shortest_path(self, a: str, b: str) -> tuple[str, ...] | None:
        """The path with the fewest hops, both ends included. Of equal paths, the first by name.

        ``None`` if there is no path; ``KeyError`` for an unknown node.
        """
        if b not in self._neighbors:
            raise KeyError(b)
        parents = self._parents(a)
        if b not in parents:
            return None
        path = [b]
        while path[-1] != a:
            path.append(parents[path[-1]])
        return tuple(reversed(path))

    def _parents(self, start: str) -> dict[str, str]:
        """Each reachable node with its predecessor, in order of distance."""
        self._neighbors[start]
        parents = {start: start}
        queue = deque([start])
        while queue:
            node = queue.popleft()
            for neighbor in self._neighbors[node]:
                if neighbor not in parents:
                    parents[neighbor] = node
                    queue.append(neighbor)
        return parents

    def components(self) -> tuple[tuple[str, ...], ...]:
        """The connected components, each sorted, the largest first."""
        unvisited = dict.fromkeys(self._neighbors)
        components = []
        while unvisited:
            component = tuple(sorted(self._parents(next(iter(unvisited)))))
            components.append(component)
            for node in component:
                del unvisited[node]
        return tuple(sorted(components, key=lambda component: (-len(component), component)))

    @cached_property
    def is_connected(self) -> bool:
        """Whether every node can reach every other node. An empty mesh is connected."""
        return len(self.components()) <= 1

    @cached_property
    def diameter(self) -> int | None:
        """The most hops between any two nodes; ``None`` if the mesh is not connected."""
        if not self.is_connected:
            return None
        return max((self._eccentricity(node) for node in self._neighbors), default=0)

    def _eccentricity(self, start: str) -> int:
        parents = self._parents(start)
        hops = {start: 0}
        for node, parent in parents.items():
            if node != start:
                hops[node] = hops[parent] + 1
        return max(hops.values())

    def diff(self, older: Mesh) -> MeshDiff:
        """The changes since an older snapshot."""
        if not isinstance(older, Mesh):
            raise TypeError(f"an older snapshot must be a Mesh, not {type(older).__name__}")
        now, then = set(self.edges), set(older.edges)
        return MeshDiff(
            nodes_added=tuple(node for node in self if node not in older),
            nodes_removed=tuple(node for node in older if node not in self),
            edges_added=tuple(sorted(now - then)),
            edges_removed=tuple(sorted(then - now)),
        )

    def to_dot(self) -> str:
        """The topology in the DOT language of Graphviz: an undirected graph with quoted names."""
        lines = [f"  {_quote(node)};" for node in self]
        lines += [f"  {_quote(a)} -- {_quote(b)};" for a, b in self.edges]
        return "\n".join(["graph mesh {", *lines, "}", ""])

    def to_json(self) -> str:
        """The topology as JSON: ``{"nodes": [name …], "edges": [[name, name] …]}``."""
        return json.dumps({"nodes": list(self), "edges": [list(edge) for edge in self.edges]})

    def to_networkx(self) -> networkx.Graph[str]:
        """The topology as a networkx graph; networkx must be installed."""
        import networkx

        graph: networkx.Graph[str] = networkx.Graph()
        graph.add_nodes_from(self)
        graph.add_edges_from(self.edges)
        return graph

    def _repr_svg_(self) -> str:
        return _drawing.svg(self._neighbors, self.edges)

    def _repr_html_(self) -> str:
        return f"<figure>{self._repr_svg_()}<figcaption>{self._summary()}</figcaption></figure>"

    def _summary(self) -> str:
        parts = len(self.components())
        apart = f", in {parts} parts" if parts > 1 else ""
        return f"{len(self)} nodes, {len(self.edges)} links{apart}"

    def __repr__(self) -> str:
        return f"<Mesh of {self._summary()}>"


def _quote(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _short(items: tuple[Any, ...]) -> str:
    """As ``repr``, up to the limit."""
    if len(items) <= SHOWN_MAX:
        return repr(items)
    shown = ", ".join(repr(item) for item in items[:SHOWN_MAX])
    return f"({shown} and {len(items) - SHOWN_MAX} more)"
