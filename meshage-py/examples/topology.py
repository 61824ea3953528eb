"""Draws the mesh of a namespace whenever it changes.

    python topology.py NAMESPACE [FILE.svg]
"""

import os
import sys

import meshage


def show(mesh: meshage.Mesh, older: meshage.Mesh, picture: str | None) -> None:
    changes = mesh.diff(older)
    for node in changes.nodes_added:
        print(f"+ {node}")
    for node in changes.nodes_removed:
        print(f"- {node}")
    hops = "not connected" if mesh.diameter is None else f"{mesh.diameter} hops across"
    print(f"{len(mesh)} nodes, {len(mesh.edges)} links, {hops}", flush=True)
    if picture is not None:
        with open(picture, "w", encoding="utf-8") as file:
            file.write(mesh._repr_svg_())


def main(namespace: str, picture: str | None) -> None:
    with meshage.Node(
        f"topology-{os.getpid()}", namespace, 1, broadcast="127.255.255.255", listen_port=0
    ) as node:
        events = node.events()
        older = meshage.Mesh()
        for event in events:
            if event.kind in (meshage.EventKind.TOPOLOGY, meshage.EventKind.OVERFLOW):
                mesh = node.mesh()
                if mesh.diff(older):
                    show(mesh, older, picture)
                    older = mesh


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    try:
        main(sys.argv[1], sys.argv[2] if len(sys.argv) == 3 else None)
    except KeyboardInterrupt:
        pass
