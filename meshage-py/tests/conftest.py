"""Fixtures that make nodes on loopback and free ports and close them at the end of a test."""

from __future__ import annotations

import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import meshage
import pytest

Make = Callable[..., meshage.Node]
Line = Callable[..., list[meshage.Node]]
Kind = type[meshage.Node] | type[meshage.AsyncNode]

# A shell that starts the tests in the background makes them ignore Ctrl-C, which the programs that they
# start would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

_numbers = itertools.count()

WAIT = 20.0
"""How long a condition may take to become true, in seconds: enough for a loaded machine."""


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses."""
    return f"py-{os.getpid()}-{next(_numbers)}"


@pytest.fixture
def make(namespace: str) -> Iterator[Make]:
    """Makes nodes that receive no solicitations."""
    made: list[meshage.Node] = []

    def start(name: str, **options: object) -> meshage.Node:
        settings: dict[str, object] = {"bind": "127.0.0.1", "port": 0} | options
        node = meshage.Node(name, namespace, **settings)  # type: ignore[arg-type]
        made.append(node)
        return node

    yield start
    for node in made:
        node.close()


@pytest.fixture
def line(make: Make) -> Line:
    """Makes nodes in a line: each is linked to the one before it, and all are reachable."""

    def start(*names: str, **options: object) -> list[meshage.Node]:
        nodes = [make(name, **options) for name in names]
        for left, right in itertools.pairwise(nodes):
            left.dial(address(right))
        for node in nodes:
            node.wait_for(names, timeout=WAIT)
        return nodes

    return start


def address(node: meshage.Node | meshage.AsyncNode) -> str:
    """The address that a node listens at."""
    return f"127.0.0.1:{node.port}"


def free_port() -> int:
    """A port that is currently free, for TCP and UDP.

    It is below the ports that systems give to outgoing connections: one of those could be taken
    before the test uses it.
    """
    for _ in range(100):
        port = random.randrange(10_000, 30_000)
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as probe:
                    probe.bind(("", port))
        except OSError:
            continue
        return port
    raise AssertionError("found no port that is free for TCP and UDP")


@dataclass
class Finished:
    """The result of a program."""

    status: int
    out: str
    err: str


def run_python(code: str, *arguments: str, timeout: float = 60.0) -> Finished:
    """Runs code as a separate Python program. A program that hangs fails the test."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def check_python(code: str, *arguments: str, timeout: float = 60.0) -> str:
    """Runs a program that must succeed without error output, and returns its output."""
    done = run_python(code, *arguments, timeout=timeout)
    assert done.status == 0, f"status {done.status}\n{done.out}\n{done.err}"
    assert done.err == "", done.err
    return done.out


PROGRAM_START = """
import asyncio, os, sys, threading, time, warnings
import meshage

def start(name, kind=meshage.Node, **options):
    return kind(name, "processes", bind="127.0.0.1", port=0, **options)

def pair(kind=meshage.Node):
    a, b = start("a", kind), start("b")
    b.dial(f"127.0.0.1:{a.port}")
    b.wait_for("a", timeout=20)
    while not a.broadcast_recipients():
        time.sleep(0.005)
    return a, b
"""


def run_quickly(code: str, limit: float = 10.0) -> str:
    """Runs a program that must end by itself, well before its nodes' timeouts."""
    begin = time.monotonic()
    out = check_python(PROGRAM_START + code)
    assert time.monotonic() - begin < limit
    return out
