"""Receiving with the blocking node, on loopback."""

from __future__ import annotations

import select
import threading
import time

import meshage
import pytest
from conftest import WAIT, Line, Make


def test_receiving_waits_until_its_timeout(make: Make) -> None:
    node = make("a")
    assert node.try_recv() is None
    for receive in (node.recv, lambda timeout: node.recv_many(10, timeout)):
        for timeout in (0, 0.2):
            begin = time.monotonic()
            with pytest.raises(meshage.MeshageTimeout):
                receive(timeout)
            assert timeout <= time.monotonic() - begin < timeout + 2


@pytest.mark.parametrize("timeout", [-1, -0.001, float("nan")])
def test_an_invalid_timeout_raises_a_value_error(make: Make, timeout: float) -> None:
    node = make("a")
    for call in (
        lambda: node.recv(timeout),
        lambda: node.set("b", "x", timeout=timeout),
        lambda: node.wait_for(2, timeout),
        lambda: node.dial("127.0.0.1:1", timeout=timeout),
    ):
        with pytest.raises(ValueError):
            call()


def test_a_batch_has_at_most_max_messages(line: Line) -> None:
    a, b = line("a", "b")
    for number in range(10):
        a.set("b", str(number))
    first = b.recv_many(4, timeout=WAIT)
    assert [message.text() for message in first] == ["0", "1", "2", "3"]
    assert [message.text() for message in b.recv_many(timeout=WAIT)] == list("456789")
    for bad in (0, -1):
        with pytest.raises(ValueError):
            b.recv_many(bad)


def test_iteration_ends_when_the_node_closes_and_a_break_loses_no_message(line: Line) -> None:
    a, b = line("a", "b")
    for number in range(3):
        a.set("b", str(number))
    for message in b:
        assert message.text() == "0"
        break
    b.close()
    assert [message.text() for message in b] == ["1", "2"]
    with pytest.raises(meshage.NodeClosed):
        b.recv(0)


def test_the_descriptor_is_readable_while_a_message_waits(line: Line) -> None:
    a, b = line("a", "b")

    def readable(timeout: float) -> bool:
        return bool(select.select([b], [], [], timeout)[0])

    assert not readable(0)
    a.set("b", "1")
    a.set("b", "2")
    assert readable(WAIT)
    b.recv()
    assert readable(0)
    b.recv()
    assert not readable(0)
    b.close()
    assert readable(WAIT)


def test_other_threads_run_while_one_waits(make: Make) -> None:
    node = make("a")
    done = threading.Event()

    def wait() -> None:
        with pytest.raises(meshage.MeshageTimeout):
            node.recv(1.0)
        done.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    iterations = 0
    begin = time.monotonic()
    while not done.is_set() and time.monotonic() - begin < WAIT:
        iterations += 1
    assert iterations > 1000
    waiter.join(WAIT)
