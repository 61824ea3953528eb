"""Threads and descriptors: closing gives them back, and a lack of them is an error of this package."""

from __future__ import annotations

from conftest import run_quickly

COUNT = """
def count():
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))

def back_to(before):
    deadline = time.monotonic() + 20
    while (after := count()) != before:
        assert time.monotonic() < deadline, (before, after)
        time.sleep(0.01)
"""

LINE = """
def line():
    a, b = pair()
    c = start("c")
    c.dial(f"127.0.0.1:{a.port}")
    for node in (a, b, c):
        node.wait_for(["a", "b", "c"], timeout=20)
    return a, b, c
"""

WITHOUT_THREADS = """
import resource
def forbid_threads():
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
    try:
        threading.Thread(target=print).start()
    except RuntimeError:
        return
    print("threads can still be started")
    sys.exit(0)
"""

WITHOUT_DESCRIPTORS = """
import resource
def forbid_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
"""


def test_close_gives_back_threads_and_descriptors() -> None:
    run_quickly(
        COUNT
        + LINE
        + """
start("warm-up").close()   # the library opens some descriptors once
before = count()
a, b, c = line()
a.snoop = lambda message: None
events = a.events()
waiting = [threading.Thread(target=list, args=(it,)) for it in (a, events)]
for thread in waiting:
    thread.start()
b.set("c", "x")
for node in (a, b, c):
    node.close()
for thread in waiting:
    thread.join()
back_to(before)
# The objects still exist, and work as those of a closed node do.
assert a.closed and a.name == "a" and list(events) == []
assert c.recv().text() == "x"
for call in (c.recv, lambda: c.set("a", "x"), lambda: c.dial("127.0.0.1:1"), lambda: c.wait_for("a"),
             lambda: c.hangup("a")):
    try:
        call()
        sys.exit("no error")
    except meshage.NodeClosed:
        pass
for node in (a, b, c):
    node.close()
    node.mesh(), node.peers(), node.stats(), node.dot(), repr(node)
""",
        limit=30,
    )


def test_aclose_gives_back_threads_and_descriptors() -> None:
    run_quickly(
        COUNT
        + """
start("warm-up").close()
async def main(a):
    b = start("b", meshage.AsyncNode)
    a.snoop = lambda message: None
    events = a.events()
    await b.dial(f"127.0.0.1:{a.port}")
    waiting = [asyncio.create_task(anext(aiter(it), None)) for it in (a, b)]
    await events.next(timeout=20)
    await a.wait_for("b", timeout=20)
    assert await a.set("b", "x") == ["b"]
    assert (await waiting[1]).text() == "x"
    await a.aclose()
    await b.aclose()
    assert await waiting[0] is None
    return b, events
asyncio.run(main(start("a", meshage.AsyncNode)))   # asyncio's own threads and descriptors
before = count()
a = start("a", meshage.AsyncNode)
b, events = asyncio.run(main(a))
back_to(before)
assert a.closed and b.closed
asyncio.run(a.aclose())
back_to(before)
""",
        limit=30,
    )


def test_the_close_of_an_asyncio_node_gives_back_threads_and_descriptors() -> None:
    run_quickly(
        COUNT
        + """
start("warm-up").close()
asyncio.run(asyncio.sleep(0))
before = count()
a, b = start("a", meshage.AsyncNode), start("b")
b.dial(f"127.0.0.1:{a.port}")
events = a.events()
async def main():
    await a.wait_for("b", timeout=20)
    a.snoop = print
    await a.set("b", "x")
    a.close()
    try:
        await a.recv()
        sys.exit("no error")
    except meshage.NodeClosed:
        pass
asyncio.run(main())
b.close()
a.snoop = None
back_to(before)
assert b.recv().text() == "x" and a.closed
""",
        limit=30,
    )


def test_aclose_gives_back_what_other_event_loops_used() -> None:
    run_quickly(
        COUNT
        + """
start("warm-up").close()
asyncio.run(asyncio.sleep(0))
before = count()
a = start("a", meshage.AsyncNode)
async def receive():
    try:
        await a.recv()
    except meshage.NodeClosed:
        pass
# One loop ends with a coroutine that waits, another one runs while the node closes.
loop = asyncio.new_event_loop()
task = loop.create_task(receive())
loop.run_until_complete(asyncio.sleep(0.01))
loop.close()
thread = threading.Thread(target=asyncio.run, args=(receive(),))
thread.start()
while loop in a._drivers:   # until the second loop has replaced it
    time.sleep(0.001)
asyncio.run(a.aclose())
thread.join()
import logging
logging.disable()   # asyncio's own warning about the pending task
del task
import gc
gc.collect()   # the pending task refers to itself
back_to(before)
""",
        limit=30,
    )


def test_the_public_descriptor_stays_readable_after_the_close() -> None:
    run_quickly(
        """
import select
a = start("a")
fd = a.fileno()
assert select.select([fd], [], [], 0)[0] == []
threading.Timer(0.1, a.close).start()
assert select.select([fd], [], [], 20)[0] == [fd]
a.close()
assert select.select([fd], [], [], 0)[0] == [fd] and a.fileno() == fd
"""
    )


def test_a_lack_of_threads_is_a_resource_error() -> None:
    out = run_quickly(
        LINE
        + WITHOUT_THREADS
        + """
a, b, c = line()
forbid_threads()
def snoop():
    a.snoop = print
for call in (snoop, meshage.enable_logging):
    try:
        call()
        sys.exit("no error")
    except meshage.ResourceError as error:
        import errno
        assert error.errno == errno.EAGAIN and "ulimit -u" in str(error), error
assert a.snoop is None
# The node works as before, and closes.
assert b.set("c", "x") == ["c"]
for node in (a, b, c):
    node.close()
print("end")
"""
    )
    assert out.endswith("end\n") or "can still be started" in out


def test_a_node_that_cannot_start_its_threads_raises_an_error_of_this_package() -> None:
    from conftest import PROGRAM_START, run_python

    done = run_python(
        PROGRAM_START
        + WITHOUT_THREADS
        + """
forbid_threads()
try:
    start("a")
    sys.exit("no error")
except meshage.MeshageError as error:
    print("raised", type(error).__name__)
"""
    )
    assert done.status == 0 and ("raised" in done.out or "can still" in done.out), done


def test_a_lack_of_descriptors_is_an_error_of_this_package() -> None:
    out = run_quickly(
        LINE
        + WITHOUT_DESCRIPTORS
        + """
import errno
a, b, c = line()
x = start("x", meshage.AsyncNode)
loop = asyncio.new_event_loop()
forbid_descriptors()
def snoop():
    a.snoop = print
for call in (a.fileno, snoop, meshage.enable_logging,
             lambda: loop.run_until_complete(x.wait_for("y", timeout=1))):
    try:
        call()
        sys.exit("no error")
    except meshage.ResourceError as error:
        assert error.errno == errno.EMFILE, error
try:
    start("d")
    sys.exit("no error")
except meshage.MeshageError as error:
    assert error.errno == errno.EMFILE, error
assert b.set("c", "x") == ["c"]
for node in (a, b, c, x):
    node.close()
print("end")
"""
    )
    assert out == "end\n"
