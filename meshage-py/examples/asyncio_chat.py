"""A chat room: sends typed lines to all nodes and reports nodes that join and leave.

    python asyncio_chat.py alice
"""

import asyncio
import sys

import meshage


async def receive(node: meshage.AsyncNode) -> None:
    async for message in node:
        print(f"{message.source}: {message.text()}", flush=True)


async def watch(events: meshage.AsyncEvents) -> None:
    async for event in events:
        if event.kind == meshage.EventKind.NODE_JOINED:
            print(f"* {event.node} joined", flush=True)
        elif event.kind == meshage.EventKind.NODE_LEFT:
            print(f"* {event.node} left", flush=True)


async def send_input(node: meshage.AsyncNode) -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        try:
            await node.broadcast(line.rstrip("\n"))
        except meshage.SendError as error:
            print(f"* not delivered to {', '.join(error.failed)}", flush=True)
        except meshage.MeshageTimeout as error:
            print(f"* {error}", flush=True)


async def main(name: str) -> None:
    async with meshage.AsyncNode(
        name, "chat", degree=3, broadcast="127.255.255.255", listen_port=0
    ) as node:
        tasks = [asyncio.create_task(receive(node)), asyncio.create_task(watch(node.events()))]
        await send_input(node)  # until the end of the input
        for task in tasks:
            task.cancel()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        asyncio.run(main(sys.argv[1]))
    except KeyboardInterrupt:
        pass
