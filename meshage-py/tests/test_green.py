"""Programs on gevent, eventlet and uvloop, each in a process with a deadline."""

from __future__ import annotations

import importlib.util

import pytest
from conftest import PROGRAM_START, check_python

PATCHES = {
    "gevent": "from gevent import monkey; monkey.patch_all()",
    "eventlet": "import eventlet; eventlet.monkey_patch()",
}

LIMIT = 60.0
"""How long a program may take, in seconds: far more than it does on a loaded machine."""


def _need(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")


@pytest.fixture(params=[(package, order) for package in PATCHES for order in ("before", "after")])
def start(request: pytest.FixtureRequest) -> str:
    """The first lines of a program that patches the standard library, before or after the import."""
    package, order = request.param
    _need(package)
    # eventlet warns that it is no longer developed.
    quiet = "import warnings; warnings.simplefilter('ignore')"
    patch = f"{quiet}\n{PATCHES[package]}\n"
    return patch + PROGRAM_START if order == "before" else PROGRAM_START + patch


SOON = """
def soon(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "too late"
        time.sleep(0.01)   # lets other green threads run
"""


def test_logging_runs_beside_green_threads(start: str) -> None:
    out = check_python(
        start
        + SOON
        + """
import logging
lines = []
class Handler(logging.Handler):
    def emit(self, record):
        lines.append(record.getMessage())
logging.getLogger("meshage").addHandler(Handler())
logging.getLogger("meshage").setLevel(1)
meshage.enable_logging("DEBUG")
a, b = pair()
assert a.set("b", "x") == ["b"]
soon(lambda: any("link up" in line for line in lines))
meshage.enable_logging(5)
before = len(lines)
start("c").close()
soon(lambda: len(lines) > before)
meshage.disable_logging()
a.close(); b.close()
print("end")
""",
        timeout=LIMIT,
    )
    assert out == "end\n"


def test_a_snoop_callback_runs_beside_green_threads(start: str) -> None:
    out = check_python(
        start
        + SOON
        + """
a, b = pair()
c = start("c")
c.dial(f"127.0.0.1:{a.port}")
for node in (a, b, c):
    node.wait_for(["a", "b", "c"], timeout=20)
got = []
a.snoop = lambda message: got.append(message.text())
for number in range(100):
    assert b.set("c", str(number)) == ["c"]
soon(lambda: len(got) == 100)
assert got == [str(number) for number in range(100)]
a.snoop = None
for node in (a, b, c):
    node.close()
print("end")
""",
        timeout=LIMIT,
    )
    assert out == "end\n"


def test_messages_and_events_pass_between_green_threads(start: str) -> None:
    out = check_python(
        start
        + """
a, b = pair()
events = b.events()
assert set(events.mesh) == {"a", "b"}
done = []
def work():
    for _ in range(20):
        assert a.set("b", "x", timeout=10) == ["b"]
        assert b.recv(timeout=10).text() == "x"
    done.append(1)
threads = [threading.Thread(target=work) for _ in range(5)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(done) == 5
a.close()
while events.next(timeout=20).kind != meshage.EventKind.NODE_LEFT:
    pass
b.close()
print("end")
""",
        timeout=LIMIT,
    )
    assert out == "end\n"


def test_a_gevent_program_waits_for_messages_without_blocking_the_hub() -> None:
    _need("gevent")
    out = check_python(
        PATCHES["gevent"]
        + PROGRAM_START
        + """
import gevent
from gevent.socket import wait_read
a, b = pair()
ticks = []
def tick():
    while True:
        ticks.append(1)
        gevent.sleep(0.01)
def receive():
    while (message := b.try_recv()) is None:
        wait_read(b.fileno())
    return message
ticker, receiver = gevent.spawn(tick), gevent.spawn(receive)
while len(ticks) < 5:
    gevent.sleep(0.01)
assert not receiver.ready()
a.set("b", "hello")
assert receiver.get(timeout=20).text() == "hello"
# A call that blocks runs in gevent's pool of real threads.
waiter = gevent.get_hub().threadpool.spawn(b.recv)
seen = len(ticks)
while len(ticks) < seen + 5:
    gevent.sleep(0.01)
a.set("b", "again")
assert waiter.get(timeout=20).text() == "again"
ticker.kill()
a.close(); b.close()
print("end")
""",
        timeout=LIMIT,
    )
    assert out == "end\n"


def test_ctrl_c_works_in_a_call_from_a_green_thread() -> None:
    _need("gevent")
    out = check_python(
        PATCHES["gevent"]
        + PROGRAM_START
        + """
import gevent, signal
a = start("a")
def stop(*_):
    raise SystemExit(0)
signal.signal(signal.SIGALRM, stop)
def receive():
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    begin = time.monotonic()
    try:
        a.recv()
    except SystemExit:
        print(time.monotonic() - begin < 5)
gevent.spawn(receive).join()
a.close()
""",
        timeout=LIMIT,
    )
    assert out == "True\n"


def test_the_asyncio_node_runs_on_uvloop() -> None:
    _need("uvloop")
    out = check_python(
        PROGRAM_START
        + """
import uvloop
async def main():
    a, b = start("a", meshage.AsyncNode), start("b", meshage.AsyncNode)
    events = a.events()
    await b.dial(f"127.0.0.1:{a.port}")
    await a.wait_for("b", timeout=20)
    await b.wait_for("a", timeout=20)
    assert (await events.next(timeout=20)) is not None
    async def echo():
        async for message in b:
            await b.set(message.source, message.body)
    echoing = asyncio.create_task(echo())
    for number in range(300):
        assert await a.set("b", str(number)) == ["b"]
        assert (await a.recv(timeout=20)).text() == str(number)
    try:
        await a.recv(timeout=0.05)
    except meshage.MeshageTimeout:
        pass
    cancelled = asyncio.create_task(a.recv())
    await asyncio.sleep(0.05)
    cancelled.cancel()
    assert await b.set("a", "kept") == ["a"]
    assert (await a.recv(timeout=20)).text() == "kept"
    await a.aclose()
    await b.aclose()
    await echoing
uvloop.run(main())
print("end")
""",
        timeout=LIMIT,
    )
    assert out == "end\n"
