"""The snoop callback, on loopback."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
import weakref

import meshage
import pytest
from conftest import WAIT, Line, Make, address
from meshage import EventKind, Message


def test_a_relay_is_on_the_route_and_snoops_the_message(line: Line) -> None:
    a, b, c = line("a", "b", "c")
    seen: list[Message] = []
    called = threading.Event()

    def snoop(message: Message) -> None:
        seen.append(message)
        called.set()

    b.snoop = snoop
    assert b.snoop is snoop
    assert a.set("c", "through b") == ["c"]
    assert c.recv(timeout=WAIT).route == ("a", "b")
    assert called.wait(WAIT)
    assert seen[0].text() == "through b" and seen[0].recipients == ("c",)
    assert threading.current_thread().name not in [m.source for m in seen]
    b.snoop = None
    assert b.snoop is None
    assert a.set("c", "unseen") == ["c"]
    assert c.recv(timeout=WAIT).text() == "unseen"
    assert len(seen) == 1


def test_an_exception_in_the_callback_does_not_stop_snooping(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    a, b, c = line("a", "b", "c")
    second = threading.Event()

    def snoop(message: Message) -> None:
        if message.text() == "first":
            raise ValueError("not this one")
        second.set()

    b.snoop = snoop
    a.set("c", "first")
    a.set("c", "second")
    assert second.wait(WAIT)
    assert any("snoop" in record.name for record in caplog.records)


def test_messages_dropped_for_a_slow_callback_are_counted(line: Line) -> None:
    a, b, c = line("a", "b", "c")
    sent, started, go, last = 1500, threading.Event(), threading.Event(), threading.Event()
    seen: list[Message] = []

    def snoop(message: Message) -> None:
        started.set()
        go.wait(WAIT)
        seen.append(message)
        if message.text() == "the end":
            last.set()

    b.snoop = snoop
    for number in range(sent):
        a.set("c", str(number))
        c.recv(WAIT)
        assert started.wait(WAIT)
    until = time.monotonic() + WAIT
    # The callback processes one message, and 1,024 wait.
    while b.stats()["net_snoops_dropped"] < sent - 1025 and time.monotonic() < until:
        time.sleep(0.01)
    go.set()
    while len(seen) + b.stats()["net_snoops_dropped"] < sent and time.monotonic() < until:
        time.sleep(0.01)
    missed = b.stats()["net_snoops_dropped"]
    assert missed >= sent - 1025 and len(seen) + missed == sent
    a.set("c", "the end")
    assert last.wait(WAIT)
    assert b.stats()["net_snoops_dropped"] == missed


def test_the_queue_of_a_slow_callback_is_bounded_in_bytes(line: Line) -> None:
    a, b, c = line("a", "b", "c")
    started, go = threading.Event(), threading.Event()
    seen: list[int] = []

    def snoop(message: Message) -> None:
        started.set()
        go.wait(WAIT)
        seen.append(len(message))

    b.snoop = snoop
    body = bytes(8 << 20)
    for _ in range(11):
        a.set("c", body, timeout=60)
        c.recv(WAIT)
        assert started.wait(WAIT)
    until = time.monotonic() + WAIT
    # 64 MiB are eight messages, including those that the callback processes.
    while b.stats()["net_snoops_dropped"] < 3 and time.monotonic() < until:
        time.sleep(0.01)
    go.set()
    while len(seen) < 8 and time.monotonic() < until:
        time.sleep(0.01)
    assert seen == [8 << 20] * 8
    assert b.stats()["net_snoops_dropped"] == 3


def test_a_callback_may_close_its_own_node(line: Line) -> None:
    a, b, c = line("a", "b", "c")
    closed = threading.Event()

    def snoop(message: Message) -> None:
        b.close()
        closed.set()

    b.snoop = snoop
    with contextlib.suppress(meshage.SendError):  # the path breaks while the message is in flight
        a.set("c", "x")
    assert closed.wait(WAIT)
    assert b.closed


def test_a_node_that_its_callback_references_is_collected(make: Make, namespace: str) -> None:
    class Owner:
        def __init__(self) -> None:
            self.node = meshage.Node("a", namespace, bind="127.0.0.1", port=0)
            self.node.snoop = self.called

        def called(self, message: Message) -> None:
            raise AssertionError

    b = make("b")
    owner = Owner()
    owner.node.dial(address(b))
    b.wait_for("a", timeout=WAIT)
    events = b.events()
    collected = weakref.ref(owner)
    with pytest.warns(ResourceWarning):
        del owner
        gc.collect()
    assert collected() is None
    while (event := events.next(WAIT)) is not None and event.kind != EventKind.NODE_LEFT:
        pass
    assert event is not None and event.node == "a"
