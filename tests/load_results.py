"""Results of load tests made without a test: for merging, comparing, thresholds and pages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from katapult_async.jobs.report.documents import iso
from katapult_async.load import FixedRate, LoadPart, LoadResult, OpenLoop, Schedule
from katapult_async.load.call import Call
from katapult_async.load.recording import Recording
from katapult_async.load.result import result_of

START = 1_795_000_020.0
OPEN = OpenLoop(arrivals=FixedRate(100))


class Made(NamedTuple):
    """One call. due and end: seconds from the start of the measured time."""

    due: float
    end: float
    operation: str = "disk"
    outcome: str = "ok"
    lag: float = 0.0
    waited: float = 0.0
    rate_limited: int = 0


def recording_of_calls(calls: Iterable[Made], *, duration: float = 10.0) -> Recording:
    """Record calls as a runner does."""
    recording = Recording()
    for made in calls:
        call = Call(made.operation, made.due)
        call.waited, call.rate_limited = made.waited, made.rate_limited
        call.service, call.requests = made.end - made.due - made.waited, 1 + made.rate_limited
        recording.due(made.due)
        recording.lag.record(made.lag)
        recording.ended(call, made.outcome, due=made.due, end=made.end)
        if made.end < duration:
            recording.throughput(call, made.outcome, end=made.end)
    return recording


def part(
    *,
    process: int = 1,
    schedule: Schedule = OPEN,
    started_at: float = START,
    duration: float = 10.0,
    **changes: object,
) -> LoadPart:
    """Return a process of a test."""
    values: dict[str, object] = {
        "host": "host",
        "process": process,
        "version": "1",
        "base_url": "http://127.0.0.1/core/v1",
        "action": "read disks",
        "schedule": schedule,
        "part": "1/1",
        "warm_up": 0.0,
        "max_lag": 0.02,
        "started_at": iso(started_at),
        "duration": duration,
        "ignores_limit": False,
        "interrupted": False,
        "stopped_by": None,
        "problems": [],
        "notes": [],
        "left_behind": [],
        **changes,
    }
    return LoadPart(**values)  # type: ignore[arg-type]


def result(
    calls: Iterable[Made],
    *,
    process: int = 1,
    duration: float = 10.0,
    started_at: float = START,
    problems: list[str] | None = None,
    **changes: object,
) -> LoadResult:
    """Return the result of a test with these calls."""
    one = part(process=process, started_at=started_at, duration=duration, **changes)  # type: ignore[arg-type]
    return result_of(
        recording_of_calls(calls, duration=duration),
        parts=[one],
        started_at=one.started_at,
        duration=duration,
        problems=problems or [],
        notes=[],
    )


def steady(latency: float, *, seconds: int = 10, per_second: int = 20, spread: float = 0.0) -> list[Made]:
    """Return calls at a fixed rate, whose latency rises within each second by up to `spread`."""
    return [
        Made(
            second + number / per_second,
            second + number / per_second + latency + spread * number / per_second,
        )
        for second in range(seconds)
        for number in range(per_second)
    ]
