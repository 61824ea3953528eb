"""The bench's worker for the blocking node in Python.

    set_rtt      one thread, Node.set
    set_window   one thread, Node.send_async; it waits for the result of each send
    recv_many    the receiver, Node.recv_many; the sender is the worker in Rust
"""

import os
from collections import deque
from time import perf_counter_ns

import meshage

import protocol
from protocol import BODY, Job

SERVER = "server"
BATCH = 1024
"""The number of messages that the receiver takes at once."""


def start(name: str) -> meshage.Node:
    """A node that links only to the nodes that it dials. All processes of a run have the same parent."""
    return meshage.Node(name, f"bench-{os.getppid()}", bind="127.0.0.1", port=0)


def serve() -> None:
    node = start(SERVER)
    protocol.at_end_of_input(node.close)
    protocol.print_ready(f"127.0.0.1:{node.port}")
    try:
        while True:
            node.recv_many(BATCH)
    except meshage.NodeClosed:
        pass


def linked_node(address: str, name: str) -> meshage.Node:
    node = start(name)
    node.dial(address)
    node.wait_for(SERVER, timeout=10)
    return node


def round_trips(node: meshage.Node) -> None:
    protocol.run_rounds(
        lambda milliseconds: protocol.time_trips(milliseconds, lambda: node.set(SERVER, BODY))
    )


def windowed(node: meshage.Node, window: int) -> None:
    message = meshage.Message(BODY, [SERVER])
    outstanding: deque[meshage.Sending] = deque()

    def run_round(milliseconds: int) -> dict[str, float]:
        begin, end = perf_counter_ns(), protocol.end_of(milliseconds)
        acknowledged = 0
        while perf_counter_ns() < end:
            if len(outstanding) == window:
                outstanding.popleft().result()
                acknowledged += 1
            outstanding.append(node.send_async(message))
        return protocol.rate(acknowledged, perf_counter_ns() - begin)

    protocol.run_rounds(run_round)


def main(job: Job) -> None:
    match job.case, job.role:
        case "set_rtt" | "set_window" | "recv_many" | "memory", "serve":
            serve()
        case "set_rtt", "drive":
            round_trips(linked_node(job.to[0], f"driver-{os.getpid()}"))
        case "set_window", "drive":
            node = linked_node(job.to[0], f"driver-{os.getpid()}")
            windowed(node, job.number("window", 1000))
        case _:
            job.unsupported()


if __name__ == "__main__":
    main(protocol.parse_job())
