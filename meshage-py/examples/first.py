"""Says hello to every node that joins, and prints the messages that it receives. Run it two or more
times on one machine: python first.py alice"""

import os
import sys
import threading

import meshage


def greet(node: meshage.Node, events: meshage.Events) -> None:
    for event in events:
        if event.kind == meshage.EventKind.NODE_JOINED:
            try:
                node.set(event.node, f"hello, this is {node.name}")
            except meshage.MeshageError as error:
                print(f"greeting failed: {error}", file=sys.stderr)


name = sys.argv[1] if len(sys.argv) > 1 else f"python-{os.getpid()}"
with meshage.Node(
    name,
    namespace="first",
    degree=3,  # wanted links
    broadcast="127.255.255.255",  # this machine only; omit it to use the network
    listen_port=0,  # any free port, so that nodes can share the machine
) as node:
    threading.Thread(target=greet, args=(node, node.events())).start()
    print(f"{node.name} looks for others; end it with Ctrl-C", flush=True)
    try:
        for message in node:
            print(f"{message.source} says {message.text()!r}", flush=True)
    except KeyboardInterrupt:
        pass
