"""The asyncio node, on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time
from collections.abc import AsyncIterator, Callable

import meshage
import pytest
from conftest import WAIT, address, free_port
from meshage import AsyncNode, EventKind, Message, Outcome


@contextlib.asynccontextmanager
async def line(namespace: str, *names: str, **options: object) -> AsyncIterator[list[AsyncNode]]:
    """Nodes in a line, all reachable."""
    async with contextlib.AsyncExitStack() as stack:
        nodes: list[AsyncNode] = []
        for name in names:
            settings: dict[str, object] = {"bind": "127.0.0.1", "port": 0} | options
            node = AsyncNode(name, namespace, **settings)  # type: ignore[arg-type]
            nodes.append(await stack.enter_async_context(node))
        for left, right in zip(nodes, nodes[1:], strict=False):
            await left.dial(address(right))
        for node in nodes:
            await node.wait_for(names, timeout=WAIT)
        yield nodes


def single(namespace: str, **options: object) -> AsyncNode:
    settings: dict[str, object] = {"bind": "127.0.0.1", "port": 0} | options
    return AsyncNode("a", namespace, **settings)  # type: ignore[arg-type]


def test_the_two_node_classes_are_unrelated() -> None:
    assert not issubclass(AsyncNode, meshage.Node) and not issubclass(meshage.Node, AsyncNode)


def test_messages_pass_through_a_relay(namespace: str) -> None:
    async def main() -> None:
        async with line(namespace, "a", "b", "c") as (a, b, c):
            assert await a.set("c", "hello") == ["c"]
            message = await c.recv(timeout=WAIT)
            assert (message.text(), message.route) == ("hello", ("a", "b"))
            assert sorted(await c.broadcast(b"all")) == ["a", "b"]
            assert (await a.recv()).body == b"all"
            assert await b.send(Message("x", ["a"])) == ["a"]
            assert (await a.recv()).source == "b"
            assert a.mesh().diameter == 2 and a.peers() == ["b"]

    asyncio.run(main())


def test_errors_equal_those_of_the_blocking_node(namespace: str) -> None:
    async def main() -> None:
        async with line(namespace, "a", "b", max_message=1000) as (a, b):
            with pytest.raises(meshage.NoRoute):
                await a.set("nobody", "x")
            with pytest.raises(meshage.SendError) as caught:
                await a.set(["b", "nobody"], "x")
            assert caught.value.failed == {"nobody": Outcome.NO_ROUTE}
            with pytest.raises(meshage.RecipientError):
                await a.set("a", "x")
            with pytest.raises(meshage.MessageTooLarge):
                await a.broadcast(b"x" * 1001)
            with pytest.raises(meshage.DialError):
                await a.dial(address(b))
            with pytest.raises(meshage.NotAPeer):
                await a.hangup("nobody")
            with pytest.raises(meshage.MeshageTimeout):
                await a.wait_for(3, timeout=0.05)
            with pytest.raises(ValueError):
                await a.set("a b", "x")
            with pytest.raises(TypeError):
                await a.set("b", 5)  # type: ignore[arg-type]

    asyncio.run(main())


def test_receiving_waits_until_its_timeout(namespace: str) -> None:
    async def main() -> None:
        async with single(namespace) as node:
            for timeout in (0, 0.2):
                for receive in (node.recv(timeout), node.recv_many(5, timeout)):
                    begin = time.monotonic()
                    with pytest.raises(meshage.MeshageTimeout):
                        await receive
                    assert timeout <= time.monotonic() - begin + 0.01 < timeout + 2
            for bad in (-1, float("nan")):
                with pytest.raises(ValueError):
                    await node.recv(bad)
            with pytest.raises(ValueError):
                await node.recv_many(0)

    asyncio.run(main())


def test_a_cancelled_receive_loses_no_message(namespace: str) -> None:
    async def main() -> None:
        async with line(namespace, "a", "b") as (a, b):
            got: list[str] = []
            sent = 300

            async def send() -> None:
                for number in range(sent):
                    await a.set("b", str(number))

            sender = asyncio.create_task(send())
            while len(got) < sent:
                receive = asyncio.create_task(b.recv())
                # Cancel at each stage: before it starts, while it waits, after it was woken.
                for _ in range(len(got) % 4):
                    await asyncio.sleep(0)
                receive.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    got.append((await receive).text())
                with contextlib.suppress(asyncio.TimeoutError):
                    got.append((await asyncio.wait_for(b.recv(), 0.01)).text())
            await sender
            assert got == [str(number) for number in range(sent)]

    asyncio.run(main())


def test_a_cancelled_send_is_not_delivered(namespace: str) -> None:
    async def main() -> None:
        async with line(namespace, "a", "b", receive_buffer=1) as (a, b):
            await a.set("b", "fills the queue")
            send = asyncio.create_task(a.set("b", "canceled", timeout=WAIT))
            while b.stats()["messages_refused_busy"] == 0:
                await asyncio.sleep(0)
            send.cancel()
            with pytest.raises(asyncio.CancelledError):
                await send
            assert (await b.recv()).text() == "fills the queue"
            await a.set("b", "next", timeout=WAIT)
            assert (await b.recv(timeout=WAIT)).text() == "next"

    asyncio.run(main())


def test_each_message_goes_to_one_of_many_waiters(namespace: str) -> None:
    async def main() -> None:
        async with line(namespace, "a", "b") as (a, b):
            receivers = [asyncio.create_task(b.recv(timeout=WAIT)) for _ in range(50)]
            await asyncio.sleep(0)
            await asyncio.gather(*(a.set("b", str(number)) for number in range(50)))
            got = await asyncio.gather(*receivers)
            assert sorted(int(message.text()) for message in got) == list(range(50))

    asyncio.run(main())


def test_a_thousand_sends_run_concurrently(namespace: str) -> None:
    async def main() -> None:
        async with line(namespace, "a", "b") as (a, b):
            sends = asyncio.gather(*(a.set("b", str(number)) for number in range(1000)))
            got: list[int] = []
            async for batch in b.batches(64):
                assert 1 <= len(batch) <= 64
                got += [int(message.text()) for message in batch]
                if len(got) == 1000:
                    break
            assert got == list(range(1000))
            assert await sends == [["b"]] * 1000

    asyncio.run(main())


def test_other_coroutines_run_during_a_flood_of_messages(namespace: str) -> None:
    async def main() -> None:
        async with line(namespace, "a", "b") as (a, b):
            await asyncio.gather(*(a.set("b", "x") for _ in range(1000)))
            ticks = 0

            async def tick() -> None:
                nonlocal ticks
                while True:
                    ticks += 1
                    await asyncio.sleep(0)

            ticker = asyncio.create_task(tick())
            for _ in range(1000):
                await b.recv()
            assert ticks >= 5
            ticker.cancel()

    asyncio.run(main())


def test_iteration_ends_when_the_node_closes(namespace: str) -> None:
    async def main() -> None:
        async with line(namespace, "a", "b") as (a, b):
            await a.set("b", "1")
            await a.set("b", "2")
            got = []
            async for message in b:
                got.append(message.text())
                if message.text() == "2":
                    b.close()
            assert got == ["1", "2"]
            assert [batch async for batch in b.batches()] == []

    asyncio.run(main())


def test_events_arrive_and_end_when_the_node_closes(namespace: str) -> None:
    async def main() -> None:
        async with single(namespace) as a:
            events = a.events()
            waiting = asyncio.create_task(events.next())
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            async with AsyncNode("b", namespace, bind="127.0.0.1", port=0) as b:
                await a.dial(address(b))
                await a.wait_for("b", timeout=WAIT)
            seen = []
            async for event in events:
                seen.append((event.kind, event.node))
                if event.kind == EventKind.NODE_LEFT:
                    a.close()
            assert (EventKind.LINK_UP, "b") in seen and (EventKind.NODE_JOINED, "b") in seen

    asyncio.run(main())


def test_waiting_for_an_event_takes_a_timeout_and_loses_no_event(namespace: str) -> None:
    async def main() -> None:
        async with (
            single(namespace) as a,
            AsyncNode("b", namespace, bind="127.0.0.1", port=0) as b,
        ):
            events = a.events()
            assert events.mesh == {"a": ()}
            for timeout in (0, 0.05):
                with pytest.raises(meshage.MeshageTimeout):
                    await events.next(timeout=timeout)
            with pytest.raises(meshage.InvalidArgument):
                await events.next(timeout=-1)
            # A cancelled wait, one that is cancelled when an event is there, and one that times out.
            waiting = asyncio.create_task(events.next())
            await asyncio.sleep(0)
            await a.dial(address(b))
            waiting.cancel()
            await asyncio.wait([waiting])
            await a.wait_for("b", timeout=WAIT)
            kinds = set() if waiting.cancelled() else {waiting.result()}
            found = {event.kind for event in kinds if event is not None}
            while EventKind.TOPOLOGY not in found:
                event = await events.next(timeout=WAIT)
                assert event is not None
                found.add(event.kind)
            assert {EventKind.LINK_UP, EventKind.NODE_JOINED} <= found
            a.msa()
            await b.aclose()
            while (event := await events.next(timeout=WAIT)) is not None:
                if event.kind == EventKind.NODE_LEFT:
                    break
            # An event that is there is taken even with a timeout of 0.
            await a.aclose()
            while await events.next(timeout=0) is not None:
                pass

    asyncio.run(main())


def test_closing_from_another_thread_wakes_all_waiters(namespace: str) -> None:
    async def main() -> None:
        node = single(namespace)
        calls: list[Callable[[], object]] = [
            node.recv,
            node.recv_many,
            lambda: node.wait_for("nobody"),
            lambda: node.set("nobody", "x", retry=True, timeout=WAIT),
        ]
        waiting = [asyncio.ensure_future(call()) for call in calls]  # type: ignore[call-overload]
        while node.stats()["sends_under_way"] == 0:
            await asyncio.sleep(0)
        closer = threading.Thread(target=node.close)
        closer.start()
        ended = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), WAIT)
        assert [type(error) for error in ended] == [meshage.NodeClosed] * len(calls)
        closer.join()
        await node.aclose()
        await node.aclose()
        with pytest.raises(meshage.NodeClosed):
            await node.recv()
        with pytest.raises(meshage.NodeClosed):
            await node.set("b", "x")

    asyncio.run(main())


def test_a_node_serves_one_loop_after_another(namespace: str) -> None:
    b = meshage.Node("b", namespace, bind="127.0.0.1", port=0)
    a = single(namespace)
    try:
        for number in range(5):

            async def exchange() -> None:
                if not a.peers():
                    await a.dial(address(b))
                    await a.wait_for("b", timeout=WAIT)
                    await asyncio.to_thread(b.wait_for, "a", WAIT)
                assert await a.set("b", str(number)) == ["b"]  # noqa: B023
                echo = asyncio.create_task(a.recv(timeout=WAIT))
                await asyncio.sleep(0)
                await asyncio.to_thread(b.set, "a", str(number))  # noqa: B023
                assert (await echo).text() == str(number)  # noqa: B023

            asyncio.run(exchange())
            assert b.recv(timeout=WAIT).text() == str(number)
        asyncio.run(a.aclose())
    finally:
        a.close()
        b.close()


def test_a_node_serves_two_loops_concurrently(namespace: str) -> None:
    b = meshage.Node("b", namespace, bind="127.0.0.1", port=0)
    a = single(namespace)
    got: list[int] = []
    total = 400

    async def receive() -> None:
        with contextlib.suppress(meshage.NodeClosed):
            async for message in a:
                got.append(int(message.text()))
                await a.set("b", message.text())

    threads = [threading.Thread(target=asyncio.run, args=(receive(),)) for _ in range(2)]
    try:
        for thread in threads:
            thread.start()
        b.dial(address(a))
        b.wait_for("a", timeout=WAIT)
        asyncio.run(a.wait_for("b", timeout=WAIT))
        for number in range(total):
            b.set("a", str(number))
        echoes = sorted(int(b.recv(timeout=WAIT).text()) for _ in range(total))
        assert echoes == list(range(total)) == sorted(got)
    finally:
        a.close()
        b.close()
        for thread in threads:
            thread.join(WAIT)
    assert not any(thread.is_alive() for thread in threads)


def test_an_unreferenced_node_is_closed(namespace: str) -> None:
    async def main() -> None:
        async with AsyncNode("b", namespace, bind="127.0.0.1", port=0) as b:
            a = single(namespace)
            await a.dial(address(b))
            await b.wait_for("a", timeout=WAIT)
            with pytest.raises(meshage.MeshageTimeout):
                await a.recv(timeout=0.01)
            events = b.events()
            await asyncio.sleep(0)  # the loop drops the exception that references the node
            with pytest.warns(ResourceWarning):
                del a
                gc.collect()
            async for event in events:
                if event.kind == EventKind.NODE_LEFT:
                    break

    asyncio.run(asyncio.wait_for(main(), WAIT))


def test_nodes_discover_each_other_by_broadcast(namespace: str) -> None:
    async def main() -> None:
        options = {"degree": 2, "broadcast": "127.255.255.255", "port": free_port()}
        nodes = [
            AsyncNode(f"n{number}", namespace, listen_port=0, **options)  # type: ignore[arg-type]
            for number in range(4)
        ]
        async with contextlib.AsyncExitStack() as stack:
            for node in nodes:
                await stack.enter_async_context(node)
            for node in nodes:
                assert len(await node.wait_for(4, timeout=WAIT)) == 4

    asyncio.run(main())
