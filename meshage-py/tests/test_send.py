"""Sending with the blocking node, on loopback."""

from __future__ import annotations

import threading
import time

import meshage
import pytest
from conftest import WAIT, Line, Make, address
from meshage import Message, Outcome


def test_two_nodes_exchange_messages_in_both_directions(line: Line) -> None:
    a, b = line("a", "b")
    assert a.set("b", "hello") == ["b"]
    message = b.recv(timeout=WAIT)
    assert (message.source, message.recipients, message.route) == ("a", ("b",), ("a",))
    assert (message.text(), message.encoding, message.instance) == ("hello", 1, a.instance)
    assert b.set(["a"], b"\x00\xff") == ["a"]
    assert a.recv(timeout=WAIT).body == b"\x00\xff"
    assert a.peers() == ["b"] and b.peers() == ["a"]


def test_a_broadcast_reaches_every_other_node(line: Line) -> None:
    a, b, c = line("a", "b", "c")
    assert a.broadcast_recipients() == ["b", "c"]
    assert sorted(a.broadcast("all")) == ["b", "c"]
    for node in (b, c):
        message = node.recv(timeout=WAIT)
        assert message.recipients == () and message.text() == "all"


def test_a_broadcast_on_an_empty_mesh_succeeds(make: Make) -> None:
    assert make("a").broadcast("nobody") == []


def test_a_message_object_is_sent(line: Line) -> None:
    a, b, c = line("a", "b", "c")
    assert a.send(Message("one", recipients=["c"], encoding=2000)) == ["c"]
    assert c.recv(timeout=WAIT).encoding == 2000
    assert sorted(a.send(Message("all"))) == ["b", "c"]
    received = b.recv(timeout=WAIT)
    assert sorted(b.send(received)) == ["a", "c"]


@pytest.mark.parametrize("size", [0, 1, 65_536, 64 << 20])
def test_bodies_of_all_sizes_arrive(line: Line, size: int) -> None:
    a, b = line("a", "b")
    body = bytes(size)
    assert a.set("b", body, timeout=60) == ["b"]
    message = b.recv(timeout=WAIT)
    assert len(message) == size and memoryview(message) == body


def test_a_body_one_byte_over_the_limit_is_rejected_before_it_is_sent(make: Make) -> None:
    node = make("a", max_message=1000)
    with pytest.raises(meshage.MessageTooLarge):
        node.set("b", b"x" * 1001)
    with pytest.raises(meshage.MessageTooLarge):
        node.broadcast(b"x" * 1001)


def test_an_unknown_recipient_raises_no_route_immediately(make: Make) -> None:
    node = make("a")
    begin = time.monotonic()
    with pytest.raises(meshage.NoRoute) as caught:
        node.set("nobody", "x")
    assert time.monotonic() - begin < 2
    assert caught.value.failed == {"nobody": Outcome.NO_ROUTE}
    assert caught.value.delivered == []


def test_a_partly_failed_set_reports_the_outcome_of_each_recipient(line: Line) -> None:
    a, b = line("a", "b")
    with pytest.raises(meshage.SendError) as caught:
        a.set(["b", "nobody"], "x")
    assert type(caught.value) is meshage.SendError
    assert caught.value.delivered == ["b"]
    assert caught.value.failed == {"nobody": Outcome.NO_ROUTE}
    assert b.recv(timeout=WAIT).text() == "x"


def test_an_empty_list_and_the_sender_are_invalid_recipients(line: Line) -> None:
    a, b = line("a", "b")
    for recipients in ([], "a", ["a", "a"]):
        with pytest.raises(meshage.RecipientError):
            a.set(recipients, "x")
    assert a.set(["a", "b", "b"], "x") == ["b"]
    assert b.recv(timeout=WAIT).text() == "x"
    assert b.try_recv() is None


