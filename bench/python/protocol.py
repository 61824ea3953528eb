"""The worker's side of the bench protocol (bench/README.md): arguments, rounds, figures."""

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
"""The warm-up round: every path and every buffer is used before the first measured round."""

CLOCK_INTERVAL = 64
"""The clock is read once in this many messages of a stream."""


@dataclass
class Job:
    """The arguments that the harness passes to this process: ``CASE ROLE [key=value …]``."""

    case: str
    role: str
    to: list[str] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)

    def number(self, key: str, fallback: int) -> int:
        """The value of an option, or the fallback if it is not given."""
        return int(self.options.get(key, fallback))

    def unsupported(self) -> NoReturn:
        """Ends the process: this system does not support the case or the role."""
        sys.exit(f"the role {self.role} of the case {self.case} is not supported")


def parse_job() -> Job:
    """The job on the command line."""
    if len(sys.argv) < 3:
        sys.exit("CASE serve|drive [to=ADDRESS,…] [key=value …]")
    case, role, *arguments = sys.argv[1:]
    options = dict(argument.split("=", 1) for argument in arguments)
    to = [address for address in options.pop("to", "").split(",") if address]
    return Job(case, role, to, options)


def print_ready(*addresses: str) -> None:
    """Prints that the process is ready, and its addresses."""
    print("ready", ",".join(addresses), flush=True)


def at_end_of_input(act: Callable[[], object]) -> None:
    """Calls a function in a separate thread when standard input closes."""

    def wait() -> None:
        sys.stdin.read()
        act()

    threading.Thread(target=wait, daemon=True).start()


def run_rounds(round: Callable[[int], dict[str, float]]) -> None:
    """Warms up, prints ``ready``, and runs a round for each line ``round MILLISECONDS``."""
    round(WARM_UP_MS)
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(round(milliseconds(line))), flush=True)


async def run_async_rounds(round: Callable[[int], Awaitable[dict[str, float]]]) -> None:
    """The same with coroutines. The event loop is blocked while it waits for a line."""
    await round(WARM_UP_MS)
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(await round(milliseconds(line))), flush=True)


def milliseconds(line: str) -> int:
    """The length of the round that a line requests."""
    command, number = line.split()
    if command != "round":
        sys.exit(f"expected a round, got {line!r}")
    return int(number)


def end_of(milliseconds: int) -> int:
    """The end of a round that starts now."""
    return perf_counter_ns() + milliseconds * 1_000_000


def summarize(nanoseconds: list[int]) -> dict[str, float]:
    """The figures of a round from its round-trip times, in microseconds."""
    nanoseconds.sort()
    last = len(nanoseconds) - 1

    def at(share: float) -> float:
        return nanoseconds[int(last * share)] / 1000

    return {"median": at(0.5), "p99": at(0.99), "p999": at(0.999), "count": last + 1}


def time_trips(milliseconds: int, trip: Callable[[], object]) -> dict[str, float]:
    """Times ``trip`` repeatedly until the end of the round."""
    times = []
    end = end_of(milliseconds)
    before = perf_counter_ns()
    while before < end:
        trip()
        after = perf_counter_ns()
        times.append(after - before)
        before = after
    return summarize(times)


def rate(count: int, nanoseconds: int) -> dict[str, float]:
    """Messages a second."""
    return {"median": count * 1e9 / nanoseconds, "count": count}
