"""Nodes in a forked child and in its parent, in separate programs. None may hang."""

from __future__ import annotations

from conftest import run_quickly


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


SOCKETS = """
def bound_sockets():
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            copy = os.dup(int(name))
        except OSError:
            continue  # the descriptor of the list
        try:
            one = socket.socket(fileno=copy)
        except OSError:
            os.close(copy)
        else:
            found += one.family != socket.AF_UNIX
            one.close()
    return found

def alone(node):
    began = time.monotonic()
    while node.peers():
        assert time.monotonic() - began < 1
        time.sleep(0.001)
"""
"""Less than the 3 s after which a peer is found dead by its silence."""


def test_a_worker_does_not_keep_the_sockets_of_its_parent() -> None:
    run_quickly(
        SOCKETS
        + """
import gc, multiprocessing, socket, time
def worker(ready, end):
    global a, b
    inherited = bound_sockets()
    a = b = None
    gc.collect()
    ready.send((inherited, bound_sockets()))
    end.wait(20)
a, b = pair()
b.fileno()
# Each node has a listener, its end of the link and, on Linux, a watch of the interfaces.
assert bound_sockets() in (4, 6), bound_sockets()
context = multiprocessing.get_context("fork")
ready, sent = context.Pipe()
end = context.Event()
process = context.Process(target=worker, args=(sent, end))
process.start()
assert ready.poll(20)
assert ready.recv() == (0, 0)
assert a.set("b", "after the fork") == ["b"]
port = a.port
a.close()
alone(b)
with start("again", listen_port=port) as again:
    again.dial(f"127.0.0.1:{b.port}")
end.set()
process.join(20)
assert process.exitcode == 0
b.close()
"""
    )


def test_the_port_of_a_killed_parent_is_free_while_its_worker_lives() -> None:
    run_quickly(
        SOCKETS
        + """
import signal, socket, time
reader, writer = os.pipe()
end_reader, end_writer = os.pipe()
parent = os.fork()
if parent == 0:
    os.close(end_writer)
    a = start("a")
    os.write(writer, f"{a.port}{os.linesep}".encode())
    a.wait_for("b", timeout=20)
    if os.fork() == 0:
        os.write(writer, f"worker{os.linesep}".encode())
        os.read(end_reader, 1)
        os._exit(0)
    signal.pause()
lines = os.fdopen(reader)
port = int(lines.readline())
with start("b") as b:
    b.dial(f"127.0.0.1:{port}")
    assert lines.readline().strip() == "worker"
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    alone(b)
    start("a", listen_port=port).close()
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
