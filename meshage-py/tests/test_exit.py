"""Interpreter exits with open nodes, killed peers and leaks, in separate programs. None may hang."""

from __future__ import annotations

import pytest
from conftest import PROGRAM_START, run_python, run_quickly


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


def test_a_daemon_thread_that_waits_in_a_node_ends_without_a_traceback() -> None:
    out = run_quickly(
        """
import _thread
a, b = pair()
events = a.events()
calls = (a.recv, a.recv_many, lambda: a.wait_for("c"), lambda: a.set("c", "x", retry=True),
         lambda: [b.recv(), b.recv()])
for call in calls:
    threading.Thread(target=call, daemon=True).start()
_thread.start_new_thread(a.recv, ())
def until_closed():
    try:
        a.recv()
    except meshage.NodeClosed:
        os.write(1, b"closed\\n")   # at once: the interpreter may end between two writes
threading.Thread(target=until_closed, daemon=True).start()
time.sleep(0.2)   # most of them wait by now; the test holds in any case
"""
    )
    assert out == "closed\n"


def test_other_exceptions_of_daemon_threads_are_still_printed() -> None:
    done = run_python(
        # Handlers run in reverse order: this one after the package's own.
        "import atexit; atexit.register(lambda: thread.join(20))\n"
        + PROGRAM_START
        + """
a = start("a")
def fail():
    try:
        a.recv()
    except meshage.NodeClosed:
        raise ValueError("mine") from None
thread = threading.Thread(target=fail, daemon=True)
thread.start()
"""
    )
    assert done.status == 0 and "ValueError: mine" in done.err


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
    done = run_python(PROGRAM_START + "a, b = pair()\nsys.exit(7)\n")
    assert (done.status, done.err) == (7, "")
    done = run_python(PROGRAM_START + "a, b = pair()\nraise SystemError('mine')\n")
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
