"""The exceptions, without a network."""

from __future__ import annotations

import pickle

import meshage
import pytest
from meshage import Outcome

BUILT_IN: list[tuple[type[Exception], type[Exception]]] = [
    (meshage.MeshageTimeout, TimeoutError),
    (meshage.SendError, ConnectionError),
    (meshage.NoRoute, ConnectionError),
    (meshage.NoRoute, meshage.SendError),
    (meshage.RecipientError, ValueError),
    (meshage.DialError, ConnectionError),
    (meshage.DialTimeout, TimeoutError),
    (meshage.DialTimeout, meshage.DialError),
    (meshage.HandshakeError, ConnectionError),
    (meshage.AuthError, meshage.DialError),
    (meshage.UnknownKey, KeyError),
    (meshage.BindError, OSError),
    (meshage.MessageTooLarge, ValueError),
    (meshage.InvalidArgument, ValueError),
    (meshage.NotAPeer, LookupError),
    (meshage.NodeClosed, RuntimeError),
    (meshage.ForkError, RuntimeError),
    (meshage.ResourceError, OSError),
    (meshage.InternalError, RuntimeError),
    (meshage.BusyError, RuntimeError),
]


@pytest.mark.parametrize(("kind", "base"), BUILT_IN)
def test_each_is_a_meshage_error_and_a_built_in_exception(
    kind: type[Exception], base: type[Exception]
) -> None:
    assert issubclass(kind, meshage.MeshageError)
    assert issubclass(kind, base)
    assert kind.__module__ == "meshage"


@pytest.mark.parametrize("kind", dict.fromkeys(kind for kind, _ in BUILT_IN))
def test_each_can_be_pickled(kind: type[Exception]) -> None:
    again = pickle.loads(pickle.dumps(kind("what happened")))
    assert (type(again), str(again)) == (kind, "what happened")


def test_outcomes_survive_pickling() -> None:
    error = meshage.SendError("half", ["a"], {"b": 1, "c": Outcome.LOST})
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.delivered) == ("half", ["a"])
    assert again.failed == {"b": Outcome.NO_ROUTE, "c": Outcome.LOST}


def test_an_errno_survives_pickling() -> None:
    again = pickle.loads(pickle.dumps(meshage.BindError(98, "in use")))
    assert (again.errno, again.strerror) == (98, "in use")


def test_a_timeout_is_not_a_send_error() -> None:
    assert not issubclass(meshage.MeshageTimeout, meshage.SendError)


def test_certain_failures_are_distinct_from_unknown_outcomes() -> None:
    certain = {outcome for outcome in Outcome if outcome.is_certain_failure}
    assert certain == {Outcome.NO_ROUTE, Outcome.BUSY, Outcome.TOO_LARGE, Outcome.CANCELED}
