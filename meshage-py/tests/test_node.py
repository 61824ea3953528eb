"""The blocking node, on loopback."""

from __future__ import annotations

import contextlib
import copy
import errno
import gc
import pickle
import select
import threading
import time
import weakref
from collections.abc import Callable

import meshage
import pytest
from conftest import WAIT, address, free_port
from meshage import EventKind, Message, Outcome

Make = Callable[..., meshage.Node]
Line = Callable[..., list[meshage.Node]]
Kind = type[meshage.Node] | type[meshage.AsyncNode]


def test_two_nodes_link_and_pass_messages_both_ways(line: Line) -> None:
    a, b = line("a", "b")
    assert a.set("b", "hello") == ["b"]
    message = b.recv(timeout=WAIT)
    assert (message.source, message.recipients, message.route) == ("a", ("b",), ("a",))
    assert (message.text(), message.encoding, message.instance) == ("hello", 1, a.instance)
    assert b.set(["a"], b"\x00\xff") == ["a"]
    assert a.recv(timeout=WAIT).body == b"\x00\xff"
    assert a.peers() == ["b"] and b.peers() == ["a"]


def test_a_relay_is_on_the_route_and_sees_the_message(line: Line) -> None:
    a, b, c = line("a", "b", "c")
    seen: list[Message] = []
    shown = threading.Event()

    def snoop(message: Message) -> None:
        seen.append(message)
        shown.set()

    b.snoop = snoop
    assert b.snoop is snoop
    assert a.set("c", "by way of b") == ["c"]
    assert c.recv(timeout=WAIT).route == ("a", "b")
    assert shown.wait(WAIT)
    assert seen[0].text() == "by way of b" and seen[0].recipients == ("c",)
    assert threading.current_thread().name not in [m.source for m in seen]
    b.snoop = None
    assert b.snoop is None
    assert a.set("c", "unseen") == ["c"]
    assert c.recv(timeout=WAIT).text() == "unseen"
    assert len(seen) == 1


