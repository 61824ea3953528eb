"""The bench's worker for the asyncio node in Python.

    set_rtt      one coroutine, AsyncNode.set
    set_window   concurrent tasks, each of which awaits AsyncNode.set
    recv_for     the receiver, ``async for``; the sender is the worker in Rust
"""

import asyncio
import os
from time import perf_counter_ns

import meshage

import protocol
from protocol import BODY, Job

SERVER = "server"
BATCH = 1024
"""The number of messages that the receiver takes at once."""


def start(name: str) -> meshage.AsyncNode:
    """A node that links only to the nodes that it dials. All processes of a run have the same parent."""
    return meshage.AsyncNode(name, f"bench-{os.getppid()}", bind="127.0.0.1", port=0)


async def serve(one_by_one: bool) -> None:
    node = start(SERVER)
    protocol.at_end_of_input(node.close)
    protocol.print_ready(f"127.0.0.1:{node.port}")
    if one_by_one:
        async for _ in node:
            pass
    else:
        async for _ in node.batches(BATCH):
            pass
    await node.aclose()


async def round_trips(node: meshage.AsyncNode) -> None:
    async def run_round(milliseconds: int) -> dict[str, float]:
        times = []
        end = protocol.end_of(milliseconds)
        before = perf_counter_ns()
        while before < end:
            await node.set(SERVER, BODY)
            after = perf_counter_ns()
            times.append(after - before)
            before = after
        return protocol.summarize(times)

    await protocol.run_async_rounds(run_round)


async def windowed(node: meshage.AsyncNode, window: int) -> None:
    async def call(end: int) -> int:
        sent = 0
        while perf_counter_ns() < end:
            await node.set(SERVER, BODY)
            sent += 1
        return sent

    async def run_round(milliseconds: int) -> dict[str, float]:
        begin, end = perf_counter_ns(), protocol.end_of(milliseconds)
        sent = sum(await asyncio.gather(*(call(end) for _ in range(window))))
        return protocol.rate(sent, perf_counter_ns() - begin)

    await protocol.run_async_rounds(run_round)


async def main(job: Job) -> None:
    if job.role == "serve":
        await serve(one_by_one=job.case == "recv_for")
        return
    async with start(f"driver-{os.getpid()}") as node:
        await node.dial(job.to[0])
        await node.wait_for(SERVER, timeout=10)
        match job.case:
            case "set_rtt":
                await round_trips(node)
            case "set_64" | "set_window":
                await windowed(node, job.number("window", 1000))
            case _:
                job.unsupported()


if __name__ == "__main__":
    asyncio.run(main(protocol.parse_job()))
