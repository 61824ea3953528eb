"""Links, discovery, events and the topology of the blocking node, on loopback."""

from __future__ import annotations

import errno
import socket
import threading
import time

import meshage
import pytest
from conftest import WAIT, Line, Make, address, free_port
from meshage import Departure, EventKind


def test_invalid_dials_raise_a_dial_error(line: Line, make: Make) -> None:
    a, b = line("a", "b")
    with pytest.raises(meshage.DialError) as caught:
        a.dial(f"127.0.0.1:{free_port()}")
    assert caught.value.errno == errno.ECONNREFUSED
    for bad in (address(a), address(b), "", "127.0.0.1:99999", "no such host"):
        with pytest.raises(meshage.DialError):
            a.dial(bad)


def test_dialling_another_kind_of_server_is_a_handshake_error(make: Make) -> None:
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


def test_a_dial_without_an_answer_times_out(make: Make) -> None:
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
    assert event == meshage.Event(EventKind.NODE_LEFT, "a", a.instance, "failed", Departure.FAILED)
    assert a.peers() == [] and b.peers() == []
    for unknown in ("b", "unknown", ""):
        with pytest.raises(meshage.NotAPeer):
            a.hangup(unknown)


def test_events_report_links_and_nodes_and_end_when_the_node_closes(make: Make) -> None:
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


def test_events_have_the_instance_the_reason_and_the_departure(line: Line) -> None:
    a, b, c = line("a", "b", "c")
    a_events, b_events = a.events(), b.events()
    c.close()
    for events in (a_events, b_events):
        while (event := events.next(WAIT)) is not None and event.kind != EventKind.NODE_LEFT:
            pass
        assert event is not None and (event.node, event.instance) == ("c", c.instance)
        assert event.departure == "left" and event.reason
    b.hangup("a")
    while (event := a_events.next(WAIT)) is not None and event.kind != EventKind.LINK_DOWN:
        pass
    assert event is not None and (event.node, event.instance) == ("b", b.instance)
    assert "hung up" in event.reason and event.departure is None


def test_a_subscription_has_the_topology_of_its_beginning(make: Make) -> None:
    a, b, c = make("a"), make("b"), make("c")
    alone = a.events()
    assert alone.mesh == {"a": ()}
    a.dial(address(b))
    a.wait_for("b", timeout=WAIT)
    later = a.events()
    assert later.mesh == {"a": ("b",), "b": ("a",)} and later.mesh is later.mesh
    b.dial(address(c))
    a.wait_for("c", timeout=WAIT)
    a.close()
    joined = [event.node for event in alone if event.kind == EventKind.NODE_JOINED]
    assert joined == ["b", "c"] and alone.mesh == {"a": ()}
    assert [event.node for event in later if event.kind == EventKind.NODE_JOINED] == ["c"]


def test_the_text_of_a_failed_wait_is_short(make: Make) -> None:
    with pytest.raises(meshage.MeshageTimeout) as caught:
        make("a").wait_for([f"node-{number}" for number in range(10_000)], timeout=0.05)
    assert len(str(caught.value)) < 300
    assert "node-0" in str(caught.value) and "and 9990 more" in str(caught.value)


def test_a_second_waiter_on_one_subscription_gets_a_busy_error(make: Make) -> None:
    a = make("a")
    events = a.events()
    thread = threading.Thread(target=events.next)
    thread.start()
    deadline = time.monotonic() + WAIT
    while True:
        assert time.monotonic() < deadline
        try:
            events.next(timeout=0)
        except meshage.BusyError:
            break
        except meshage.MeshageTimeout:
            time.sleep(0.001)
    a.close()
    thread.join()


def test_wait_for_accepts_counts_and_names(line: Line) -> None:
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


def test_dot_describes_the_mesh(line: Line) -> None:
    a, b = line("a", "b")
    assert a.mesh() == {"a": ("b",), "b": ("a",)}
    assert a.dot() == a.mesh().to_dot()


@pytest.mark.parametrize("several", [True, False])
def test_seeds_are_dialled_until_they_answer(make: Make, several: bool) -> None:
    port = free_port()
    seed = f"127.0.0.1:{port}"
    a = make("a", seeds=[seed] if several else seed)
    b = make("b", listen_port=port)
    a.wait_for("b", timeout=WAIT)
    assert b.wait_for(2, timeout=WAIT)


def test_nodes_discover_each_other_by_broadcast(make: Make) -> None:
    options = {"degree": 2, "broadcast": "127.255.255.255", "bind": "0.0.0.0"}
    options |= {"port": free_port(), "listen_port": 0}
    nodes = [make(f"n{number}", **options) for number in range(4)]
    for node in nodes:
        assert len(node.wait_for(4, timeout=WAIT)) == 4