def test_a_snoop_that_fails_does_not_end_the_snooping(
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


def test_what_a_slow_snoop_misses_is_counted(line: Line) -> None:
    a, b, c = line("a", "b", "c")
    sent, begun, go, last = 1500, threading.Event(), threading.Event(), threading.Event()
    seen: list[Message] = []

    def snoop(message: Message) -> None:
        begun.set()
        go.wait(WAIT)
        seen.append(message)
        if message.text() == "the end":
            last.set()

    b.snoop = snoop
    for number in range(sent):
        a.set("c", str(number))
        c.recv(WAIT)
        assert begun.wait(WAIT)
    until = time.monotonic() + WAIT
    # The callback is at one, and 1,024 wait.
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


def test_what_waits_for_a_slow_snoop_is_bounded_in_bytes(line: Line) -> None:
    a, b, c = line("a", "b", "c")
    begun, go = threading.Event(), threading.Event()
    seen: list[int] = []

    def snoop(message: Message) -> None:
        begun.set()
        go.wait(WAIT)
        seen.append(len(message))

    b.snoop = snoop
    body = bytes(8 << 20)
    for _ in range(11):
        a.set("c", body, timeout=60)
        c.recv(WAIT)
        assert begun.wait(WAIT)
    until = time.monotonic() + WAIT
    # 64 MiB are eight of them, with those that the callback is at.
    while b.stats()["net_snoops_dropped"] < 3 and time.monotonic() < until:
        time.sleep(0.01)
    go.set()
    while len(seen) < 8 and time.monotonic() < until:
        time.sleep(0.01)
    assert seen == [8 << 20] * 8
    assert b.stats()["net_snoops_dropped"] == 3


def test_a_snoop_may_close_its_own_node(line: Line) -> None:
    a, b, c = line("a", "b", "c")
    closed = threading.Event()

    def snoop(message: Message) -> None:
        b.close()
        closed.set()

    b.snoop = snoop
    with contextlib.suppress(meshage.SendError):  # its way breaks while it is under way
        a.set("c", "x")
    assert closed.wait(WAIT)
    assert b.closed


def test_a_broadcast_reaches_every_other_node(line: Line) -> None:
    a, b, c = line("a", "b", "c")
    assert a.broadcast_recipients() == ["b", "c"]
    assert sorted(a.broadcast("all")) == ["b", "c"]
    for node in (b, c):
        message = node.recv(timeout=WAIT)
        assert message.recipients == () and message.text() == "all"


def test_a_broadcast_on_an_empty_mesh_succeeds(make: Make) -> None:
    assert make("a").broadcast("nobody") == []


def test_a_message_made_by_hand_is_sent(line: Line) -> None:
    a, b, c = line("a", "b", "c")
    assert a.send(Message("one", recipients=["c"], encoding=2000)) == ["c"]
    assert c.recv(timeout=WAIT).encoding == 2000
    assert sorted(a.send(Message("all"))) == ["b", "c"]
    received = b.recv(timeout=WAIT)
    assert sorted(b.send(received)) == ["a", "c"]


@pytest.mark.parametrize("size", [0, 1, 65_536, 64 << 20])
def test_bodies_of_every_size_arrive(line: Line, size: int) -> None:
    a, b = line("a", "b")
    body = bytes(size)
    assert a.set("b", body, timeout=60) == ["b"]
    message = b.recv(timeout=WAIT)
    assert len(message) == size and memoryview(message) == body


def test_one_byte_more_than_allowed_is_refused_before_it_is_sent(make: Make) -> None:
    node = make("a", max_message=1000)
    with pytest.raises(meshage.MessageTooLarge):
        node.set("b", b"x" * 1001)
    with pytest.raises(meshage.MessageTooLarge):
        node.broadcast(b"x" * 1001)


def test_an_unknown_recipient_is_no_route_at_once(make: Make) -> None:
    node = make("a")
    begin = time.monotonic()
    with pytest.raises(meshage.NoRoute) as caught:
        node.set("nobody", "x")
    assert time.monotonic() - begin < 2
    assert caught.value.failed == {"nobody": Outcome.NO_ROUTE}
    assert caught.value.delivered == []


def test_a_set_that_half_failed_says_what_became_of_each(line: Line) -> None:
    a, b = line("a", "b")
    with pytest.raises(meshage.SendError) as caught:
        a.set(["b", "nobody"], "x")
    assert type(caught.value) is meshage.SendError
    assert caught.value.delivered == ["b"]
    assert caught.value.failed == {"nobody": Outcome.NO_ROUTE}
    assert b.recv(timeout=WAIT).text() == "x"


def test_nobody_and_oneself_are_no_recipients(line: Line) -> None:
    a, b = line("a", "b")
    for recipients in ([], "a", ["a", "a"]):
        with pytest.raises(meshage.RecipientError):
            a.set(recipients, "x")
    assert a.set(["a", "b", "b"], "x") == ["b"]
    assert b.recv(timeout=WAIT).text() == "x"
    assert b.try_recv() is None


def test_a_name_that_is_none_is_a_value_error(make: Make) -> None:
    node = make("a")
    for bad in ("", "a b", "a:b", "x" * 65):
        with pytest.raises(ValueError):
            node.set(bad, "x")
        with pytest.raises(ValueError):
            node.wait_for(bad)
        with pytest.raises(ValueError):
            make(bad)


def test_a_full_receiver_is_busy_at_the_deadline(line: Line) -> None:
    a, b = line("a", "b", receive_buffer=1)
    with pytest.raises(meshage.SendError) as caught:
        for _ in range(3):
            a.set("b", "x", timeout=0.3)
    assert caught.value.failed == {"b": Outcome.BUSY}
    assert b.recv(timeout=WAIT).text() == "x"
    assert a.set("b", "y") == ["b"]


def test_many_sends_are_under_way_at_once_and_each_has_its_end(line: Line) -> None:
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


def test_a_send_under_way_is_waited_for_and_canceled(line: Line) -> None:
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
    forgotten = a.send_async(message)
    del forgotten
    assert [b.recv(WAIT).text() for _ in range(2)] == ["x", "x"]


def test_two_callers_do_not_wait_for_one_send_and_closing_ends_the_wait(line: Line) -> None:
    a, _ = line("a", "b", receive_buffer=1)
    message = Message("x", ["b"])
    assert a.send(message) == ["b"]
    sending = a.send_async(message, timeout=WAIT)
    ended: list[type[BaseException]] = []

    def wait() -> None:
        try:
            sending.result()
        except meshage.NodeClosed as closed:
            ended.append(type(closed))

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
    assert ended == [meshage.NodeClosed]
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


def test_receiving_waits_as_long_as_it_was_told(make: Make) -> None:
    node = make("a")
    assert node.try_recv() is None
    for receive in (node.recv, lambda timeout: node.recv_many(10, timeout)):
        for timeout in (0, 0.2):
            begin = time.monotonic()
            with pytest.raises(meshage.MeshageTimeout):
                receive(timeout)
            assert timeout <= time.monotonic() - begin < timeout + 2


@pytest.mark.parametrize("timeout", [-1, -0.001, float("nan")])
def test_a_time_that_is_none_is_a_value_error(make: Make, timeout: float) -> None:
    node = make("a")
    for call in (
        lambda: node.recv(timeout),
        lambda: node.set("b", "x", timeout=timeout),
        lambda: node.wait_for(2, timeout),
        lambda: node.dial("127.0.0.1:1", timeout=timeout),
    ):
        with pytest.raises(ValueError):
            call()


def test_a_batch_has_at_most_so_many(line: Line) -> None:
    a, b = line("a", "b")
    for number in range(10):
        a.set("b", str(number))
    first = b.recv_many(4, timeout=WAIT)
    assert [message.text() for message in first] == ["0", "1", "2", "3"]
    assert [message.text() for message in b.recv_many(timeout=WAIT)] == list("456789")
    for bad in (0, -1):
        with pytest.raises(ValueError):
            b.recv_many(bad)


def test_iteration_ends_when_the_node_closes_and_loses_nothing_on_a_break(line: Line) -> None:
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


def test_dialling_nobody_oneself_twice_and_nonsense(line: Line, make: Make) -> None:
    a, b = line("a", "b")
    with pytest.raises(meshage.DialError) as caught:
        a.dial(f"127.0.0.1:{free_port()}")
    assert caught.value.errno == errno.ECONNREFUSED
    for bad in (address(a), address(b), "", "127.0.0.1:99999", "no such host"):
        with pytest.raises(meshage.DialError):
            a.dial(bad)


def test_dialling_something_else_is_a_handshake_error(make: Make) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)
                connection.recv(1000)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(meshage.HandshakeError):
            make("a").dial(f"127.0.0.1:{server.getsockname()[1]}")
        thread.join(WAIT)


