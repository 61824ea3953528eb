"""A job queue whose workers may die. No job is lost, and each result counts once.

    python job_queue.py work printshop        # in one terminal or in several
    python job_queue.py queue printshop 20    # in another: 20 jobs

The messages are text: a worker sends "ready" if it has no job, the queue answers "job NUMBER", the
worker does the job and sends "done NUMBER RESULT", and "stop" ends the workers.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
import uuid
from collections import deque

import meshage

GIVE_SECONDS = 5.0  # how long a job is sent again before the queue looks for another worker
TELL_SECONDS = 30.0  # how long a result is sent again
ASK_SECONDS = 2.0  # a worker without a job asks again after this time
JOB_SECONDS = 0.2  # the work of this example
RESULTS_KEPT = 1000  # results that a worker keeps, in case a job is sent to it again


class Queue:
    def __init__(self, node: meshage.AsyncNode, jobs: int) -> None:
        self.node = node
        self.unfinished = set(range(1, jobs + 1))
        self.waiting = deque(sorted(self.unfinished))
        self.held: dict[str, int] = {}  # the job of each worker
        self.idle: set[str] = set()  # the workers for which there was no job
        self.sends: dict[str, asyncio.Task[None]] = {}  # the jobs on their way
        self.tasks = asyncio.TaskGroup()  # an error in one task ends them all

    async def run(self) -> None:
        # The events start before the first job is given, so that the end of no worker is missed.
        events = self.node.events()
        async with self.tasks:
            watcher = self.tasks.create_task(self.watch(events))
            while self.unfinished:
                message = await self.node.recv()
                self.handle(message.source, message.text())
            for task in [watcher, *self.sends.values()]:
                task.cancel()
        with contextlib.suppress(meshage.SendError, meshage.MeshageTimeout):
            await self.node.broadcast("stop")

    def handle(self, worker: str, text: str) -> None:
        if text.startswith("done "):
            number, result = text.removeprefix("done ").split(" ", 1)
            job = int(number)
            if job in self.unfinished:  # a second result of the job is ignored
                self.unfinished.remove(job)
                print(f"job {job} done by {worker}: {result}", flush=True)
            if self.held.get(worker) == job:
                del self.held[worker]
        self.give_job(worker)

    def give_job(self, worker: str) -> None:
        if worker in self.sends:
            return  # it asks again
        if worker not in self.held:
            while self.waiting and self.waiting[0] not in self.unfinished:
                self.waiting.popleft()
            if not self.waiting:
                self.idle.add(worker)
                return
            self.held[worker] = self.waiting.popleft()
        # A worker that asks although it holds a job did not receive it: it gets the same job.
        self.sends[worker] = self.tasks.create_task(self.send_job(worker, self.held[worker]))

    async def send_job(self, worker: str, job: int) -> None:
        try:
            await self.node.set(worker, f"job {job}", retry=True, timeout=GIVE_SECONDS)
        except (meshage.SendError, meshage.MeshageTimeout) as error:
            outcome = error.failed.get(worker)
            certain = outcome is None or outcome.is_certain_failure
            # Otherwise the worker may have it, and keeps it until it sends the result or leaves.
            if certain or worker not in self.node.mesh():
                self.take_back(worker)
        finally:
            del self.sends[worker]

    def take_back(self, worker: str) -> None:
        job = self.held.pop(worker, None)
        if job is not None and job in self.unfinished:
            print(f"job {job} taken back from {worker}", flush=True)
            self.waiting.appendleft(job)
            if self.idle:
                self.give_job(self.idle.pop())

    async def watch(self, events: meshage.AsyncEvents) -> None:
        async for event in events:
            # After an overflow, the events of several nodes may be missing.
            if event.kind in (meshage.EventKind.NODE_LEFT, meshage.EventKind.OVERFLOW):
                mesh = self.node.mesh()
                self.idle = {worker for worker in self.idle if worker in mesh}
                for worker in [worker for worker in self.held if worker not in mesh]:
                    self.take_back(worker)


def work(node: meshage.Node, queue: str) -> None:
    results: dict[int, str] = {}
    node.wait_for(queue)
    tell(node, queue, "ready")
    while True:
        try:
            text = node.recv(timeout=ASK_SECONDS).text()
        except meshage.MeshageTimeout:
            node.wait_for(queue)  # returns at once, unless the queue is away
            tell(node, queue, "ready")
            continue
        if text == "stop":
            return
        job = int(text.removeprefix("job "))
        if job not in results:
            print(f"{node.name} works on job {job}", flush=True)
            time.sleep(JOB_SECONDS)
            results[job] = f"{job} squared is {job * job}"
            if len(results) > RESULTS_KEPT:
                del results[next(iter(results))]
        tell(node, queue, f"done {job} {results[job]}")


def tell(node: meshage.Node, queue: str, text: str) -> None:
    try:
        node.set(queue, text, retry=True, timeout=TELL_SECONDS)
    except (meshage.SendError, meshage.MeshageTimeout) as error:
        print(f"{node.name}: {error}", file=sys.stderr)  # the worker asks again later


async def run_queue(name: str, jobs: int) -> None:
    async with meshage.AsyncNode(
        name, f"jobs-{name}", degree=3, broadcast="127.255.255.255", listen_port=0
    ) as node:
        await Queue(node, jobs).run()
    print(f"all {jobs} jobs are done", flush=True)


def main(role: str, queue: str, jobs: int) -> None:
    if role == "queue":
        asyncio.run(run_queue(queue, jobs))
        return
    # A new name for every process: a restarted worker does not have the job of its predecessor.
    name = f"worker-{uuid.uuid4().hex[:8]}"
    with meshage.Node(
        name, f"jobs-{queue}", degree=3, broadcast="127.255.255.255", listen_port=0
    ) as node:
        work(node, queue)


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in ("queue", "work"):
        sys.exit(__doc__)
    with contextlib.suppress(KeyboardInterrupt):
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 20)