def test_an_invalid_name_raises_a_value_error(make: Make) -> None:
    node = make("a")
    for bad in ("", "a b", "a:b", "x" * 65):
        with pytest.raises(ValueError):
            node.set(bad, "x")
        with pytest.raises(ValueError):
            node.wait_for(bad)
        with pytest.raises(ValueError):
            make(bad)


def test_a_full_recipient_is_busy_at_the_deadline(line: Line) -> None:
    a, b = line("a", "b", receive_buffer=1)
    with pytest.raises(meshage.SendError) as caught:
        for _ in range(3):
            a.set("b", "x", timeout=0.3)
    assert caught.value.failed == {"b": Outcome.BUSY}
    assert b.recv(timeout=WAIT).text() == "x"
    assert a.set("b", "y") == ["b"]


def test_many_concurrent_sends_each_have_a_result(line: Line) -> None:
    a, b = line("a", "b", receive_buffer=2048)
    message = Message("x", ["b"])
    sent = [a.send_async(message) for _ in range(1000)]
    assert [sending.result(WAIT) for sending in sent] == [["b"]] * 1000
    assert all(sending.done() for sending in sent)
    assert sent[0].result() == ["b"]
    assert sum(len(b.recv_many(timeout=WAIT)) for _ in range(4)) == 1000
    unknown = a.send_async(Message("x", ["nobody"]))
    with pytest.raises(meshage.NoRoute) as caught:
        unknown.result(WAIT)
    assert caught.value.failed == {"nobody": Outcome.NO_ROUTE}


def test_an_outstanding_send_can_be_awaited_and_canceled(line: Line) -> None:
    a, b = line("a", "b", receive_buffer=1)
    message = Message("x", ["b"])
    assert a.send(message) == ["b"]
    sending = a.send_async(message, timeout=WAIT)
    with pytest.raises(meshage.MeshageTimeout):
        sending.result(timeout=0.05)
    assert not sending.done()
    sending.cancel()
    with pytest.raises((meshage.SendError, meshage.MeshageTimeout)):
        sending.result(WAIT)
    sending.cancel()
    unreferenced = a.send_async(message)
    del unreferenced
    assert [b.recv(WAIT).text() for _ in range(2)] == ["x", "x"]


def test_a_second_waiter_of_a_send_is_rejected_and_closing_ends_the_wait(line: Line) -> None:
    a, _ = line("a", "b", receive_buffer=1)
    message = Message("x", ["b"])
    assert a.send(message) == ["b"]
    sending = a.send_async(message, timeout=WAIT)
    errors: list[type[BaseException]] = []

    def wait() -> None:
        try:
            sending.result()
        except meshage.NodeClosed as closed:
            errors.append(type(closed))

    waiting = threading.Thread(target=wait)
    waiting.start()
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        try:
            sending.result(timeout=0)
        except meshage.MeshageTimeout:
            continue
        except RuntimeError as other:
            assert "another caller" in str(other)
            break
    a.close()
    waiting.join(WAIT)
    assert errors == [meshage.NodeClosed]
    with pytest.raises(meshage.NodeClosed):
        a.send_async(message)


def test_retry_waits_for_a_route(make: Make) -> None:
    a, b = make("a"), make("b")
    result: list[list[str]] = []
    sender = threading.Thread(target=lambda: result.append(a.set("b", "x", retry=True)))
    sender.start()
    a.dial(address(b))
    sender.join(WAIT)
    assert result == [["b"]]


def test_messages_of_each_sending_thread_arrive_in_order(line: Line) -> None:
    a, _, c = line("a", "b", "c")
    senders, each = 8, 200

    def send(sender: int) -> None:
        for number in range(each):
            a.set("c", f"{sender} {number}", timeout=60)

    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(senders)]
    for thread in threads:
        thread.start()
    last = [-1] * senders
    for _ in range(senders * each):
        sender, number = map(int, c.recv(timeout=60).text().split())
        assert number == last[sender] + 1
        last[sender] = number
    for thread in threads:
        thread.join(WAIT)
    assert last == [each - 1] * senders
