"""Closing, collecting and copying nodes."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
from collections.abc import Callable

import meshage
import pytest
from conftest import PROGRAM_START, WAIT, Kind, Make, address, check_python, free_port
from meshage import EventKind


@pytest.mark.parametrize("kind", [meshage.Node, meshage.AsyncNode])
def test_a_node_can_be_neither_copied_nor_pickled(kind: Kind, namespace: str) -> None:
    node = kind("a", namespace, bind="127.0.0.1", port=0)
    for take in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match=kind.__name__):
            take(node)
    assert not node.closed
    node.close()


@pytest.mark.parametrize("kind", [meshage.Node, meshage.AsyncNode])
def test_a_node_that_failed_to_start_is_deleted_without_an_error(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", errors.append)
    with pytest.raises(ValueError):
        kind("not a name")
    with pytest.raises(TypeError):
        kind(nope=1)  # type: ignore[call-arg]
    node = kind.__new__(kind)
    assert "not started" in repr(node)
    del node
    gc.collect()
    assert errors == []


def test_closing_wakes_all_waiting_calls_and_may_be_repeated(make: Make) -> None:
    node = make("a")
    events = node.events()
    ended: list[str] = []
    waiting = threading.Barrier(5)

    def wait(name: str, call: Callable[[], object]) -> None:
        waiting.wait(WAIT)
        try:
            call()
        except meshage.NodeClosed:
            ended.append(name)

    calls: dict[str, Callable[[], object]] = {
        "recv": node.recv,
        "recv_many": node.recv_many,
        "wait_for": lambda: node.wait_for("nobody"),
        "set": lambda: node.set("nobody", "x", retry=True, timeout=WAIT),
    }
    threads = [threading.Thread(target=wait, args=item) for item in calls.items()]
    for thread in threads:
        thread.start()
    waiting.wait(WAIT)
    node.close()
    node.close()
    for thread in threads:
        thread.join(WAIT)
    assert sorted(ended) == sorted(calls)
    assert events.next(WAIT) is None
    assert node.closed
    for call in (
        lambda: node.set("b", "x"),
        lambda: node.broadcast("x"),
        lambda: node.dial("127.0.0.1:1"),
        lambda: node.hangup("b"),
        lambda: node.try_recv(),
        lambda: node.wait_for("b"),
    ):
        with pytest.raises(meshage.NodeClosed):
            call()
    assert node.name == "a" and "closed" in repr(node)


def test_a_closed_node_raises_node_closed(make: Make) -> None:
    node = make("a", degree=1)
    node.close()
    for nodes in (0, 1, "a", ["a"], []):
        with pytest.raises(meshage.NodeClosed):
            node.wait_for(nodes, timeout=WAIT)
    with pytest.raises(meshage.NodeClosed), node:
        pass
    for name, value in (("degree", 2), ("timeout", 1), ("msa_timeout", 5), ("snoop", print)):
        with pytest.raises(meshage.NodeClosed):
            setattr(node, name, value)
    assert node.degree == 1
    node.snoop = None


def test_the_port_is_free_once_the_node_is_closed(make: Make) -> None:
    port = make("a").port
    for _ in range(3):
        with make("b", listen_port=free_port()) as node:
            port = node.port
        with make("c", listen_port=port) as node:
            assert node.port == port


def test_an_unreferenced_node_is_closed(make: Make, namespace: str) -> None:
    b = make("b")
    a = meshage.Node("a", namespace, bind="127.0.0.1", port=0)
    a.snoop = print
    a.dial(address(b))
    b.wait_for("a", timeout=WAIT)
    events = b.events()
    with pytest.warns(ResourceWarning):
        del a
    while (event := events.next(WAIT)) is not None and event.kind != EventKind.NODE_LEFT:
        pass
    assert event is not None and event.node == "a"


def test_without_threads_calls_raise_and_say_what_to_do() -> None:
    out = check_python(
        PROGRAM_START
        + """
import resource
if os.geteuid() == 0:
    os.setuid(50000 + os.getpid() % 5000)  # the limit does not bind root
def allow(threads):
    _, most = resource.getrlimit(resource.RLIMIT_NPROC)
    resource.setrlimit(resource.RLIMIT_NPROC, (threads, most))
def fails(call):
    try:
        call()
    except meshage.MeshageError as error:
        assert "RLIMIT_NPROC" in str(error), error
    else:
        raise AssertionError("it did not raise")
allow(1)
try:
    threading.Thread(target=int).start()
except RuntimeError:
    fails(lambda: start("a"))
    if os.geteuid() >= 50000:
        allow(2)
        with start("a") as a:
            fails(lambda: a.dial("localhost:1"))
            allow(10)
            try:
                a.dial("localhost:1")
            except meshage.MeshageError as error:
                assert "RLIMIT_NPROC" not in str(error), error
else:
    print("skipped: the limit on threads does not bind")
""",
    )
    if out:
        print(out)
