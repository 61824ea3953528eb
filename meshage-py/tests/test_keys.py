"""Closed meshes: who can link, what errors and events say, key files, and changes of the keys."""

from __future__ import annotations

import asyncio
import base64
import gc
import os
import pickle
import sys
import time
from collections.abc import Callable, Set
from pathlib import Path

import meshage
import pytest
from conftest import WAIT, Make, address

FAST = 5.0
"""A dial that is refused because of the keys ends long before this, in seconds."""

NO_ID = "0" * 16


def exchange(a: meshage.Node, b: meshage.Node) -> None:
    a.set(b.name, "to b", timeout=WAIT)
    assert b.recv(timeout=WAIT).text() == "to b"
    b.set(a.name, "to a", timeout=WAIT)
    assert a.recv(timeout=WAIT).text() == "to a"


def join(a: meshage.Node, b: meshage.Node) -> None:
    a.dial(address(b))
    a.wait_for(b.name, timeout=WAIT)
    b.wait_for(a.name, timeout=WAIT)


def refused(node: meshage.Node, peer: meshage.Node) -> meshage.AuthError:
    begin = time.monotonic()
    with pytest.raises(meshage.AuthError) as caught:
        node.dial(address(peer), timeout=WAIT)
    assert time.monotonic() - begin < FAST
    return caught.value


FORMS: list[Callable[[bytes], meshage.KeyLike]] = [
    bytes,
    bytearray,
    bytes.hex,
    lambda key: key.hex().upper(),
    lambda key: key.hex().encode(),
    lambda key: base64.b64encode(key).decode(),
]


@pytest.mark.parametrize("form", FORMS)
def test_a_key_has_several_forms(form: Callable[[bytes], meshage.KeyLike], make: Make) -> None:
    key = meshage.generate_key()
    assert meshage.key_id(form(key)) == meshage.key_id(key)
    assert make("a", keys=form(key)).keys == make("b", keys=[form(key)]).keys


def test_a_new_key_is_random_and_its_id_is_sixteen_hex_digits() -> None:
    key = meshage.generate_key()
    assert (type(key), len(key)) == (bytes, 32)
    assert key != meshage.generate_key()
    assert len(bytes.fromhex(meshage.key_id(key))) == 8


@pytest.mark.parametrize("key", [b"", b"x" * 31, "short", "z" * 64, "x" * 32, "\udc00" * 64])
def test_what_is_no_key_is_an_invalid_argument(key: bytes | str, make: Make) -> None:
    with pytest.raises(meshage.InvalidArgument):
        meshage.key_id(key)
    with pytest.raises(meshage.InvalidArgument):
        make("a", keys=[key])


def test_a_key_of_a_wrong_type_is_a_type_error(make: Make) -> None:
    with pytest.raises(TypeError):
        meshage.key_id(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        make("a", keys=[None])


def test_an_error_does_not_repeat_the_key() -> None:
    secret = "5ec2e7" * 11
    with pytest.raises(meshage.InvalidArgument) as caught:
        meshage.key_id(secret)
    assert "5ec2e7" not in repr(caught.value)


def test_holders_of_a_key_exchange_messages(make: Make) -> None:
    key = meshage.generate_key()
    a, b = make("a", keys=[key]), make("b", keys=[key.hex()])
    join(a, b)
    exchange(a, b)


def test_a_wrong_key_fails_fast_and_names_both_ids(make: Make) -> None:
    right, wrong = meshage.generate_key(), meshage.generate_key()
    a, b = make("a", keys=[right]), make("b", keys=[wrong])
    error = refused(b, a)
    assert isinstance(error, (meshage.DialError, ConnectionError))
    assert error.heard == (meshage.key_id(right),)
    assert meshage.key_id(right) in str(error)
    assert meshage.key_id(wrong) in str(error)
    for key in (right, wrong):
        assert key.hex() not in repr(error)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.heard) == (meshage.AuthError, str(error), error.heard)


def test_open_and_closed_nodes_do_not_link(make: Make) -> None:
    key = meshage.generate_key()
    closed, opened = make("closed", keys=[key]), make("open")
    assert refused(opened, closed).heard == (meshage.key_id(key),)
    error = refused(closed, opened)
    assert error.heard == ()
    assert "does not encrypt" in str(error)