def test_a_dial_that_is_never_answered_times_out(make: Make) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        begin = time.monotonic()
        with pytest.raises(meshage.DialTimeout):
            make("a").dial(f"127.0.0.1:{server.getsockname()[1]}", timeout=0.3)
        assert time.monotonic() - begin < 3


def test_a_hang_up_closes_the_link(line: Line) -> None:
    a, b = line("a", "b")
    events = b.events()
    a.hangup("b")
    while (event := events.next(WAIT)) is not None and event.kind != EventKind.NODE_LEFT:
        pass
    assert event == meshage.Event(EventKind.NODE_LEFT, "a")
    assert a.peers() == [] and b.peers() == []
    for nobody in ("b", "never heard of", ""):
        with pytest.raises(meshage.NotAPeer):
            a.hangup(nobody)


def test_events_tell_of_links_and_nodes_and_end_with_the_node(make: Make) -> None:
    a, b = make("a"), make("b")
    events = a.events()
    assert iter(events) is events
    with pytest.raises(meshage.MeshageTimeout):
        events.next(0.05)
    a.dial(address(b))
    a.wait_for("b", timeout=WAIT)
    b.close()
    seen = set()
    for event in events:
        seen.add((event.kind, event.node))
        if event.kind == EventKind.NODE_LEFT:
            a.close()
    assert {
        (EventKind.LINK_UP, "b"),
        (EventKind.NODE_JOINED, "b"),
        (EventKind.LINK_DOWN, "b"),
        (EventKind.NODE_LEFT, "b"),
        (EventKind.TOPOLOGY, ""),
    } <= seen
    assert events.next() is None


