"""How long requests took and waited for permits.

Each time is counted once, also over sessions that follow each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from katapult_async import RequestEvent, WaitEvent
from katapult_async.jobs import Journal, Manifest, Run
from katapult_async.jobs.journal.group_commit import Writer
from katapult_async.jobs.journal.timeline import TimelineRecorder

BEGAN = 1_700_000_000.0


def request(took: float, *, status: int | None = 200, failure: str | None = None) -> RequestEvent:
    return RequestEvent(
        operation="GET /x", sent_at=BEGAN, ended_at=BEGAN + took, status=status, failure=failure
    )


def wait(since: float, until: float | None) -> WaitEvent:
    return WaitEvent(since=BEGAN + since, until=None if until is None else BEGAN + until, reason="permits")


async def record(journal: Journal, events: Iterable[RequestEvent | WaitEvent]) -> None:
    async with Writer(journal) as writer:
        timeline = TimelineRecorder(writer)
        for event in events:
            if isinstance(event, RequestEvent):
                timeline.on_request(event)
            else:
                timeline.on_wait(event)
        timeline.flush()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    with Manifest.from_items([("disk_1", "vm_1")]) as manifest:
        return Run.create(tmp_path / "a.run", manifest)


async def test_response_times_of_all_sessions_are_added_up(run: Run) -> None:
    with run:
        await record(run.journal, [request(0.1)] * 97 + [request(2.0, status=429)])
        await record(run.journal, [request(9.0, status=500)] * 2)
        latency = run.journal.latency()
    assert latency.requests == 100
    assert latency.p50 == pytest.approx(0.1, rel=0.011)
    assert latency.p95 == pytest.approx(0.1, rel=0.011)
    assert latency.p99 == pytest.approx(9.0, rel=0.011)
    assert latency.longest == pytest.approx(9.0, rel=0.011)
    assert latency.waited == 0.0


async def test_a_request_without_an_answer_or_over_a_clock_that_was_set_back_has_no_response_time(
    run: Run,
) -> None:
    with run:
        await record(run.journal, [request(30.0, status=None), request(-7200.0), request(0.5)])
        assert run.journal.latency().requests == 1
        assert run.journal.summary().requests == 3


async def test_a_request_that_timed_out_counts_with_the_time_until_then(run: Run) -> None:
    """Without it, the percentiles of a server that hangs would look good."""
    hung = [request(60.0, status=None, failure=name) for name in ("RequestTimeout", "ConnectTimeout")]
    reset = request(0.001, status=None, failure="ConnectionLost")
    with run:
        await record(run.journal, [*[request(0.1)] * 18, *hung, reset])
        latency = run.journal.latency()
    assert latency.requests == 20
    assert latency.p50 == pytest.approx(0.1, rel=0.011)
    assert latency.p95 == latency.longest == pytest.approx(60.0, rel=0.011)


@pytest.mark.parametrize(
    ("waits", "seconds"),
    [
        ([wait(0, 60)], 60.0),
        ([wait(0, 0.25)], 0.25),
        ([wait(0, 60), wait(30, 60), wait(59, 60)], 60.0),  # many requests wait for the same
        ([wait(0, 60), wait(20, 30)], 30.0),  # it ended earlier than was foreseen
        ([wait(0, 60), wait(100, 130)], 90.0),
        ([wait(0, None)], 0.0),  # until an answer comes: nobody knows how long
    ],
)
async def test_a_wait_counts_once_however_many_requests_wait(
    run: Run, waits: list[WaitEvent], seconds: float
) -> None:
    with run:
        await record(run.journal, [request(0.1), *waits])
        assert run.journal.latency().waited == pytest.approx(seconds)
