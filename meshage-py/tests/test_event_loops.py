"""Nodes with event loops and threads that end early, in separate programs. None may hang."""

from __future__ import annotations

from conftest import run_quickly


def test_a_node_survives_a_loop_that_closes_with_waiting_coroutines() -> None:
    run_quickly(
        """
a, b = pair(meshage.AsyncNode)
loop = asyncio.new_event_loop()
async def begin():
    global tasks
    tasks = [loop.create_task(a.recv()), loop.create_task(a.wait_for("nobody"))]
    await asyncio.sleep(0.05)
loop.run_until_complete(begin())
loop.close()
# The node and the closed loop do not affect each other.
b.set("a", "for the next loop")
async def again():
    assert (await a.recv(timeout=20)).text() == "for the next loop"
    assert await a.set("b", "x") == ["b"]
    await a.aclose()
asyncio.run(again())
b.close()
import logging
logging.disable()   # asyncio's own warning about pending tasks
"""
    )


def test_a_loop_may_end_without_closing_the_node() -> None:
    run_quickly(
        """
a, b = pair(meshage.AsyncNode)
async def main():
    waiting = asyncio.create_task(a.recv())
    events = asyncio.create_task(a.events().next())
    await a.set("b", "x")
asyncio.run(main())
"""
    )


def test_an_asyncio_node_can_be_closed_without_its_loop() -> None:
    run_quickly(
        """
a, b = pair(meshage.AsyncNode)
async def main():
    await a.set("b", "x")
asyncio.run(main())
a.close()
assert a.closed
asyncio.run(a.aclose())
b.close()
"""
    )


def test_an_asyncio_node_without_a_running_loop_raises_a_runtime_error() -> None:
    run_quickly(
        """
a, b = pair(meshage.AsyncNode)
coroutine = a.set("b", "x")
try:
    coroutine.send(None)
except RuntimeError as error:
    assert "loop" in str(error)
else:
    sys.exit("no error")
a.close()
b.close()
"""
    )


def test_ctrl_c_ends_an_asyncio_program() -> None:
    run_quickly(
        """
import signal
async def main():
    async with start("a", meshage.AsyncNode) as node:
        asyncio.get_running_loop().call_later(0.2, os.kill, os.getpid(), signal.SIGINT)
        await node.recv()
try:
    asyncio.run(main())
except KeyboardInterrupt:
    pass
else:
    sys.exit("not interrupted")
"""
    )


def test_two_concurrent_loops_share_a_node_and_a_third_closes_it() -> None:
    out = run_quickly(
        """
a, b = pair(meshage.AsyncNode)
got = []
async def serve():
    try:
        async for message in a:
            got.append(message.text())
            # The echo is received before its acknowledgement arrives.
            await a.set("b", message.text())
        await a.wait_for("nobody")
    except meshage.NodeClosed:
        return
threads = [threading.Thread(target=asyncio.run, args=(serve(),)) for _ in range(2)]
for thread in threads:
    thread.start()
for number in range(200):
    b.set("a", str(number))
echoes = sorted(int(b.recv(timeout=20).text()) for _ in range(200))
assert echoes == list(range(200))
asyncio.run(a.aclose())
for thread in threads:
    thread.join(20)
    assert not thread.is_alive()
b.close()
print("end")
"""
    )
    assert out == "end\n"


def test_closing_from_another_thread_ends_all_waits() -> None:
    run_quickly(
        """
node = start("a")
threading.Timer(0.2, node.close).start()
events = node.events()
for call in (node.recv, events.next, lambda: node.wait_for("b"), lambda: list(node)):
    try:
        call()
    except meshage.NodeClosed:
        pass
other = start("b", meshage.AsyncNode)
async def main():
    threading.Timer(0.2, other.close).start()
    calls = [other.recv(), other.recv_many(), other.wait_for("c"), other.events().next()]
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(end) for end in ended[:3]] == [meshage.NodeClosed] * 3, ended
    assert ended[3] is None
    await other.aclose()
asyncio.run(main())
"""
    )
