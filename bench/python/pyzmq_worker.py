"""The bench's worker for pyzmq, with the sockets and options of the Rust worker for ZeroMQ.

    set_rtt          REQ ────► REP
    set_window       DEALER ─► ROUTER    a window of outstanding requests
    recv_many        PUSH ───► PULL      and a report back to the pusher, which may be the one in Rust
"""

import os
import sys
from time import perf_counter_ns

import zmq

import protocol
from protocol import CLOCK_INTERVAL, BODY, Job

END = b"end"
"""The body that ends a round of a stream."""

REFILL = 100
"""The window is refilled after this many replies: refilling it one by one takes twice as long."""

CONTEXT = zmq.Context()


def socket(kind: int) -> zmq.Socket[bytes]:
    """A socket without high-water marks, at which ROUTER drops messages silently."""
    created = CONTEXT.socket(kind)
    created.set_hwm(0)
    created.linger = 0
    return created


def bind(server: zmq.Socket[bytes]) -> str:
    """Binds a socket to a free port. Returns its address."""
    server.bind("tcp://127.0.0.1:*")
    return server.get_string(zmq.LAST_ENDPOINT)


def reply() -> None:
    rep = socket(zmq.REP)
    protocol.print_ready(bind(rep))
    while True:
        rep.send(rep.recv())


def request(address: str) -> None:
    req = socket(zmq.REQ)
    req.connect(address)

    def trip() -> None:
        req.send(BODY)
        req.recv()

    protocol.run_rounds(lambda milliseconds: protocol.time_trips(milliseconds, trip))


def route() -> None:
    router = socket(zmq.ROUTER)
    protocol.print_ready(bind(router))
    while True:
        sender, _ = router.recv_multipart()
        router.send_multipart((sender, b""))


def windowed(address: str, window: int) -> None:
    dealer = socket(zmq.DEALER)
    dealer.connect(address)
    refill = min(REFILL, window)

    def run_round(milliseconds: int) -> dict[str, float]:
        start, end = perf_counter_ns(), protocol.end_of(milliseconds)
        for _ in range(window):
            dealer.send(BODY)
        sent = window
        while perf_counter_ns() < end:
            for _ in range(refill):
                dealer.recv()
            for _ in range(refill):
                dealer.send(BODY)
            sent += refill
        for _ in range(window):
            dealer.recv()
        return protocol.rate(sent, perf_counter_ns() - start)

    protocol.run_rounds(run_round)


def receive_stream() -> None:
    # The default high-water marks: PUSH blocks at its own.
    pull = CONTEXT.socket(zmq.PULL)
    report = socket(zmq.PUSH)
    protocol.print_ready(bind(pull), bind(report))
    while True:
        pull.recv()
        start, count = perf_counter_ns(), 1
        while len(pull.recv()) != len(END):
            count += 1
        report.send_string(f"{count} {perf_counter_ns() - start}")


def send_stream(address: str, report_address: str) -> None:
    push = CONTEXT.socket(zmq.PUSH)
    push.connect(address)
    report = socket(zmq.PULL)
    report.connect(report_address)

    def run_round(milliseconds: int) -> dict[str, float]:
        end, sent = protocol.end_of(milliseconds), 0
        while perf_counter_ns() < end:
            for _ in range(CLOCK_INTERVAL):
                push.send(BODY)
            sent += CLOCK_INTERVAL
        push.send(END)
        count, nanoseconds = map(int, report.recv_string().split())
        if count != sent:
            sys.exit(f"{count} of {sent} messages arrived")
        return protocol.rate(count, nanoseconds)

    protocol.run_rounds(run_round)


def main(job: Job) -> None:
    if job.role == "serve":
        protocol.at_end_of_input(lambda: os._exit(0))
    match job.case, job.role:
        case "set_rtt", "serve":
            reply()
        case "set_rtt", "drive":
            request(job.to[0])
        case "set_window" | "memory", "serve":
            route()
        case "set_window", "drive":
            windowed(job.to[0], job.number("window", 1000))
        case "stream_unacked" | "recv_many", "serve":
            receive_stream()
        case "stream_unacked" | "recv_many", "drive":
            send_stream(job.to[0], job.to[1])
        case _:
            job.unsupported()


if __name__ == "__main__":
    main(protocol.parse_job())
