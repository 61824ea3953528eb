"""Exits, forks and failing event loops, each in a separate program. None may hang."""

from __future__ import annotations

import time

import pytest
from conftest import check_python, run_python

START = """
import asyncio, os, sys, threading, time, warnings
import meshage

def start(name, kind=meshage.Node, **options):
    return kind(name, "processes", bind="127.0.0.1", port=0, **options)

def pair(kind=meshage.Node):
    a, b = start("a", kind), start("b")
    b.dial(f"127.0.0.1:{a.port}")
    b.wait_for("a", timeout=20)
    while not a.broadcast_recipients():
        time.sleep(0.005)
    return a, b
"""


def run_quickly(code: str, limit: float = 10.0) -> str:
    """Runs a program that must end by itself, well before its nodes' timeouts."""
    begin = time.monotonic()
    out = check_python(START + code)
    assert time.monotonic() - begin < limit
    return out


def test_an_exit_without_close_is_clean() -> None:
    out = run_quickly(
        """
a, b = pair()
a.snoop = print
print("end")
"""
    )
    assert out == "end\n"


def test_an_exit_while_daemon_threads_wait_in_the_node_is_clean() -> None:
    run_quickly(
        """
a, b = pair()
def forever(call):
    while True:
        try:
            call()
        except meshage.MeshageError:
            pass
events = a.events()
for call in (a.recv, a.recv_many, lambda: a.wait_for("c"), events.next,
             lambda: a.set("b", "x"), lambda: list(a)):
    threading.Thread(target=forever, args=(call,), daemon=True).start()
time.sleep(0.2)
"""
    )


def test_an_exit_during_a_snoop_callback_is_clean() -> None:
    run_quickly(
        """
a, b = pair()
c = start("c")
c.dial(f"127.0.0.1:{a.port}")
c.wait_for("b", timeout=20)
b.wait_for("c", timeout=20)
reached = threading.Event()
def stuck(message):
    reached.set()
    time.sleep(3600)
a.snoop = stuck
b.set("c", "x")
assert reached.wait(20)
"""
    )


def test_an_exit_while_logging_is_clean() -> None:
    run_quickly(
        """
import logging
logging.basicConfig(level=1, stream=sys.stdout)
meshage.enable_logging(5)
a, b = pair()
"""
    )


def test_an_exit_by_an_error_keeps_its_status() -> None:
    done = run_python(START + "a, b = pair()\nsys.exit(7)\n")
    assert (done.status, done.err) == (7, "")
    done = run_python(START + "a, b = pair()\nraise SystemError('mine')\n")
    assert done.status == 1 and "SystemError: mine" in done.err


def test_a_peer_is_notified_of_an_exit() -> None:
    run_quickly(
        """
import subprocess
a = start("a")
events = a.events()
code = "import sys, meshage; n = meshage.Node('x', 'processes', bind='127.0.0.1', port=0);"
code += f"n.dial('127.0.0.1:{a.port}'); n.wait_for('a', timeout=20)"
subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
kinds = []
while meshage.EventKind.NODE_LEFT not in kinds:
    kinds.append(events.next(timeout=20).kind)
a.close()
"""
    )


def test_calls_in_a_forked_child_raise_and_the_parent_continues() -> None:
    out = run_quickly(
        """
a, b = pair()
events = a.events()
sending = a.send_async(meshage.Message("x", ["b"]))
sending.result(20)
b.recv(20)
a.fileno()
child = os.fork()
if child == 0:
    raised = 0
    calls = [lambda: a.set("b", "x"), lambda: a.recv(0), a.try_recv, lambda: a.recv_many(5, 0),
             lambda: a.broadcast("x"), lambda: a.dial("127.0.0.1:1"), lambda: a.hangup("b"),
             lambda: a.wait_for(2, 0), a.mesh, a.peers, a.dot, a.msa, a.stats, a.fileno, a.events,
             a.broadcast_recipients, lambda: a.degree, lambda: setattr(a, "degree", 1),
             lambda: setattr(a, "snoop", print), lambda: events.next(0), lambda: next(iter(a)),
             lambda: a.send(meshage.Message("x", ["b"])), b.__enter__,
             lambda: a.send_async(meshage.Message("x", ["b"])), sending.result, sending.done,
             sending.cancel]
    for number, call in enumerate(calls):
        try:
            call()
        except meshage.ForkError:
            raised += 1
        else:
            print("did not raise:", number)
    assert a.closed and a.name == "a" and a.port > 0
    a.close()
    b.__exit__(None, None, None)  # as at the end of a `with` block that contains the fork
    # A node that was started in the child works.
    with start("c") as c, start("d") as d:
        c.dial(f"127.0.0.1:{d.port}")
        c.wait_for("d", timeout=20)
        assert c.set("d", "x") == ["d"]
    print("raised", raised == len(calls), flush=True)
    del a, b, events, sending
    sys.exit(0)
_, status = os.waitpid(child, 0)
assert status == 0, status
assert a.set("b", "still here") == ["b"]
assert b.recv(timeout=20).text() == "still here"
a.close()
b.close()
print("parent")
"""
    )
    assert out == "raised True\nparent\n"


