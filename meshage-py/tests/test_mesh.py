"""The topology snapshot, without a network."""

from __future__ import annotations

import json
import pickle
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping

import networkx
import pytest
from meshage import Mesh, MeshDiff

SQUARE = Mesh({"a": ["b", "c"], "d": ["b", "c", "e"]})


def test_the_repr_of_a_large_difference_is_short() -> None:
    large = Mesh({f"node-{number}": () for number in range(10_000)})
    assert repr(Mesh().diff(Mesh())) == (
        "MeshDiff(nodes_added=(), nodes_removed=(), edges_added=(), edges_removed=())"
    )
    assert len(repr(large.diff(Mesh()))) < 400 and "9990 more" in repr(large.diff(Mesh()))
    assert len(repr(large)) < 100


def test_a_mesh_is_a_mapping_with_both_ends_of_each_link() -> None:
    assert isinstance(SQUARE, Mapping)
    assert SQUARE["b"] == ("a", "d")
    assert list(SQUARE) == ["a", "b", "c", "d", "e"] == list(SQUARE.nodes)
    assert len(SQUARE) == 5 and "a" in SQUARE and "z" not in SQUARE
    middle = {"b": ("a", "d"), "c": ("a", "d")}
    assert SQUARE == {"a": ("b", "c"), **middle, "d": ("b", "c", "e"), "e": ("d",)}
    assert SQUARE.edges == (("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("d", "e"))


def test_a_mesh_is_immutable() -> None:
    with pytest.raises(TypeError):
        SQUARE["a"] = ()  # type: ignore[index]
    with pytest.raises(AttributeError):
        SQUARE.nodes = ()  # type: ignore[misc]
    for name in ("edges", "is_connected", "_neighbors", "anything"):
        with pytest.raises(AttributeError):
            setattr(SQUARE, name, ())
    assert SQUARE.is_connected
    with pytest.raises(AttributeError):
        del SQUARE.is_connected


def test_the_first_by_name_of_equal_paths_is_the_shortest_path() -> None:
    assert SQUARE.shortest_path("a", "e") == ("a", "b", "d", "e")
    assert SQUARE.shortest_path("a", "a") == ("a",)
    assert Mesh({"a": [], "b": []}).shortest_path("a", "b") is None
    with pytest.raises(KeyError):
        SQUARE.shortest_path("a", "z")
    with pytest.raises(KeyError):
        SQUARE.neighbors("z")


def test_the_largest_component_comes_first() -> None:
    mesh = Mesh({"x": ["y"], "a": ["b"], "b": ["c"], "z": []})
    assert mesh.components() == (("a", "b", "c"), ("x", "y"), ("z",))
    assert not mesh.is_connected and mesh.diameter is None
    assert SQUARE.is_connected and SQUARE.diameter == 3
    assert Mesh().is_connected and Mesh().diameter == 0 and len(Mesh()) == 0


def test_a_diff_lists_added_and_removed_nodes_and_edges() -> None:
    newer = Mesh({"a": ["b", "f"], "d": ["b", "e"]})
    assert newer.diff(SQUARE) == MeshDiff(("f",), ("c",), (("a", "f"),), (("a", "c"), ("c", "d")))
    assert newer.diff(SQUARE) and not newer.diff(newer)
    with pytest.raises(TypeError):
        newer.diff(5)  # type: ignore[arg-type]


def test_dot_quotes_every_name() -> None:
    assert Mesh({"1.a": ['b"2\\']}).to_dot() == (
        'graph mesh {\n  "1.a";\n  "b\\"2\\\\";\n  "1.a" -- "b\\"2\\\\";\n}\n'
    )


def test_json_has_nodes_and_edges() -> None:
    assert json.loads(Mesh({"a": ["b"], "c": []}).to_json()) == {
        "nodes": ["a", "b", "c"],
        "edges": [["a", "b"]],
    }


def test_the_networkx_graph_is_the_same() -> None:
    graph = SQUARE.to_networkx()
    assert sorted(graph.nodes) == list(SQUARE)
    assert networkx.diameter(graph) == SQUARE.diameter


@pytest.mark.parametrize("count", [0, 1, 2, 3, 40, 150])
def test_the_drawing_is_svg_with_each_name_once_and_escaped(count: int) -> None:
    names = [f"<n&{i}>" for i in range(count)]
    mesh = Mesh({name: names[:1] for name in names[1:]} or {name: [] for name in names})
    drawing = ElementTree.fromstring(mesh._repr_svg_())
    texts = [element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert sorted(filter(None, texts)) == sorted(names)
    assert mesh._repr_svg_() == mesh._repr_svg_()
    assert f"{count} nodes" in mesh._repr_html_()
    for circle in drawing.iter("{http://www.w3.org/2000/svg}circle"):
        assert 0 <= float(circle.attrib["cx"]) <= 480 and 0 <= float(circle.attrib["cy"]) <= 480


def test_a_mesh_can_be_pickled_and_hashed() -> None:
    again = pickle.loads(pickle.dumps(SQUARE))
    assert again == SQUARE and hash(again) == hash(SQUARE)
    assert "5 nodes, 5 links" in repr(SQUARE)
