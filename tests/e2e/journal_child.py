"""Records the progress of a run without a server, until somebody kills this process. Not a test."""

from __future__ import annotations

import asyncio
import sys
import time

from katapult_async.jobs import LineState, LineStatus, Run
from katapult_async.jobs.journal.group_commit import Writer
from katapult_async.jobs.journal.queries_lines import MARK_SENT, RECORD_OUTCOME, LineOutcome, SentLine
from katapult_async.jobs.journal.queries_sessions import ADD_SECOND, ADD_WAIT, SecondCounts, Wait
from katapult_async.jobs.journal.records import Changes, Step
from katapult_async.jobs.journal.session import SessionRecorder

#: A time of our days: seals keep 2^-22 s of it, which is all that such a number has.
FAILED_AT = 1_795_000_000.0

#: Lines that are recorded together.
BATCH = 7


def outcome(number: int) -> LineOutcome:
    """What the recorder writes for a line. Every fifth fails."""
    failed = number % 5 == 0
    return LineOutcome(
        number=number,
        step=Step.ASSIGN,
        state=LineState.SETTLED,
        status=LineStatus.FAILED if failed else LineStatus.ASSIGNED,
        changes=Changes.NOTHING if failed else Changes.ASSIGNED,
        reverted=Changes.NOTHING,
        code="unable_to_assign" if failed else None,
        detail=f"line {number}" if failed else None,
        attempts=1,
        finished_at=FAILED_AT + 0.5 if failed else time.time(),
        request_id=f"request-{number:030d}",
        sent_at=FAILED_AT if failed else time.time(),
    )


async def again_and_again(path: str, most: int) -> None:
    """Open the run, record some lines, close it, and so on, without a pause."""
    sys.stdout.write("recording\n")
    sys.stdout.flush()
    first = 0
    while True:
        with Run.open(path) as run:
            async with Writer(run.journal) as writer:
                session = SessionRecorder(writer, "")
                await session.begin(60.0, None)
                for _ in range(5):
                    numbers = [1 + (first + number) % most for number in range(BATCH)]
                    await writer.submit(
                        MARK_SENT, [SentLine(number, time.time()) for number in numbers]
                    ).durable()
                    await writer.submit(RECORD_OUTCOME, [outcome(number) for number in numbers]).durable()
                    first += BATCH
                session.end("finished", None)
        if first == 5 * BATCH:
            sys.stdout.write("recorded\n")
            sys.stdout.flush()


async def main(path: str, most: int) -> None:
    """Record the outcomes of so many lines, and wait at the end.

    The process records a batch each time it reads a line from standard input.
    """
    with Run.open(path) as run:
        async with Writer(run.journal) as writer:
            await SessionRecorder(writer, "").begin(60.0, None)
            for first in range(1, most + 1, BATCH):
                numbers = range(first, min(first + BATCH, most + 1))
                await writer.submit(
                    MARK_SENT, [SentLine(number, time.time()) for number in numbers]
                ).durable()
                await writer.write(
                    ADD_SECOND, SecondCounts(at=1_700_000_000 + first, requests=BATCH, permitted=1000)
                )
                if first % 3 == 0:
                    await writer.write(
                        ADD_WAIT,
                        Wait(
                            since=1_700_000_000.5,
                            until=1_700_000_002.25 + first,
                            reason="the window is used up",
                        ),
                    )
                if first + BATCH <= most:  # the last ones are in flight when the process is killed
                    await writer.submit(RECORD_OUTCOME, [outcome(number) for number in numbers]).durable()
                sys.stdout.write(f"{first}\n")
                sys.stdout.flush()
                if not sys.stdin.readline():
                    return


if __name__ == "__main__":
    asyncio.run((again_and_again if len(sys.argv) > 3 else main)(sys.argv[1], int(sys.argv[2])))
