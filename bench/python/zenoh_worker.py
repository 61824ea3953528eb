"""The bench's worker for Zenoh's Python package, with the settings of the one in Rust.

    set_rtt      put ───► subscriber that puts back
    recv_many    put ───► subscriber that counts; what puts may be the worker in Rust
"""

import json
import os
import socket
import sys
import threading
from time import perf_counter_ns

import zenoh

import protocol
from protocol import BETWEEN_LOOKS, BODY, Job

PING, PONG = "bench/ping", "bench/pong"
STREAM, REPORT = "bench/stream", "bench/report"
END = b"end"
"""The body that ends a round of a stream."""


def open_session(low_latency: bool, to: list[str], at: str | None = None) -> zenoh.Session:
    """A session in peer mode that is connected to what it is told, and to nothing else."""
    config = zenoh.Config()
    for key, value in {
        "mode": "peer",
        "connect/endpoints": to,
        "listen/endpoints": [at] if at else [],
        "scouting/multicast/enabled": False,
        "scouting/gossip/enabled": False,
        # The two exclude each other.
        "transport/unicast/lowlatency": low_latency,
        "transport/unicast/qos/enabled": not low_latency,
    }.items():
        config.insert_json5(key, json.dumps(value))
    return zenoh.open(config)


def free_address() -> str:
    """Where a session can listen: its own choice of a port is not to be asked for."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"tcp/127.0.0.1:{server.getsockname()[1]}"


def publisher(session: zenoh.Session, key: str) -> zenoh.Publisher:
    """A publisher that drops nothing."""
    return session.declare_publisher(key, congestion_control=zenoh.CongestionControl.BLOCK)


def wait_for_subscriber(stream: zenoh.Publisher) -> None:
    """Waits until somebody takes what is put."""
    taken = threading.Event()
    listener = stream.declare_matching_listener(
        lambda status: taken.set() if status.matching else None
    )
    # The package's own types are wrong of the one, and missing of the other.
    if not stream.matching_status.matching:  # type: ignore[attr-defined]
        taken.wait()
    listener.undeclare()  # type: ignore[no-untyped-call]


def put_back(session: zenoh.Session) -> None:
    back = publisher(session, PONG)
    with session.declare_subscriber(PING) as asked:
        for sample in asked:
            back.put(sample.payload)


def ask(session: zenoh.Session) -> None:
    answers = session.declare_subscriber(PONG)
    asked = publisher(session, PING)
    wait_for_subscriber(asked)

    def trip() -> None:
        asked.put(BODY)
        answers.recv()

    protocol.rounds(lambda milliseconds: protocol.time_trips(milliseconds, trip))


def count(session: zenoh.Session) -> None:
    report = publisher(session, REPORT)
    with session.declare_subscriber(STREAM) as stream:
        had, start = 0, 0
        for sample in stream:
            if len(sample.payload) == len(END):
                report.put(f"{had} {perf_counter_ns() - start}")
                had = 0
                continue
            if had == 0:
                start = perf_counter_ns()
            had += 1


def put(session: zenoh.Session) -> None:
    reports = session.declare_subscriber(REPORT)
    stream = publisher(session, STREAM)
    wait_for_subscriber(stream)

    def round(milliseconds: int) -> dict[str, float]:
        end, sent = protocol.end_of(milliseconds), 0
        while perf_counter_ns() < end:
            for _ in range(BETWEEN_LOOKS):
                stream.put(BODY)
            sent += BETWEEN_LOOKS
        stream.put(END)
        had, nanoseconds = map(int, reports.recv().payload.to_string().split())
        if had != sent:
            sys.exit(f"of {sent} messages {had} came")
        return protocol.rate(had, nanoseconds)

    protocol.rounds(round)


def main(job: Job) -> None:
    # As in Rust: round trips are faster over the one, streams over the other.
    low_latency = job.case == "set_rtt"
    if job.role == "serve":
        address = free_address()
        session = open_session(low_latency, [], address)
        protocol.at_end_of_input(lambda: os._exit(0))
        protocol.reached_at(address)
    else:
        session = open_session(low_latency, job.to)
    match job.case, job.role:
        case "set_rtt", "serve":
            put_back(session)
        case "set_rtt", "drive":
            ask(session)
        case "stream_unacked" | "recv_many" | "memory", "serve":
            count(session)
        case "stream_unacked" | "recv_many", "drive":
            put(session)
        case _:
            job.unknown()


if __name__ == "__main__":
    main(protocol.job())
