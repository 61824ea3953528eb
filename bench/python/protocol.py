"""The worker's end of the bench's protocol (bench/README.md): arguments, rounds, figures."""

import json
import sys
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import NoReturn

BODY = b"x" * 64
"""The body of every message."""

WARM_UP_MS = 300
"""The round before the first: every path and every buffer has been used before it is measured."""

BETWEEN_LOOKS = 64
"""The clock is read after so many messages of a stream."""


@dataclass
class Job:
    """What the harness wants of this process: ``CASE ROLE [key=value …]``."""

    case: str
    role: str
    to: list[str] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)

    def number(self, key: str, otherwise: int) -> int:
        """The value of an option, or what it is where it is not given."""
        return int(self.options.get(key, otherwise))

    def unknown(self) -> NoReturn:
        """Ends the process: this system has no such part of no such case."""
        sys.exit(f"no {self.role} of the case {self.case}")


def job() -> Job:
    """The job that the command line says."""
    if len(sys.argv) < 3:
        sys.exit("CASE serve|drive [to=ADDRESS,…] [key=value …]")
    case, role, *words = sys.argv[1:]
    options = dict(word.split("=", 1) for word in words)
    to = [address for address in options.pop("to", "").split(",") if address]
    return Job(case, role, to, options)


def reached_at(*addresses: str) -> None:
    """Says where this process is reached from now on."""
    print("ready", ",".join(addresses), flush=True)


def at_end_of_input(act: Callable[[], object]) -> None:
    """Does something once standard input closes, in a thread of its own."""

    def wait() -> None:
        sys.stdin.read()
        act()

    threading.Thread(target=wait, daemon=True).start()


def rounds(round: Callable[[int], dict[str, float]]) -> None:
    """Warms up, says ``ready``, and runs a round of so many milliseconds whenever it is told to."""
    round(WARM_UP_MS)
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(round(milliseconds(line))), flush=True)


async def async_rounds(round: Callable[[int], Awaitable[dict[str, float]]]) -> None:
    """The same with coroutines; nothing else happens in the loop while it waits for a line."""
    await round(WARM_UP_MS)
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(await round(milliseconds(line))), flush=True)


def milliseconds(line: str) -> int:
    """How long the round is to be that a line asks for."""
    word, number = line.split()
    if word != "round":
        sys.exit(f"{line!r} is no round")
    return int(number)


def end_of(milliseconds: int) -> int:
    """When a round that begins now is over."""
    return perf_counter_ns() + milliseconds * 1_000_000


def trips(nanoseconds: list[int]) -> dict[str, float]:
    """What the times of a round's round trips come to, in microseconds."""
    nanoseconds.sort()
    last = len(nanoseconds) - 1

    def at(share: float) -> float:
        return nanoseconds[int(last * share)] / 1000

    return {"median": at(0.5), "p99": at(0.99), "p999": at(0.999), "count": last + 1}


def time_trips(milliseconds: int, trip: Callable[[], object]) -> dict[str, float]:
    """Times ``trip`` again and again until the round is over."""
    times = []
    end = end_of(milliseconds)
    before = perf_counter_ns()
    while before < end:
        trip()
        after = perf_counter_ns()
        times.append(after - before)
        before = after
    return trips(times)


def rate(count: int, nanoseconds: int) -> dict[str, float]:
    """Messages a second."""
    return {"median": count * 1e9 / nanoseconds, "count": count}