def test_an_event_says_which_keys_were_heard(make: Make) -> None:
    right, wrong = meshage.generate_key(), meshage.generate_key()
    a, b = make("a", keys=[right]), make("b", keys=[wrong])
    events = b.events()
    refused(b, a)
    event = events.next(timeout=WAIT)
    assert event is not None
    assert event.kind is meshage.EventKind.KEY_MISMATCH
    assert (event.address, event.key_ids) == (address(a), (meshage.key_id(right),))
    assert event.node == ""
    assert meshage.key_id(right) in event.reason


def test_a_key_is_changed_on_a_running_mesh(make: Make) -> None:
    old, new = meshage.generate_key(), meshage.generate_key()
    a, b = make("a", keys=[old]), make("b", keys=[old])
    join(a, b)
    for node in (a, b):
        assert node.keys.add(new) == meshage.key_id(new)
    exchange(a, b)
    for node in (a, b):
        node.keys.use(meshage.key_id(new))
        assert node.keys.primary == meshage.key_id(new)
    exchange(a, b)
    for node in (a, b):
        node.keys.remove(meshage.key_id(old))
        assert list(node.keys) == [meshage.key_id(new)]
    exchange(a, b)
    assert a.peers() == ["b"]
    late = make("late", keys=[old])
    assert refused(late, a).heard == (meshage.key_id(new),)
    late.keys.add(new)
    join(late, a)
    late.wait_for("b", timeout=WAIT)
    exchange(late, b)


def test_the_keys_are_a_set_of_ids_with_the_primary_first(make: Make) -> None:
    first, second = meshage.generate_key(), meshage.generate_key()
    ids = [meshage.key_id(first), meshage.key_id(second)]
    node = make("a", keys=[first, second, first])
    keys: Set[str] = node.keys
    assert isinstance(keys, Set)
    number: object = 7
    assert (len(keys), list(keys), node.keys.primary) == (2, ids, ids[0])
    assert ids[1] in keys
    assert NO_ID not in keys
    assert number not in keys
    assert keys == set(ids)
    assert set(ids) == keys
    assert keys != {ids[0]}
    assert keys >= {ids[0]}
    assert keys - {ids[0]} == {ids[1]}
    assert keys | {NO_ID} == {*ids, NO_ID}
    assert type(keys & {ids[0]}) is frozenset
    assert repr(keys) == f"<Keys {ids}>"
    node.keys.use(ids[1])
    assert list(node.keys) == ids[::-1]
    with pytest.raises(TypeError):
        hash(keys)


def test_refused_changes_of_the_keys(make: Make) -> None:
    key = meshage.generate_key()
    node = make("a", keys=[key])
    with pytest.raises(meshage.InvalidArgument, match="primary"):
        node.keys.remove(meshage.key_id(key))
    for change in (node.keys.use, node.keys.remove):
        with pytest.raises(KeyError) as caught:
            change(NO_ID)
        assert isinstance(caught.value, meshage.UnknownKey)
        assert str(caught.value) == f"no key has the id {NO_ID}"
        with pytest.raises(meshage.InvalidArgument):
            change("no id")
    with pytest.raises(meshage.InvalidArgument, match="key file"):
        node.keys.reload()
    for _ in range(7):
        node.keys.add(meshage.generate_key())
    with pytest.raises(meshage.InvalidArgument, match="8 keys"):
        node.keys.add(meshage.generate_key())
    node.close()
    with pytest.raises(meshage.NodeClosed):
        node.keys.add(key)
    assert len(node.keys) == 8


def test_an_open_node_has_no_keys_and_takes_none(make: Make) -> None:
    node = make("a")
    assert (len(node.keys), node.keys.primary, node.public_key) == (0, None, None)
    with pytest.raises(meshage.InvalidArgument, match="without a key"):
        node.keys.add(meshage.generate_key())


