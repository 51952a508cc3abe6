"""Records the progress of a run without a server, until somebody kills this process. Not a test."""

from __future__ import annotations

import asyncio
import sys
import time

from katapult_async.jobs import Run
from katapult_async.jobs.journal.group_commit import Writer, column
from katapult_async.jobs.journal.session import Stopwatch, begin
from katapult_async.jobs.steps.recorder import SENDING, SETTLE

SECOND = f"INSERT INTO second SELECT {', '.join(map(column, range(5)))} FROM json_each(?) AS r"
WAIT = f"INSERT INTO wait SELECT {', '.join(map(column, range(3)))} FROM json_each(?) AS r"
#: Lines that are recorded together.
BATCH = 7


def settled(number: int) -> tuple[object, ...]:
    """What the recorder writes for a line. Every fifth fails."""
    request = f"request-{number:030d}"
    if number % 5 == 0:
        return (
            number,
            "assign",
            3,
            "failed",
            0,
            0,
            "unable_to_assign",
            f"line {number}",
            1,
            request,
            None,
            1.5,
            1.0,
        )
    return (number, "assign", 3, "assigned", 1, 0, None, None, 1, request, None, time.time(), time.time())


async def again_and_again(path: str, most: int) -> None:
    """Open the run, record some lines, close it, and so on, without a pause."""
    sys.stdout.write("recording\n")
    sys.stdout.flush()
    first = 0
    while True:
        with Run.open(path) as run:
            async with Writer(run.journal) as writer:
                stopwatch = Stopwatch(writer)
                await writer.call(lambda db: begin(db, time.time(), 60.0))
                for _ in range(5):
                    numbers = [1 + (first + number) % most for number in range(BATCH)]
                    await writer.submit(SENDING, [(number, time.time()) for number in numbers]).durable()
                    await writer.submit(SETTLE, [settled(number) for number in numbers]).durable()
                    first += BATCH
                stopwatch.end("finished", None)


async def main(path: str, most: int) -> None:
    """Settle so many lines, a batch each time a line is read from standard input; wait there at the end."""
    with Run.open(path) as run:
        async with Writer(run.journal) as writer:
            await writer.call(lambda db: begin(db, time.time(), 60.0))
            for first in range(1, most + 1, BATCH):
                numbers = range(first, min(first + BATCH, most + 1))
                await writer.submit(SENDING, [(number, time.time()) for number in numbers]).durable()
                await writer.write(SECOND, (1_700_000_000 + first, BATCH, 0, 0, 1000))
                if first % 3 == 0:
                    await writer.write(
                        WAIT, (1_700_000_000.5, 1_700_000_002.25 + first, "the window is used up")
                    )
                if first + BATCH <= most:  # the last ones are in flight when the process is killed
                    await writer.submit(SETTLE, [settled(number) for number in numbers]).durable()
                sys.stdout.write(f"{first}\n")
                sys.stdout.flush()
                if not sys.stdin.readline():
                    return


if __name__ == "__main__":
    asyncio.run((again_and_again if len(sys.argv) > 3 else main)(sys.argv[1], int(sys.argv[2])))
