"""The bench's worker for Zenoh's Python package, with the settings of the Rust worker.

    set_rtt      put ───► subscriber that puts back
    recv_many    put ───► subscriber that counts; the sender may be the worker in Rust
"""

import json
import os
import socket
import sys
import threading
from time import perf_counter_ns

import zenoh

import protocol
from protocol import CLOCK_INTERVAL, BODY, Job

PING, PONG = "bench/ping", "bench/pong"
STREAM, REPORT = "bench/stream", "bench/report"
END = b"end"
"""The body that ends a round of a stream."""


def open_session(low_latency: bool, to: list[str], at: str | None = None) -> zenoh.Session:
    """A session in peer mode that connects only to the given addresses."""
    config = zenoh.Config()
    for key, value in {
        "mode": "peer",
        "connect/endpoints": to,
        "listen/endpoints": [at] if at else [],
        "scouting/multicast/enabled": False,
        "scouting/gossip/enabled": False,
        # These two settings exclude each other.
        "transport/unicast/lowlatency": low_latency,
        "transport/unicast/qos/enabled": not low_latency,
    }.items():
        config.insert_json5(key, json.dumps(value))
    return zenoh.open(config)


def free_address() -> str:
    """A free address to listen on. A session does not report a port that it chose itself."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"tcp/127.0.0.1:{server.getsockname()[1]}"


def publisher(session: zenoh.Session, key: str) -> zenoh.Publisher:
    """A publisher that drops nothing."""
    return session.declare_publisher(key, congestion_control=zenoh.CongestionControl.BLOCK)


def wait_for_subscriber(stream: zenoh.Publisher) -> None:
    """Waits until a subscriber exists."""
    subscribed = threading.Event()
    listener = stream.declare_matching_listener(
        lambda status: subscribed.set() if status.matching else None
    )
    # The package's type hints are wrong for the first call and missing for the second.
    if not stream.matching_status.matching:  # type: ignore[attr-defined]
        subscribed.wait()
    listener.undeclare()  # type: ignore[no-untyped-call]


def put_back(session: zenoh.Session) -> None:
    back = publisher(session, PONG)
    with session.declare_subscriber(PING) as requests:
        for sample in requests:
            back.put(sample.payload)


def request(session: zenoh.Session) -> None:
    replies = session.declare_subscriber(PONG)
    requests = publisher(session, PING)
    wait_for_subscriber(requests)

    def trip() -> None:
        requests.put(BODY)
        replies.recv()

    protocol.run_rounds(lambda milliseconds: protocol.time_trips(milliseconds, trip))


def count(session: zenoh.Session) -> None:
    report = publisher(session, REPORT)
    with session.declare_subscriber(STREAM) as stream:
        received, start = 0, 0
        for sample in stream:
            if len(sample.payload) == len(END):
                report.put(f"{received} {perf_counter_ns() - start}")
                received = 0
                continue
            if received == 0:
                start = perf_counter_ns()
            received += 1


def put(session: zenoh.Session) -> None:
    reports = session.declare_subscriber(REPORT)
    stream = publisher(session, STREAM)
    wait_for_subscriber(stream)

    def run_round(milliseconds: int) -> dict[str, float]:
        end, sent = protocol.end_of(milliseconds), 0
        while perf_counter_ns() < end:
            for _ in range(CLOCK_INTERVAL):
                stream.put(BODY)
            sent += CLOCK_INTERVAL
        stream.put(END)
        received, nanoseconds = map(int, reports.recv().payload.to_string().split())
        if received != sent:
            sys.exit(f"{received} of {sent} messages arrived")
        return protocol.rate(received, nanoseconds)

    protocol.run_rounds(run_round)


def main(job: Job) -> None:
    # As in Rust: round trips are faster with low latency, streams are faster without.
    low_latency = job.case == "set_rtt"
    if job.role == "serve":
        address = free_address()
        session = open_session(low_latency, [], address)
        protocol.at_end_of_input(lambda: os._exit(0))
        protocol.print_ready(address)
    else:
        session = open_session(low_latency, job.to)
    match job.case, job.role:
        case "set_rtt", "serve":
            put_back(session)
        case "set_rtt", "drive":
            request(session)
        case "stream_unacked" | "recv_many" | "memory", "serve":
            count(session)
        case "stream_unacked" | "recv_many", "drive":
            put(session)
        case _:
            job.unsupported()


if __name__ == "__main__":
    main(protocol.parse_job())