def test_waiting_for_nodes(line: Line) -> None:
    a, b, c = line("a", "b", "c")
    for nodes in (3, 0, "c", ["b", "c"], ("a",), (name for name in "abc"), []):
        assert a.wait_for(nodes, timeout=WAIT).shortest_path("a", "c") == ("a", "b", "c")
    with pytest.raises(meshage.MeshageTimeout, match="nobody"):
        a.wait_for(["b", "nobody"], timeout=0.1)
    with pytest.raises(meshage.MeshageTimeout):
        a.wait_for(4, timeout=0)
    for bad in (-1, True, None, 1.5):
        with pytest.raises((TypeError, ValueError)):
            a.wait_for(bad, timeout=0)  # type: ignore[arg-type]


def test_the_mesh_and_its_dot(line: Line) -> None:
    a, b = line("a", "b")
    assert a.mesh() == {"a": ("b",), "b": ("a",)}
    assert a.dot() == a.mesh().to_dot()


def test_properties_are_read_and_written(make: Make, namespace: str) -> None:
    node = make("a", degree=2, version="v1", timeout=3, msa_timeout=5.5, broadcast="127.0.0.1")
    assert (node.name, node.namespace) == ("a", namespace)
    assert node.port > 0 and node.instance > 0 and not node.closed
    assert (node.degree, node.timeout, node.msa_timeout) == (2, 3.0, 5.5)
    node.degree, node.timeout, node.msa_timeout = 5, 0.25, 7
    assert (node.degree, node.timeout, node.msa_timeout) == (5, 0.25, 7.0)
    for name in ("name", "namespace", "port", "instance", "closed"):
        with pytest.raises(AttributeError):
            setattr(node, name, 1)
    for name, bad in (("degree", 257), ("degree", -1), ("msa_timeout", 0), ("timeout", -1)):
        with pytest.raises(ValueError):
            setattr(node, name, bad)
    with pytest.raises(TypeError):
        node.snoop = 5  # type: ignore[assignment]
    node.msa()
    assert node.stats()["nodes"] == 1
    assert "'a'" in repr(node)


