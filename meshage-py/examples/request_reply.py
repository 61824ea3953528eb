"""Requests and replies, matched by an id in the body.

    python request_reply.py serve adder          # in one terminal
    python request_reply.py ask adder 1 2 3      # in another
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from typing import Any

import meshage


class Client:
    """Sends requests, one at a time. A client for several threads would instead have one thread
    that receives and a table of the pending ids."""

    def __init__(self, node: meshage.Node) -> None:
        self._node = node
        self._ids = itertools.count(1)

    def ask(self, server: str, numbers: list[int], timeout: float = 10.0) -> Any:
        """Waits for the reply; raises ``MeshageTimeout`` if it does not arrive in time."""
        request_id = next(self._ids)
        deadline = time.monotonic() + timeout
        self._node.send(json_message(server, {"id": request_id, "numbers": numbers}))
        while True:
            message = self._node.recv(timeout=max(0.0, deadline - time.monotonic()))
            reply = message.json()
            if message.source == server and reply.get("id") == request_id:
                return reply["sum"]


def serve(node: meshage.Node) -> None:
    """Replies to each request with the sum of its numbers."""
    for message in node:
        request = message.json()
        reply = {"id": request["id"], "sum": sum(request["numbers"])}
        try:
            node.send(json_message(message.source, reply))
        except meshage.MeshageError as error:
            print(f"reply to {message.source} failed: {error}", flush=True)


def json_message(recipient: str, value: object) -> meshage.Message:
    return meshage.Message(json.dumps(value), [recipient], encoding=meshage.Encoding.JSON)


def main(role: str, server: str, numbers: list[int]) -> None:
    name = server if role == "serve" else f"client-{os.getpid()}"
    with meshage.Node(
        name, "request-reply", degree=2, broadcast="127.255.255.255", listen_port=0
    ) as node:
        if role == "serve":
            print(f"{name} serves; end it with Ctrl-C", flush=True)
            serve(node)
        else:
            node.wait_for(server, timeout=30)
            print(Client(node).ask(server, numbers))


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in ("serve", "ask"):
        sys.exit(__doc__)
    try:
        main(sys.argv[1], sys.argv[2], [int(text) for text in sys.argv[3:]])
    except KeyboardInterrupt:
        pass