def test_a_fork_during_traffic_hangs_neither_process() -> None:
    run_quickly(
        """
a, b = pair()
stop = threading.Event()
def traffic():
    while not stop.is_set():
        a.set("b", b"x" * 1000)
        b.recv(timeout=20)
threads = [threading.Thread(target=traffic) for _ in range(2)]
for thread in threads:
    thread.start()
for _ in range(10):
    child = os.fork()
    if child == 0:
        try:
            a.set("b", "x")
        except meshage.ForkError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads:
    thread.join()
a.close()
b.close()
""",
        limit=30,
    )


def test_multiprocessing_by_fork_works_with_a_running_node() -> None:
    run_quickly(
        """
import multiprocessing
def child(queue):
    try:
        a.set("b", "x")
    except meshage.ForkError as error:
        queue.put(error)
a, b = pair()
context = multiprocessing.get_context("fork")
queue = context.Queue()
process = context.Process(target=child, args=(queue,))
process.start()
assert type(queue.get(timeout=20)) is meshage.ForkError
process.join(20)
assert process.exitcode == 0
a.close()
b.close()
"""
    )


def test_an_asyncio_node_raises_in_a_forked_child() -> None:
    run_quickly(
        """
async def main():
    a, b = pair(meshage.AsyncNode)
    await a.set("b", "x")
    child = os.fork()
    if child == 0:
        asyncio.events._set_running_loop(None)
        async def check():
            for call in (a.recv(), a.set("b", "x"), a.wait_for(2), a.recv_many()):
                try:
                    await call
                except meshage.ForkError:
                    continue
                os._exit(1)
            await a.aclose()
            os._exit(0)
        asyncio.run(check())
    assert os.waitpid(child, 0)[1] == 0
    assert await a.set("b", "y") == ["b"]
    await a.aclose()
    b.close()
asyncio.run(main())
"""
    )


def test_all_coroutines_raise_after_a_fork_inside_a_running_loop() -> None:
    run_quickly(
        """
async def main():
    a, b = pair(meshage.AsyncNode)
    events = a.events()
    child = os.fork()
    if child == 0:
        calls = [
            lambda: a.recv(1), lambda: a.recv_many(), lambda: a.set("b", "x"),
            lambda: a.broadcast("x"), lambda: a.send(meshage.Message("x", ["b"])),
            lambda: a.dial("127.0.0.1:1"), lambda: a.hangup("b"), lambda: a.wait_for("b", 1),
            lambda: anext(aiter(a)), lambda: anext(a.batches()), lambda: anext(events),
            lambda: a.__aenter__(),
        ]
        for number, call in enumerate(calls * 20):
            try:
                await call()
            except meshage.ForkError:
                continue
            os._exit(1 + number)
        await a.aclose()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert await a.set("b", "y") == ["b"]
    await a.aclose()
    b.close()
asyncio.run(main())
"""
    )


def test_a_node_can_be_used_during_interpreter_shutdown() -> None:
    out = run_quickly(
        """
class Owner:
    def __init__(self):
        self.node = meshage.Node("z", bind="127.0.0.1", port=0)
    def __del__(self):
        for call in (lambda: self.node.set("b", "x"), lambda: self.node.recv(1)):
            try:
                call()
            except Exception as error:
                print(type(error).__name__)
        self.node.close()
        print("closed", self.node.closed)
owner = Owner()
"""
    )
    assert out.split() == ["NodeClosed", "NodeClosed", "closed", "True"]


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


def test_a_killed_peer_raises_no_signal() -> None:
    run_quickly(
        """
import signal, subprocess
a = start("a")
code = "import meshage; n = meshage.Node('x', 'processes', bind='127.0.0.1', port=0);"
code += f"n.dial('127.0.0.1:{a.port}'); n.recv()"
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
peer = subprocess.Popen([sys.executable, "-c", code])
a.wait_for("x", timeout=20)
peer.kill()
peer.wait()
try:
    while True:
        a.set("x", b"x" * 100_000, timeout=5)
except (meshage.SendError, meshage.MeshageTimeout) as error:
    assert list(error.failed) == ["x"]
a.close()
"""
    )


@pytest.mark.parametrize("kind", ["Node", "AsyncNode"])
def test_starting_and_closing_many_nodes_leaks_nothing(kind: str) -> None:
    run_quickly(
        f"""
def count():
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
def round_trip():
    a, b = pair(meshage.{kind})
    if isinstance(a, meshage.AsyncNode):
        async def use():
            await a.set("b", "x")
            b.set("a", "y")
            await a.recv()
            await a.aclose()
        asyncio.run(use())
    else:
        a.snoop = print
        a.set("b", "x")
        a.fileno()
    a.close()
    b.close()
round_trip()
deadline = time.monotonic() + 20
before = count()
for _ in range(10):
    round_trip()
while (after := count()) > before and time.monotonic() < deadline:
    time.sleep(0.05)
assert after <= before, (before, after)
""",
        limit=40,
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