@pytest.mark.parametrize(
    "options",
    [
        {"port": 65_536},
        {"port": -1},
        {"listen_port": 1 << 40},
        {"degree": 1 << 70},
        {"bind": "nowhere"},
        {"broadcast": "x"},
        {"broadcast": ["127.0.0.1", "x"]},
        {"receive_buffer": 0},
        {"max_message": 0},
        {"timeout": -1},
        {"msa_timeout": 0.01},
        {"version": "v" * 257},
    ],
)
def test_an_option_out_of_range_is_a_value_error(make: Make, options: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        make("a", **options)


class Whole:
    """A whole number of another kind, as numeric packages have them."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __index__(self) -> int:
        return self.number


def test_whole_numbers_of_other_kinds_are_taken(make: Make) -> None:
    node = make(
        "a",
        degree=Whole(2),
        port=Whole(0),
        listen_port=Whole(0),
        receive_buffer=Whole(8),
        max_message=Whole(1000),
    )
    assert node.degree == 2
    node.degree = Whole(3)  # type: ignore[assignment]
    assert node.degree == 3
    assert len(node.wait_for(Whole(1), timeout=WAIT)) == 1  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        node.degree = Whole(1 << 80)  # type: ignore[assignment]
    for bad in (2.0, "2", None):
        with pytest.raises(TypeError):
            make("b", degree=bad)


def test_a_misspelt_attribute_is_an_error(make: Make) -> None:
    node = make("a")
    with pytest.raises(AttributeError):
        node.degre = 3  # type: ignore[attr-defined]
    assert weakref.ref(node)() is node


@pytest.mark.parametrize("kind", [meshage.Node, meshage.AsyncNode])
def test_a_node_is_neither_copied_nor_pickled(kind: Kind, namespace: str) -> None:
    node = kind("a", namespace, bind="127.0.0.1", port=0)
    for take in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match=kind.__name__):
            take(node)
    assert not node.closed
    node.close()


@pytest.mark.parametrize("kind", [meshage.Node, meshage.AsyncNode])
def test_a_node_that_did_not_start_goes_in_silence(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    complaints: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", complaints.append)
    with pytest.raises(ValueError):
        kind("not a name")
    with pytest.raises(TypeError):
        kind(nope=1)  # type: ignore[call-arg]
    node = kind.__new__(kind)
    assert "not started" in repr(node)
    del node
    gc.collect()
    assert complaints == []


def test_a_port_in_use_is_a_bind_error(make: Make) -> None:
    taken = make("a").port
    with pytest.raises(meshage.BindError) as caught:
        make("b", listen_port=taken)
    assert caught.value.errno == errno.EADDRINUSE
    assert str(taken) in str(caught.value)


@pytest.mark.parametrize("seed", ["", "h:99999"])
def test_a_seed_that_is_no_address_is_refused(seed: str) -> None:
    with pytest.raises(ValueError):
        meshage.Node("a", bind="127.0.0.1", port=0, seeds=[seed])


@pytest.mark.parametrize("several", [True, False])
def test_seeds_are_dialled_until_they_answer(make: Make, several: bool) -> None:
    port = free_port()
    seed = f"127.0.0.1:{port}"
    a = make("a", seeds=[seed] if several else seed)
    b = make("b", listen_port=port)
    a.wait_for("b", timeout=WAIT)
    assert b.wait_for(2, timeout=WAIT)


def test_nodes_find_each_other_by_broadcast(make: Make) -> None:
    options = {"degree": 2, "broadcast": "127.255.255.255", "bind": "0.0.0.0"}
    options |= {"port": free_port(), "listen_port": 0}
    nodes = [make(f"n{number}", **options) for number in range(4)]
    for node in nodes:
        assert len(node.wait_for(4, timeout=WAIT)) == 4


def test_closing_wakes_everyone_and_may_be_repeated(make: Make) -> None:
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


def test_a_closed_node_says_so(make: Make) -> None:
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


def test_a_node_that_its_snoop_refers_to_is_collected(make: Make, namespace: str) -> None:
    class Owner:
        def __init__(self) -> None:
            self.node = meshage.Node("a", namespace, bind="127.0.0.1", port=0)
            self.node.snoop = self.shown

        def shown(self, message: Message) -> None:
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


def test_the_port_is_free_once_it_is_closed(make: Make) -> None:
    port = make("a").port
    for _ in range(3):
        with make("b", listen_port=free_port()) as node:
            port = node.port
        with make("c", listen_port=port) as node:
            assert node.port == port


def test_a_node_that_is_forgotten_is_closed(make: Make, namespace: str) -> None:
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


def test_other_threads_run_while_one_waits(make: Make) -> None:
    node = make("a")
    done = threading.Event()

    def wait() -> None:
        with pytest.raises(meshage.MeshageTimeout):
            node.recv(1.0)
        done.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    turns = 0
    begin = time.monotonic()
    while not done.is_set() and time.monotonic() - begin < WAIT:
        turns += 1
    assert turns > 1000
    waiter.join(WAIT)


def test_many_threads_send_and_each_ones_order_is_kept(line: Line) -> None:
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