def test_a_key_file_belongs_to_its_owner(make: Make, tmp_path: Path) -> None:
    first, second = meshage.generate_key(), meshage.generate_key()
    path = tmp_path / "keys"
    path.write_text(f"# of this test\n{first.hex()}\n")
    path.chmod(0o644)
    with pytest.raises(meshage.InvalidArgument, match="chmod 600") as caught:
        make("a", key_file=path)
    assert first.hex() not in str(caught.value)
    path.chmod(0o600)
    node = make("a", key_file=os.fspath(path))
    assert list(node.keys) == [meshage.key_id(first)]
    path.write_text(f"{second.hex()}\n{first.hex()}\n")
    node.keys.reload()
    assert list(node.keys) == [meshage.key_id(second), meshage.key_id(first)]
    path.write_text("nonsense\n")
    with pytest.raises(meshage.InvalidArgument, match="line 1"):
        node.keys.reload()
    assert len(node.keys) == 2
    with pytest.raises(meshage.InvalidArgument):
        make("b", key_file=tmp_path / "missing")


def test_options_that_do_not_fit_together(make: Make, tmp_path: Path) -> None:
    key = meshage.generate_key()
    with pytest.raises(meshage.InvalidArgument, match="needs a key"):
        make("a", allow={"b": key})
    with pytest.raises(meshage.InvalidArgument, match="identity"):
        make("a", keys=[key], root=key)
    with pytest.raises(meshage.InvalidArgument, match="signed"):
        make("a", keys=[key], signed=True)
    with pytest.raises(meshage.InvalidArgument):
        make("a", keys=[key], ticket_file=tmp_path / "missing")


def test_nodes_with_identities_allow_each_other_by_name(make: Make, tmp_path: Path) -> None:
    key = meshage.generate_key()
    public: dict[str, bytes] = {}
    for name in ("a", "b", "c"):
        path = tmp_path / name
        path.touch(mode=0o600)
        path.write_text(meshage.generate_key().hex())
        with make(name, keys=[key], identity_file=path) as node:
            public[name] = node.public_key or b""
    assert {len(public_key) for public_key in public.values()} == {32}
    both = {name: public[name].hex() for name in ("a", "b")}
    a, b, c = (
        make(name, keys=[key], identity_file=tmp_path / name, allow=both)
        for name in ("a", "b", "c")
    )
    assert a.public_key == public["a"]
    join(a, b)
    exchange(a, b)
    refused(c, a)


def test_a_revocation_must_be_signed_by_the_root(make: Make) -> None:
    node = make("a", keys=[meshage.generate_key()])
    with pytest.raises(meshage.InvalidArgument, match="revocation"):
        node.revoke(b"nonsense")


def test_asynchronous_nodes_have_the_same_keys(namespace: str) -> None:
    old, new = meshage.generate_key(), meshage.generate_key()

    def start(name: str, key: bytes) -> meshage.AsyncNode:
        return meshage.AsyncNode(name, namespace, bind="127.0.0.1", port=0, keys=[key])

    async def main() -> None:
        async with start("a", old) as a, start("b", old) as b, start("c", new) as c:
            await a.dial(address(b), timeout=WAIT)
            await a.wait_for("b", timeout=WAIT)
            await a.set("b", "hello", timeout=WAIT)
            assert (await b.recv(timeout=WAIT)).text() == "hello"
            with pytest.raises(meshage.AuthError) as caught:
                await c.dial(address(a), timeout=WAIT)
            assert caught.value.heard == (meshage.key_id(old),)
            a.keys.add(new)
            await c.dial(address(a), timeout=WAIT)
            assert set(a.keys) == {meshage.key_id(old), meshage.key_id(new)}

    asyncio.run(main())


def test_nothing_of_a_node_shows_its_key(make: Make) -> None:
    key = meshage.generate_key()
    node = make("a", keys=[key])
    shown = f"{node!r} {node.keys!r} {node.stats()} {node.mesh()} {node.dot()}"
    assert key.hex() not in shown
    assert repr(key) not in shown
    # Nodes keep no reference to the key.
    count = sys.getrefcount(key)
    del node
    make("b", keys=[key])
    gc.collect()
    assert sys.getrefcount(key) == count
