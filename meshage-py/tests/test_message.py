"""The message object."""

from __future__ import annotations

import copy
import gc
import pickle

import meshage
import pytest
from conftest import WAIT, Line
from meshage import Encoding, Message


def test_strings_are_sent_as_text_and_buffers_as_bytes() -> None:
    assert Message("ü").encoding == Encoding.TEXT
    assert Message("ü").body == "ü".encode()
    for body in (b"ab", bytearray(b"ab"), memoryview(b"ab"), memoryview(b"a-b-")[::2]):
        assert (Message(body).encoding, Message(body).body) == (Encoding.BYTES, bytes(body))
    assert Message("{}", encoding=Encoding.JSON).encoding == Encoding.JSON
    assert Message(b"", encoding=4_000_000_000).encoding == 4_000_000_000


def test_a_buffer_of_numbers_is_sent_as_its_bytes() -> None:
    numbers = memoryview(bytes(range(16))).cast("I")
    assert Message(numbers).body == bytes(range(16))


@pytest.mark.parametrize("body", [None, 5, ["x"], object()])
def test_an_object_without_a_buffer_is_rejected(body: object) -> None:
    with pytest.raises(TypeError):
        Message(body)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["x" * (1 << 20), "ü" * (1 << 20), "x" * (1 << 20) + "ü"])
def test_large_bodies_are_what_they_were(text: str) -> None:
    message = Message(text)
    assert message.body == text.encode() and message.body is bytes(message)
    assert message.text() == text and len(message) == len(text.encode())
    assert Message(text.encode()).body == text.encode()


def test_a_message_equals_only_messages_and_defers_to_other_types() -> None:
    class Anything:
        def __eq__(self, other: object) -> bool:
            return True

    message = Message(b"abc")
    assert message == Message(b"abc") and not message != Message(b"abc")
    assert message != Message(b"abd") and not message == Message(b"abd")
    for other in (b"abc", None, 5, "abc"):
        assert (message == other) is False and (message != other) is True
        assert message.__eq__(other) is NotImplemented
    assert (message == Anything()) is True and (Anything() == message) is True
    assert message in [b"abc", None, Message(b"abc")]


def test_a_bare_string_is_one_recipient() -> None:
    assert Message("x", "bob").recipients == ("bob",)
    assert Message("x", iter(["b", "c"])).recipients == ("b", "c")
    assert Message("x").recipients == ()


@pytest.mark.parametrize("name", ["", "a b", "a:b", "ä", "x" * 65])
def test_an_invalid_name_raises_a_value_error(name: str) -> None:
    with pytest.raises(ValueError) as caught:
        Message("x", [name])
    assert isinstance(caught.value, meshage.MeshageError)


def test_names_that_are_not_strings_raise_a_type_error() -> None:
    with pytest.raises(TypeError):
        Message("x", [1])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        Message("x", b"ab")  # type: ignore[arg-type]


@pytest.mark.parametrize("encoding", [-1, 1 << 32, 1 << 70])
def test_an_encoding_out_of_range_raises_a_value_error(encoding: int) -> None:
    with pytest.raises(ValueError):
        Message("x", encoding=encoding)


def test_a_new_message_has_no_source() -> None:
    message = Message("x", ["bob"])
    assert (message.source, message.route, message.id, message.instance) == ("", (), 0, 0)
    assert message.command == meshage.MESSAGE


def test_a_body_can_be_read_as_text_and_as_json() -> None:
    assert Message(b"\xc3\xbc").text() == "ü"
    assert Message('{"a": [1]}').json() == {"a": [1]}
    with pytest.raises(UnicodeDecodeError):
        Message(b"\xff").text()
    with pytest.raises(ValueError):
        Message("{").json()


def test_the_buffer_shares_the_body_and_outlives_the_message() -> None:
    message = Message(b"x" * 100_000)
    view = memoryview(message)
    assert view.readonly and view.nbytes == 100_000
    again = memoryview(message)
    del message
    gc.collect()
    assert bytes(view[:3]) == b"xxx"
    assert again == view
    with pytest.raises(TypeError):
        view[0] = 1


def test_length_bytes_and_truth() -> None:
    assert (len(Message("ü")), bytes(Message("ü"))) == (2, b"\xc3\xbc")
    assert len(Message("")) == 0
    assert Message("")
    assert Message(b"ab").body is not None


def test_equality_and_hash_depend_on_the_fields() -> None:
    a, b = Message("x", ["b"]), Message("x", ["b"])
    assert a == b and hash(a) == hash(b)
    for other in (Message("y", ["b"]), Message("x", ["c"]), Message(b"x", ["b"]), "x", None):
        assert a != other


def test_a_message_is_frozen() -> None:
    message = Message("x")
    with pytest.raises(AttributeError):
        message.body = b"y"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        message.anything = 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_message_survives_pickling_and_copying(protocol: int) -> None:
    message = Message("x" * 1000, ["b", "c"], encoding=2000)
    assert pickle.loads(pickle.dumps(message, protocol)) == message
    assert copy.copy(message) == message == copy.deepcopy(message)


def test_the_repr_is_short() -> None:
    message = Message(b"x" * 1_000_000, ["b"])
    assert len(repr(message)) < 200
    assert "b" in repr(message) and "1000000 bytes" in repr(message)
    assert "1000000 bytes" in str(message) and len(str(message)) < 300


def test_repr_and_str_shorten_long_lists_of_recipients() -> None:
    message = Message("x", [f"node-{number}" for number in range(10_000)])
    for text in (repr(message), str(message)):
        assert len(text) < 300
        assert "node-0, node-1" in text and "and 9990 more" in text


def test_a_message_prints_as_a_readable_line(line: Line) -> None:
    a, b, c = line("a", "b", "c")
    a.set(["b", "c"], "grüße")
    message = c.recv(timeout=WAIT)
    start = f'message {message.id} from a to b, c via a, b: "grüße" (7 bytes, encoding 1, instance '
    assert str(message).startswith(start)
    assert repr(message) == f'<Message {message.id} from a to b, c: "grüße">'
    # A body that is cut inside a character, and bytes that are not text.
    assert repr(Message("€" * 100)) == f'<Message to all: "{"€" * 21}"… (300 bytes)>'
    assert repr(Message(b"\xff\n")) == r'<Message to all: "\xff\n">'


def test_a_json_body_that_is_nested_too_deeply_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="deep"):
        Message("[" * 100_000).json()
