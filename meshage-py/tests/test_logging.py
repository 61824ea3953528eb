"""The core's log in ``logging``."""

from __future__ import annotations

import logging
import time

import meshage
import pytest
from conftest import WAIT, address


def test_nothing_is_logged_until_logging_is_enabled(
    caplog: pytest.LogCaptureFixture, namespace: str
) -> None:
    with caplog.at_level(1, logger="meshage"):
        with meshage.Node("a", namespace, bind="127.0.0.1", port=0):
            pass
        assert caplog.records == []


def test_an_unknown_level_is_a_value_error_that_lists_the_levels() -> None:
    with pytest.raises(ValueError, match="CRITICAL.*ERROR.*WARNING.*INFO.*DEBUG") as caught:
        meshage.enable_logging("NOPE")
    assert isinstance(caught.value, meshage.InvalidArgument) and "NOPE" in str(caught.value)
    with pytest.raises(TypeError):
        meshage.enable_logging(None)  # type: ignore[arg-type]
    meshage.enable_logging("warning")
    meshage.disable_logging()


def test_the_log_goes_to_loggers_below_meshage(
    caplog: pytest.LogCaptureFixture, namespace: str
) -> None:
    with caplog.at_level(1, logger="meshage"):
        meshage.enable_logging("DEBUG")
        try:
            with (
                meshage.Node("a", namespace, bind="127.0.0.1", port=0) as a,
                meshage.Node("b", namespace, bind="127.0.0.1", port=0) as b,
            ):
                a.dial(address(b))
                a.wait_for("b", timeout=WAIT)
                deadline = time.monotonic() + WAIT
                while not caplog.records and time.monotonic() < deadline:
                    time.sleep(0.01)
        finally:
            meshage.disable_logging()
    assert caplog.records
    assert all(record.name.split(".")[0] == "meshage" for record in caplog.records)
    assert all(record.levelno >= logging.DEBUG for record in caplog.records)
    count = len(caplog.records)
    with (
        caplog.at_level(1, logger="meshage"),
        meshage.Node("a", namespace, bind="127.0.0.1", port=0),
    ):
        pass
    assert len(caplog.records) == count
