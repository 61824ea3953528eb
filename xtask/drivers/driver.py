"""A node that executes commands, in Python. meshage/examples/driver.rs describes the commands."""

from __future__ import annotations

import errno
import sys
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import meshage

LABEL_MAX = 64
# The commands that can wait at the same time.
WAITING_MAX = 16

_output = threading.Lock()


def write(line: str) -> None:
    """Prints a line without mixing it with lines of other threads."""
    with _output:
        print(line, flush=True)


def word_of(error: Exception) -> str:
    """The word for an error of a call that sends nothing."""
    words: list[tuple[type[Exception], str]] = [
        (meshage.InvalidArgument, "invalid"),
        (meshage.HandshakeError, "protocol"),
        (meshage.AuthError, "auth"),
        (meshage.DialTimeout, "timeout"),
        (meshage.DialError, "failed"),
        (meshage.MeshageTimeout, "timeout"),
        (meshage.MessageTooLarge, "too-large"),
        (meshage.NotAPeer, "not-found"),
        (meshage.NodeClosed, "closed"),
    ]
    if isinstance(error, meshage.BindError):
        return "addr-in-use" if error.errno == errno.EADDRINUSE else "io"
    return next((word for kind, word in words if isinstance(error, kind)), "unknown")


def sent(result: Callable[[], list[str]]) -> str:
    """The outcomes of a send."""
    try:
        delivered, failed = result(), {}
    except meshage.RecipientError:
        return "error self"
    except (meshage.SendError, meshage.MeshageTimeout) as error:
        if not error.delivered and not error.failed:
            return "error again"
        delivered, failed = error.delivered, error.failed
    outcomes = [f"{name}=delivered" for name in delivered]
    for name, outcome in failed.items():
        outcomes.append(f"{name}={outcome.name.lower().replace('_', '-')}")
    return " ".join(["sent", *outcomes])


def joined(names: tuple[str, ...] | list[str]) -> str:
    return ",".join(names) or "-"


def got(message: meshage.Message) -> str:
    with memoryview(message) as body:
        length, crc = len(body), zlib.crc32(body)
        label = bytes(body[:LABEL_MAX]).split(b"\n", 1)[0].decode(errors="replace") or "-"
    to, route = joined(message.recipients), joined(message.route)
    return f"got {message.source} {to} {route} {length} {crc:08x} {label}"


def body(label: str, length: str) -> bytes:
    """The body with a label and a length."""
    line, size = f"{label}\n".encode(), int(length)
    return (line * (size // len(line) + 1))[:size]


def limit(word: str) -> float | None:
    """A time in seconds; None for the default, and for a call without a limit."""
    return None if word in ("default", "forever") else int(word) / 1000


class Driver:
    def __init__(self, node: meshage.Node) -> None:
        self.node = node
        self.events = node.events()
        self.sendings: dict[str, meshage.Sending] = {}
        self.pool = ThreadPoolExecutor(WAITING_MAX)

    def send(self, token: str, names: list[str], words: list[str]) -> None:
        label, length, timeout = words
        # A send without a limit: the timeout of a send is the node's if none is given.
        seconds = 1e6 if timeout == "forever" else limit(timeout)
        try:
            message = meshage.Message(body(label, length), names or None)
            sending = self.node.send_async(message, timeout=seconds)
        except meshage.RecipientError:
            write(f"{token} error self")
        except meshage.SendError:
            write(f"{token} error again")
        except Exception as error:
            write(f"{token} error {word_of(error)}")
        else:
            self.sendings[token] = sending
            self.run(token, lambda: sent(sending.result))

    def run(self, token: str, call: Callable[[], str]) -> None:
        """Runs a call on a thread of the pool, and prints its result."""

        def work() -> None:
            try:
                result = call()
            except Exception as error:
                result = f"error {word_of(error)}"
            write(f"{token} {result}")
            self.sendings.pop(token, None)

        self.pool.submit(work)

    def next_event(self, timeout: str) -> str:
        event = self.events.next(limit(timeout))
        if event is None:
            return "error closed"
        words = ["event", event.kind.name.lower().replace("_", "-"), event.node]
        if event.departure is not None:
            words.append(event.departure)
        return " ".join(words).rstrip()

    def listen(self) -> None:
        for message in self.node:
            write(got(message))

    def execute(self, token: str, command: str, words: list[str]) -> None:
        node = self.node
        match command, words:
            case "set", ["-", *_]:
                try:
                    node.set([], b"")
                except meshage.RecipientError:
                    write(f"{token} error invalid")
            case "set", [names, *rest]:
                self.send(token, names.split(","), rest)
            case "broadcast", _:
                self.send(token, [], words)
            case "cancel", [other]:
                if other in self.sendings:
                    self.sendings[other].cancel()
                write(f"{token} ok")
            case "dial", [address, timeout]:
                self.run(token, lambda: node.dial(address, timeout=limit(timeout)) or "ok")
            case "hangup", [peer]:
                self.run(token, lambda: node.hangup(peer) or "ok")
            case "wait", [names, timeout]:
                listed = names.split(",")
                self.run(token, lambda: node.wait_for(listed, limit(timeout)) and "ok")
            case "recv", [timeout]:
                self.run(token, lambda: got(node.recv(limit(timeout))))
            case "event", [timeout]:
                self.run(token, lambda: self.next_event(timeout))
            case "listen", []:
                write(f"{token} ok")
                threading.Thread(target=self.listen).start()
            case "peers", []:
                write(f"{token} peers {joined(node.peers())}")
            case "mesh", []:
                known = node.mesh().items()
                entries = [f"{name}:{','.join(linked)}" for name, linked in known]
                write(" ".join([token, "mesh", *entries]))
            case "close", []:
                # The call waits for the flush; the node is closed when it begins.
                self.pool.submit(node.close)
                write(f"{token} ok")
            case _:
                write(f"{token} error unknown-command")


NUMBERS = ("degree", "port", "listen_port", "max_message", "receive_buffer")


def start(name: str, options: list[str]) -> meshage.Node:
    settings: dict[str, object] = {}
    for option in options:
        key, _, value = option.partition("=")
        key = {"listen": "listen_port", "seed": "seeds"}.get(key, key)
        if key == "timeout":
            settings[key] = int(value) / 1000
        else:
            settings[key] = int(value) if key in NUMBERS else value
    return meshage.Node(name, **settings)  # type: ignore[arg-type]


def main(name: str, options: list[str]) -> None:
    try:
        node = start(name, options)
    except meshage.MeshageError as error:
        write(f"failed {word_of(error)}")
        return
    with node:
        driver = Driver(node)
        write(f"ready {node.port}")
        for line in sys.stdin:
            token, *words = line.split()
            if token == "quit":
                break
            driver.execute(token, words[0], words[1:])
    driver.pool.shutdown()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        print("usage: driver.py NAME [OPTION=VALUE ...]", file=sys.stderr)
        sys.exit(2)
    main(sys.argv[1], sys.argv[2:])
