"""The bench's worker for our blocking node in Python.

    set_rtt      one thread, Node.set
    set_window   one thread, Node.send_async; each send's end is asked for
    recv_many    the receiver, Node.recv_many; what sends to it is the worker in Rust
"""

import os
from collections import deque
from time import perf_counter_ns

import meshage

import protocol
from protocol import BODY, Job

SERVER = "server"
BATCH = 1024
"""How many messages the receiver takes at once."""


def start(name: str) -> meshage.Node:
    """A node that links to what it dials, and nothing else. The processes of a run have one parent."""
    return meshage.Node(name, f"bench-{os.getppid()}", bind="127.0.0.1", port=0)


def serve() -> None:
    node = start(SERVER)
    protocol.at_end_of_input(node.close)
    protocol.reached_at(f"127.0.0.1:{node.port}")
    try:
        while True:
            node.recv_many(BATCH)
    except meshage.NodeClosed:
        pass


def joined(address: str, name: str) -> meshage.Node:
    node = start(name)
    node.dial(address)
    node.wait_for(SERVER, timeout=10)
    return node


def round_trips(node: meshage.Node) -> None:
    protocol.rounds(
        lambda milliseconds: protocol.time_trips(milliseconds, lambda: node.set(SERVER, BODY))
    )


def windowed(node: meshage.Node, window: int) -> None:
    message = meshage.Message(BODY, [SERVER])
    under_way: deque[meshage.Sending] = deque()

    def round(milliseconds: int) -> dict[str, float]:
        begin, end = perf_counter_ns(), protocol.end_of(milliseconds)
        acknowledged = 0
        while perf_counter_ns() < end:
            if len(under_way) == window:
                under_way.popleft().result()
                acknowledged += 1
            under_way.append(node.send_async(message))
        return protocol.rate(acknowledged, perf_counter_ns() - begin)

    protocol.rounds(round)


def main(job: Job) -> None:
    match job.case, job.role:
        case "set_rtt" | "set_window" | "recv_many" | "memory", "serve":
            serve()
        case "set_rtt", "drive":
            round_trips(joined(job.to[0], f"driver-{os.getpid()}"))
        case "set_window", "drive":
            node = joined(job.to[0], f"driver-{os.getpid()}")
            windowed(node, job.number("window", 1000))
        case _:
            job.unknown()


if __name__ == "__main__":
    main(protocol.job())
