"""Assigns disks with a shared budget, until it is done or killed. This module is not a test."""

from __future__ import annotations

import asyncio
import logging
import sys
import time

import msgspec


class Work(msgspec.Struct):
    """What to do.

    Attributes:
        budget: "file:FOLDER" or the URL of a Redis server.
        shift: Seconds by which this process's wall clock is wrong.
    """

    url: str
    budget: str
    period: float
    disks: list[str]
    machines: list[str]
    timeout: float = 2.0
    shift: float = 0.0
    concurrency: int = 16


class Done(msgspec.Struct):
    """What the process did.

    Attributes:
        at: When each request was answered, in seconds of the machine's monotonic clock.
    """

    counts: dict[str, int]
    at: list[float]


async def main(work: Work) -> Done:
    """Assign all of them."""
    from katapult_async import Assignment, Client, Observer, RetryPolicy, Timeout
    from katapult_async.budget import Budget, FileBudget
    from katapult_async.observer import RequestEvent

    at: list[float] = []

    class Times(Observer):
        def on_request(self, event: RequestEvent) -> None:
            if event.status == 200:
                at.append(time.monotonic())

    scheme, _, folder = work.budget.partition(":")
    budget: Budget | str = FileBudget(folder) if scheme == "file" else work.budget
    async with Client(
        "token",
        base_url=work.url,
        rate_window=work.period,
        budget=budget,
        timeout=Timeout(total=work.timeout),
        retry=RetryPolicy(base=0.02, cap=0.2),
        concurrency=work.concurrency,
        observer=Times(),
    ) as client:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        machines = work.machines
        pairs = [Assignment(disk, machines[i % len(machines)]) for i, disk in enumerate(work.disks)]
        report = await client.disks.assign_many(pairs)
    return Done({status.value: count for status, count in report.counts.items()}, at)


if __name__ == "__main__":
    given = msgspec.json.decode(sys.stdin.buffer.readline(), type=Work)
    if given.shift:
        right = time.time
        time.time = lambda: right() + given.shift
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    sys.stdout.write(msgspec.json.encode(asyncio.run(main(given))).decode() + "\n")
