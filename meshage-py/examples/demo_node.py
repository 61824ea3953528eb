"""A node of the demo: reads commands from standard input and writes the results to standard output.

    python demo_node.py NAME NAMESPACE UDP_PORT DEGREE [BROADCAST]

    in:   set NAME TEXT    broadcast TEXT    peers    mesh    quit
    out:  ready PORT       once, when the node listens
          got SOURCE TEXT  for each message
          sent DELIVERED FAILED     the number of successful and failed recipients
          peers a b        the nodes that it has links to
          mesh a:b,c b:a   each known node with its neighbours

The environment variable MESHAGE_KEY_FILE closes the mesh with the keys of a file.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

import meshage

_output = threading.Lock()


def write(line: str) -> None:
    """Prints a line without mixing it with lines of other threads."""
    with _output:
        print(line, flush=True)


def receive(node: meshage.Node) -> None:
    for message in node:
        write(f"got {message.source} {message.body.decode(errors='replace')}")


def result_of(send: Callable[[], list[str]]) -> str:
    """Sends, and returns the number of successful and failed recipients as a result line."""
    try:
        return f"sent {len(send())} 0"
    except (meshage.SendError, meshage.MeshageTimeout) as error:
        print(f"demo_node: {error}", file=sys.stderr)
        return f"sent {len(error.delivered)} {max(len(error.failed), 1)}"


def execute(node: meshage.Node, command: str, rest: str) -> str:
    match command:
        case "set":
            name, _, text = rest.partition(" ")
            return result_of(lambda: node.set(name, text))
        case "broadcast":
            return result_of(lambda: node.broadcast(rest))
        case "peers":
            return " ".join(["peers", *node.peers()])
        case "mesh":
            known = node.mesh().items()
            return " ".join(["mesh", *(f"{name}:{','.join(linked)}" for name, linked in known)])
    raise ValueError(f"unknown command {command!r}")


def main(
    name: str, namespace: str, port: str, degree: str, broadcast: str = "127.255.255.255"
) -> None:
    with meshage.Node(
        name,
        namespace,
        int(degree),
        broadcast=broadcast,
        port=int(port),
        listen_port=0,
        key_file=os.environ.get("MESHAGE_KEY_FILE"),
    ) as node:
        write(f"ready {node.port}")
        receiver = threading.Thread(target=receive, args=(node,))
        receiver.start()
        for line in sys.stdin:
            command, _, rest = line.rstrip("\n").partition(" ")
            if command == "quit":
                break
            write(execute(node, command, rest))
    receiver.join()


if __name__ == "__main__":
    if len(sys.argv) not in (5, 6):
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    main(*sys.argv[1:])
