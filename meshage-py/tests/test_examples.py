"""Runs the examples as a user would: as programs that communicate with each other."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest
from conftest import WAIT, free_port

EXAMPLES = Path(__file__).parent.parent / "examples"


class Program:
    """A running example."""

    def __init__(self, name: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / name), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: queue.Queue[str] = queue.Queue()
        self.seen: list[str] = []
        assert self.process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,))
        self._reader.start()

    def _read(self, out: IO[str]) -> None:
        for line in out:
            self.lines.put(line.rstrip("\n"))

    def send_line(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def expect(self, matches: Callable[[str], bool] | str) -> str:
        """Returns the next line that matches and skips the lines before it."""
        deadline = time.monotonic() + WAIT
        while True:
            try:
                line = self.lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"{matches} was not printed after {self.seen}") from None
            self.seen.append(line)
            if matches == line if isinstance(matches, str) else matches(line):
                return line

    def end(self, how: Callable[[], None]) -> None:
        """Stops the program and checks that it exits without an error."""
        how()
        assert self.process.wait(WAIT) == 0
        assert self.process.stderr is not None
        assert self.process.stderr.read() == ""

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def close_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


@pytest.fixture
def start() -> Iterator[Callable[..., Program]]:
    """Starts examples and kills those that still run at the end of the test."""
    with contextlib.ExitStack() as stack:

        def start_program(name: str, *arguments: str) -> Program:
            program = Program(name, *arguments)
            stack.callback(program.kill)
            return program

        yield start_program


def unique(name: str) -> str:
    """A name that no other test run on this machine uses."""
    return f"{name}-{os.getpid()}"


def test_first(start: Callable[..., Program]) -> None:
    ada, bob = unique("ada"), unique("bob")
    one, other = start("first.py", ada), start("first.py", bob)
    one.expect(f"{bob} says 'hello, this is {bob}'")
    other.expect(f"{ada} says 'hello, this is {ada}'")
    one.end(one.interrupt)
    other.end(other.interrupt)


def test_closed(start: Callable[..., Program]) -> None:
    program = start("closed.py")
    program.expect("bob: hello")
    program.expect(lambda line: line.startswith("mallory: the other end has no key"))
    program.end(lambda: None)


def test_request_reply(start: Callable[..., Program]) -> None:
    server = start("request_reply.py", "serve", unique("adder"))
    server.expect(lambda line: "serves" in line)
    client = start("request_reply.py", "ask", unique("adder"), "1", "2", "39")
    client.expect("42")
    client.end(lambda: None)
    server.end(server.interrupt)


def test_asyncio_chat(start: Callable[..., Program]) -> None:
    ada, bob = unique("ada"), unique("bob")
    one, other = start("asyncio_chat.py", ada), start("asyncio_chat.py", bob)
    one.expect(f"* {bob} joined")
    other.expect(f"* {ada} joined")
    one.send_line("hello")
    other.expect(f"{ada}: hello")
    other.end(other.close_input)
    one.expect(f"* {bob} left")
    one.end(one.close_input)


def test_job_queue_loses_no_job_when_workers_are_killed(start: Callable[..., Program]) -> None:
    jobs = 20
    queue = start("job_queue.py", "queue", unique("jobs"), str(jobs))
    taken_back = []
    for _ in range(2):
        victim = start("job_queue.py", "work", unique("jobs"))
        victim.expect(lambda line: " works on job " in line)
        victim.process.kill()  # in the middle of its job
        taken_back.append(queue.expect(lambda line: " taken back from worker-" in line))
    workers = [start("job_queue.py", "work", unique("jobs")) for _ in range(2)]
    queue.expect(f"all {jobs} jobs are done")
    for worker in workers:
        if worker.seen or not worker.lines.empty():
            worker.end(lambda: None)  # it ends by itself
    queue.end(lambda: None)
    done = [line.split()[1] for line in queue.seen if " done by " in line]
    assert sorted(done, key=int) == [str(job) for job in range(1, jobs + 1)]
    assert {line.split()[1] for line in taken_back} <= set(done)


def test_topology(start: Callable[..., Program], tmp_path: Path, namespace: str) -> None:
    picture = tmp_path / "mesh.svg"
    one = start("topology.py", namespace)
    two = start("topology.py", namespace, str(picture))
    two.expect("2 nodes, 1 links, 1 hops across")
    one.end(one.interrupt)
    two.expect(lambda line: line.startswith("- topology-"))
    two.end(two.interrupt)
    assert picture.read_text().startswith("<svg")


def test_demo_node(start: Callable[..., Program], namespace: str) -> None:
    port = str(free_port())
    nodes = {name: start("demo_node.py", name, namespace, port, "2") for name in ("a", "b", "c")}
    for node in nodes.values():
        assert int(node.expect(lambda line: line.startswith("ready ")).split()[1]) > 0
    deadline = time.monotonic() + WAIT
    for node in nodes.values():
        while True:
            node.send_line("mesh")
            known = node.expect(lambda line: line.startswith("mesh")).split()[1:]
            if sorted(entry.split(":")[0] for entry in known) == ["a", "b", "c"]:
                break
            assert time.monotonic() < deadline, known
    a, b = nodes["a"], nodes["b"]
    a.send_line("set b some text")
    a.expect("sent 1 0")
    b.expect("got a some text")
    b.send_line("broadcast to all")
    b.expect("sent 2 0")
    nodes["c"].expect("got b to all")
    a.send_line("set nobody x")
    a.expect("sent 0 1")
    a.send_line("peers")
    assert a.expect(lambda line: line.startswith("peers ")) in ("peers b", "peers c", "peers b c")
    nodes["c"].end(lambda: nodes["c"].send_line("quit"))
    b.end(b.close_input)
