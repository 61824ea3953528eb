"""One node of the demo: told on standard input what to do, it says on standard output what happened.

    python demo_node.py NAME NAMESPACE UDP_PORT DEGREE [BROADCAST]

    in:   set NAME TEXT    broadcast TEXT    peers    mesh    quit
    out:  ready PORT       once, when it listens
          got SOURCE TEXT  for each message
          sent DELIVERED FAILED     how many recipients have it, and how many have not
          peers a b        the nodes it has links to
          mesh a:b,c b:a   each node it knows, with its neighbours
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

import meshage

_out = threading.Lock()


def say(line: str) -> None:
    """Prints a line whole, whichever thread says it."""
    with _out:
        print(line, flush=True)


def receive(node: meshage.Node) -> None:
    for message in node:
        say(f"got {message.source} {message.body.decode(errors='replace')}")


def sent(send: Callable[[], list[str]]) -> str:
    """Sends, and says how many recipients have it and how many have not."""
    try:
        return f"sent {len(send())} 0"
    except (meshage.SendError, meshage.MeshageTimeout) as error:
        print(f"demo_node: {error}", file=sys.stderr)
        return f"sent {len(error.delivered)} {max(len(error.failed), 1)}"


def answer(node: meshage.Node, command: str, rest: str) -> str:
    match command:
        case "set":
            name, _, text = rest.partition(" ")
            return sent(lambda: node.set(name, text))
        case "broadcast":
            return sent(lambda: node.broadcast(rest))
        case "peers":
            return " ".join(["peers", *node.peers()])
        case "mesh":
            known = node.mesh().items()
            return " ".join(["mesh", *(f"{name}:{','.join(linked)}" for name, linked in known)])
    raise ValueError(f"no command {command!r}")


def main(
    name: str, namespace: str, port: str, degree: str, broadcast: str = "127.255.255.255"
) -> None:
    with meshage.Node(
        name, namespace, int(degree), broadcast=broadcast, port=int(port), listen_port=0
    ) as node:
        say(f"ready {node.port}")
        receiver = threading.Thread(target=receive, args=(node,))
        receiver.start()
        for line in sys.stdin:
            command, _, rest = line.rstrip("\n").partition(" ")
            if command == "quit":
                break
            say(answer(node, command, rest))
    receiver.join()


if __name__ == "__main__":
    if len(sys.argv) not in (5, 6):
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    main(*sys.argv[1:])
