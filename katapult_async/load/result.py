"""The result of a load test as types, which `docs/schemas/load.json` documents.

Histograms are kept in HdrHistogram's compressed form, so that results of several processes can be
added without loss. Percentiles stand beside them for programs that only read numbers. All durations
are seconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from katapult_async.jobs.report.documents import Timestamp, encode

from .errors import LoadError
from .histogram import Histogram
from .recording import COARSE, Recording, Second, Series
from .schedule import Schedule


class Distribution(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long something took. A percentile is exact to 0.1 %, the maximum is exact."""

    count: int
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    p999: Annotated[float, Meta(description="The 99.9th percentile.")]
    max: float
    histogram: Annotated[str, Meta(description="HdrHistogram V2, compressed, base64, in microseconds.")]


class OperationResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The calls of one operation with one outcome."""

    operation: str
    outcome: Annotated[str, Meta(description="ok, the API's error code, not_sent, or a kind of failure.")]
    latency: Annotated[Distribution, Meta(description="From when a call was due to its end.")]
    service: Annotated[Distribution, Meta(description="From each permit to the response.")]
    wait: Annotated[Distribution, Meta(description="For permits of the rate limit.")]


class LoadSecond(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One second of the test."""

    second: Annotated[int, Meta(description="From 0, after the warm-up.")]
    offered: Annotated[int, Meta(description="Calls that were due in it.")]
    ended: Annotated[int, Meta(description="Calls that ended in it.")]
    failed: Annotated[int, Meta(description="Calls that ended in it and are not ok.")]
    rate_limited: Annotated[int, Meta(description="429s of the calls that ended in it.")]
    latency: Annotated[
        dict[str, str],
        Meta(description="By operation, of the calls that were due in it: a histogram with 2 digits."),
    ]


class LoadPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one process did."""

    host: Annotated[str, Meta(description="The host that the process ran on.")]
    process: int
    version: Annotated[str, Meta(description="Version of katapult-async.")]
    base_url: str
    action: str
    schedule: Schedule
    part: Annotated[str, Meta(description="Its share of the arrivals, for example 1/4.")]
    warm_up: float
    max_lag: Annotated[float, Meta(description="By how much 1 % of the calls may start late.")]
    started_at: Annotated[Timestamp, Meta(description="When its measured time began.")]
    duration: Annotated[float, Meta(description="Measured seconds.")]
    ignores_limit: Annotated[bool, Meta(description="Whether it ignored the rate limit.")]
    interrupted: Annotated[bool, Meta(description="Whether it was stopped early.")]
    stopped_by: Annotated[str | None, Meta(description="The error that stopped it.")]
    problems: Annotated[list[str], Meta(description="Why its measurement is not valid.")]
    notes: list[str]
    left_behind: Annotated[list[str], Meta(description="Changes that could not be undone.")]


class LoadResult(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="schema",
    tag="katapult-async/load/1",
):
    """A load test: `katapult-async load run --json`, and the file of `--output`."""

    started_at: Annotated[Timestamp, Meta(description="When the measured time began.")]
    duration: Annotated[float, Meta(description="Measured seconds.")]
    valid: Annotated[bool, Meta(description="False if the client, not the server, was measured.")]
    problems: Annotated[list[str], Meta(description="Why the result is not valid.")]
    notes: list[str]
    offered: Annotated[int, Meta(description="Calls that were due.")]
    offered_per_second: float
    achieved: Annotated[int, Meta(description="Calls that ended within the measured time.")]
    achieved_per_second: float
    requests: Annotated[int, Meta(description="Requests of the calls that were due.")]
    rate_limited: Annotated[int, Meta(description="Requests that got a 429.")]
    full: Annotated[int, Meta(description="Calls that started late because too many were in flight.")]
    errors: Annotated[dict[str, int], Meta(description="Calls that are not ok, by outcome.")]
    latency: Distribution
    service: Distribution
    wait: Distribution
    lag: Annotated[Distribution, Meta(description="By how much calls started late.")]
    queued: Annotated[Distribution, Meta(description="Waits for a free disk.")]
    operations: list[OperationResult]
    timeline: list[LoadSecond]
    parts: Annotated[list[LoadPart], Meta(description="The processes.")]

    @property
    def left_behind(self) -> list[str]:
        """Changes that could not be undone, in words."""
        return [left for part in self.parts for left in part.left_behind]

    @property
    def interrupted(self) -> bool:
        """Whether a process was stopped early."""
        return any(part.interrupted for part in self.parts)

    def histogram(self, operation: str | None = None) -> Histogram:
        """Return the latency of an operation, with all outcomes. None for all operations."""
        found = Histogram()
        for one in self.operations:
            if operation in (None, one.operation):
                found.add(histogram_of(one.latency))
        return found


def distribution(histogram: Histogram) -> Distribution:
    """Return a histogram with its percentiles."""
    p50, p90, p95, p99, p999 = histogram.percentiles(50, 90, 95, 99, 99.9)
    return Distribution(
        count=histogram.total,
        mean=round(histogram.mean, 6),
        p50=p50,
        p90=p90,
        p95=p95,
        p99=p99,
        p999=p999,
        max=histogram.max,
        histogram=histogram.encode(),
    )


def histogram_of(found: Distribution) -> Histogram:
    """Return the histogram of a distribution."""
    return Histogram.decode(found.histogram, longest=found.max)


def result_of(
    recording: Recording,
    *,
    parts: list[LoadPart],
    started_at: str,
    duration: float,
    problems: list[str],
    notes: list[str],
) -> LoadResult:
    """Return the result of a recording.

    Args:
        recording: What was measured.
        parts: The processes that have measured it.
        started_at: When the measured time began, ISO 8601 in UTC.
        duration: Measured seconds.
        problems: Why the result is not valid.
        notes: Other remarks.
    """
    total = recording.total()
    achieved = sum(second.ended for second in recording.seconds.values())
    return LoadResult(
        started_at=started_at,
        duration=round(duration, 3),
        valid=not problems,
        problems=problems,
        notes=notes,
        offered=recording.offered,
        offered_per_second=round(recording.offered / duration, 3),
        achieved=achieved,
        achieved_per_second=round(achieved / duration, 3),
        requests=recording.requests,
        rate_limited=recording.rate_limited,
        full=recording.full,
        errors={code: count for code, count in sorted(recording.outcomes().items()) if code != "ok"},
        latency=distribution(total.latency),
        service=distribution(total.service),
        wait=distribution(total.wait),
        lag=distribution(recording.lag),
        queued=distribution(recording.queued),
        operations=[
            OperationResult(
                operation=operation,
                outcome=outcome,
                latency=distribution(series.latency),
                service=distribution(series.service),
                wait=distribution(series.wait),
            )
            for (operation, outcome), series in sorted(recording.series.items())
        ],
        timeline=[_load_second(number, second) for number, second in sorted(recording.seconds.items())],
        parts=parts,
    )


def _load_second(number: int, second: Second) -> LoadSecond:
    return LoadSecond(
        second=number,
        offered=second.offered,
        ended=second.ended,
        failed=second.failed,
        rate_limited=second.rate_limited,
        latency={name: found.encode() for name, found in sorted(second.latency.items())},
    )


def second_of(found: LoadSecond) -> Second:
    """Return the recording of a second. The maximum is exact to 1 %."""
    second = Second()
    second.offered, second.ended, second.failed = found.offered, found.ended, found.failed
    second.rate_limited = found.rate_limited
    second.latency = {name: Histogram.decode(text, digits=COARSE) for name, text in found.latency.items()}
    return second


def recording_of(result: LoadResult) -> Recording:
    """Return the recording from which a result was made.

    Raises:
        LoadError: If a histogram is damaged.
    """
    recording = Recording()
    for one in result.operations:
        series = recording.series[one.operation, one.outcome] = Series()
        series.latency, series.service = histogram_of(one.latency), histogram_of(one.service)
        series.wait = histogram_of(one.wait)
    recording.lag, recording.queued = histogram_of(result.lag), histogram_of(result.queued)
    recording.seconds = {found.second: second_of(found) for found in result.timeline}
    recording.offered, recording.full = result.offered, result.full
    recording.requests, recording.rate_limited = result.requests, result.rate_limited
    return recording


def to_json(result: LoadResult) -> str:
    """Return a result as one line of JSON."""
    return encode(result)


def from_json(text: str | bytes, name: str = "the result") -> LoadResult:
    """Return the result that `to_json` has written.

    Args:
        text: The JSON.
        name: What a message calls it.

    Raises:
        LoadError: If it is not the result of a load test, or one of a newer version.
    """
    try:
        return msgspec.json.decode(text, type=LoadResult)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise LoadError(f"{name} is not the result of a load test: {exc}") from exc


def read_result(path: str | Path) -> LoadResult:
    """Return the result of a file.

    Raises:
        LoadError: If the file cannot be read, or is not the result of a load test.
    """
    try:
        return from_json(Path(path).read_bytes(), str(path))
    except OSError as exc:
        raise LoadError(f"cannot read {path}: {exc.strerror or exc}") from exc
