"""Adds the results of several processes to one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from katapult_async.jobs.report.documents import iso
from katapult_async.words import duration

from .errors import LoadError
from .recording import Recording
from .result import LoadResult, recording_of, result_of

#: Results whose measured times begin further apart, in seconds, are not of one test.
_TOGETHER = 1.0


def merge(results: Sequence[LoadResult]) -> LoadResult:
    """Return the result of a test that ran in several processes.

    It is the result that one process would have measured that had seen all calls. Seconds of the
    timelines are added by the time of the clock.

    Args:
        results: The results of the processes. A result that was merged before is accepted.

    Raises:
        LoadError: If there is no result, if one occurs twice, or if they are from different tests:
            other actions, hosts or times.
        MissingExtra: If the package hdrhistogram is not installed.
    """
    if not results:
        raise LoadError("there is no result to merge")
    parts = [part for result in results for part in result.parts]
    _check_same_test(results)
    starts = [_seconds(result.started_at) for result in results]
    first = min(starts)
    together = Recording()
    for result, start in zip(results, starts, strict=True):
        recording = recording_of(result)
        shift = round(start - first)
        recording.seconds = {number + shift: second for number, second in recording.seconds.items()}
        together.add(recording)
    end = max(start + result.duration for start, result in zip(starts, results, strict=True))
    problems = _once(result.problems for result in results)
    notes = _once(result.notes for result in results)
    if max(starts) - first > _TOGETHER:
        problems.append(
            f"The processes did not measure at the same time: the last one began"
            f" {duration(max(starts) - first)} after the first. Give all the same --start-at."
        )
    return result_of(
        together,
        parts=parts,
        started_at=iso(first) or "",
        duration=end - first,
        problems=problems,
        notes=notes,
    )


def _check_same_test(results: Sequence[LoadResult]) -> None:
    parts = [part for result in results for part in result.parts]
    first = parts[0]
    for part in parts[1:]:
        for name, one, other in (
            ("actions", first.action, part.action),
            ("hosts", first.base_url, part.base_url),
            ("kinds of loop", type(first.schedule), type(part.schedule)),
        ):
            if one != other:
                raise LoadError(f"the results are from different tests: they have different {name}")
    seen = [(part.host, part.process, part.started_at) for part in parts]
    if len(set(seen)) < len(seen):
        raise LoadError("one result is given twice")


def _once(lists: Iterable[list[str]]) -> list[str]:
    found: dict[str, None] = {}
    for sentences in lists:
        found.update(dict.fromkeys(sentences))
    return list(found)


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp()
