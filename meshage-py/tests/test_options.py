"""Options and properties of the blocking node."""

from __future__ import annotations

import errno
import weakref

import meshage
import pytest
from conftest import WAIT, Make, free_port


def test_text_that_cannot_be_encoded_is_an_invalid_argument() -> None:
    with pytest.raises(meshage.InvalidArgument):
        meshage.Node("\ud800")
    with meshage.Node("a", bind="127.0.0.1", port=0) as a:
        for call in (lambda: a.set("\ud800", "x"), lambda: a.dial("\ud800"), lambda: a.hangup("\ud800")):
            with pytest.raises(meshage.InvalidArgument):
                call()
        with pytest.raises(meshage.MeshageTimeout):
            a.recv(timeout=0)
        for long in ("x" * 1_000_000, "\N{SNOWMAN}" * 1_000_000):
            for call in (lambda: a.set(long, "x"), lambda: a.dial(long + ":x"), lambda: a.hangup(long)):
                with pytest.raises(meshage.MeshageError) as caught:
                    call()
                assert len(str(caught.value)) < 2000
        with pytest.raises(meshage.InvalidArgument):
            a.recv(timeout=-(10**400))
        with pytest.raises(meshage.NoRoute):
            a.set("b", "x", timeout=10**400)


def test_properties_can_be_read_and_written(make: Make, namespace: str) -> None:
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
        {"bind": "fe80::1"},
        {"seeds": "fe80::1"},
        {"interfaces": [""]},
        {"broadcast": "x"},
        {"broadcast": ["127.0.0.1", "x"]},
        {"receive_buffer": 0},
        {"max_message": 0},
        {"timeout": -1},
        {"msa_timeout": 0.01},
        {"version": "v" * 257},
    ],
)
def test_an_invalid_option_raises_a_value_error(make: Make, options: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        make("a", **options)


def test_discovery_on_an_interface_that_does_not_exist_is_an_event(make: Make) -> None:
    node = make("a", broadcast="255.255.255.255", port=free_port(), interfaces="no-such-0")
    events = node.events()
    node.degree = 1
    assert next(events).kind is meshage.EventKind.DISCOVERY_FAILED


class OtherInteger:
    """An integer of another type, like those of numeric packages."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __index__(self) -> int:
        return self.number


def test_integers_of_other_types_are_accepted(make: Make) -> None:
    node = make(
        "a",
        degree=OtherInteger(2),
        port=OtherInteger(0),
        listen_port=OtherInteger(0),
        receive_buffer=OtherInteger(8),
        max_message=OtherInteger(1000),
    )
    assert node.degree == 2
    node.degree = OtherInteger(3)  # type: ignore[assignment]
    assert node.degree == 3
    assert len(node.wait_for(OtherInteger(1), timeout=WAIT)) == 1  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        node.degree = OtherInteger(1 << 80)  # type: ignore[assignment]
    for bad in (2.0, "2", None):
        with pytest.raises(TypeError):
            make("b", degree=bad)


def test_setting_a_misspelt_attribute_is_an_error(make: Make) -> None:
    node = make("a")
    with pytest.raises(AttributeError):
        node.degre = 3  # type: ignore[attr-defined]
    assert weakref.ref(node)() is node


def test_a_port_in_use_is_a_bind_error(make: Make) -> None:
    taken = make("a").port
    with pytest.raises(meshage.BindError) as caught:
        make("b", listen_port=taken)
    assert caught.value.errno == errno.EADDRINUSE
    assert str(taken) in str(caught.value)


@pytest.mark.parametrize("seed", ["", "h:99999"])
def test_an_invalid_seed_address_is_rejected(seed: str) -> None:
    with pytest.raises(ValueError):
        meshage.Node("a", bind="127.0.0.1", port=0, seeds=[seed])
