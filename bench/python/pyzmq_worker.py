"""The bench's worker for pyzmq, with the sockets and options of the one for ZeroMQ.

    set_rtt          REQ ────► REP
    set_window       DEALER ─► ROUTER    so many requests under way
    recv_many        PUSH ───► PULL      and what came back to the pusher, who may be the one in Rust
"""

import os
import sys
from time import perf_counter_ns

import zmq

import protocol
from protocol import BETWEEN_LOOKS, BODY, Job

END = b"end"
"""The body that ends a round of a stream."""

REFILL = 100
"""The window is filled up after so many answers: one by one costs twice as many turns."""

CONTEXT = zmq.Context()


def socket(kind: int) -> zmq.Socket[bytes]:
    """A socket without high-water marks: ROUTER drops silently at its own."""
    made = CONTEXT.socket(kind)
    made.set_hwm(0)
    made.linger = 0
    return made


def bound(made: zmq.Socket[bytes]) -> str:
    """Where the socket is reached from now on."""
    made.bind("tcp://127.0.0.1:*")
    return made.get_string(zmq.LAST_ENDPOINT)


def answer() -> None:
    rep = socket(zmq.REP)
    protocol.reached_at(bound(rep))
    while True:
        rep.send(rep.recv())


def ask(address: str) -> None:
    req = socket(zmq.REQ)
    req.connect(address)

    def trip() -> None:
        req.send(BODY)
        req.recv()

    protocol.rounds(lambda milliseconds: protocol.time_trips(milliseconds, trip))


def route() -> None:
    router = socket(zmq.ROUTER)
    protocol.reached_at(bound(router))
    while True:
        sender, _ = router.recv_multipart()
        router.send_multipart((sender, b""))


def windowed(address: str, window: int) -> None:
    dealer = socket(zmq.DEALER)
    dealer.connect(address)
    refill = min(REFILL, window)

    def round(milliseconds: int) -> dict[str, float]:
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

    protocol.rounds(round)


def take() -> None:
    # The default marks: PUSH waits at its own.
    pull = CONTEXT.socket(zmq.PULL)
    report = socket(zmq.PUSH)
    protocol.reached_at(bound(pull), bound(report))
    while True:
        pull.recv()
        start, count = perf_counter_ns(), 1
        while len(pull.recv()) != len(END):
            count += 1
        report.send_string(f"{count} {perf_counter_ns() - start}")


def push(address: str, report_address: str) -> None:
    push = CONTEXT.socket(zmq.PUSH)
    push.connect(address)
    report = socket(zmq.PULL)
    report.connect(report_address)

    def round(milliseconds: int) -> dict[str, float]:
        end, sent = protocol.end_of(milliseconds), 0
        while perf_counter_ns() < end:
            for _ in range(BETWEEN_LOOKS):
                push.send(BODY)
            sent += BETWEEN_LOOKS
        push.send(END)
        count, nanoseconds = map(int, report.recv_string().split())
        if count != sent:
            sys.exit(f"of {sent} messages {count} came")
        return protocol.rate(count, nanoseconds)

    protocol.rounds(round)


def main(job: Job) -> None:
    if job.role == "serve":
        protocol.at_end_of_input(lambda: os._exit(0))
    match job.case, job.role:
        case "set_rtt", "serve":
            answer()
        case "set_rtt", "drive":
            ask(job.to[0])
        case "set_window" | "memory", "serve":
            route()
        case "set_window", "drive":
            windowed(job.to[0], job.number("window", 1000))
        case "stream_unacked" | "recv_many", "serve":
            take()
        case "stream_unacked" | "recv_many", "drive":
            push(job.to[0], job.to[1])
        case _:
            job.unknown()


if __name__ == "__main__":
    main(protocol.job())
