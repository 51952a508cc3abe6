"""A load test, and a comparison of two, as a table for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from katapult_async.safe_text import for_terminal
from katapult_async.words import count, counted, duration, milliseconds

from .comparing import Difference
from .result import Distribution, LoadResult
from .schedule import OpenLoop

_COLUMNS = ("operation", "outcome", "calls", "p50", "p90", "p95", "p99", "p99.9", "max")


def result_table(result: LoadResult) -> str:
    """Return a load test as lines of text.

    Args:
        result: The test.
    """
    return "\n".join([*_head(result), "", *_rows(result), "", *_totals(result), *_remarks(result)])


def title(result: LoadResult) -> str:
    """Return what was tested: action, loop and time."""
    first = result.parts[0]
    processes = f", {len(result.parts)} processes" if len(result.parts) > 1 else ""
    return f"{first.action}, {first.schedule}, {duration(result.duration)}{processes}"


def _head(result: LoadResult) -> list[str]:
    first = result.parts[0]
    return [for_terminal(f"Load test: {title(result)}, against {first.base_url}")]


def _rows(result: LoadResult) -> list[str]:
    rows = [_row(one.operation, one.outcome, one.latency) for one in result.operations]
    if len(result.operations) != 1:
        rows.append(_row("all", "", result.latency))
    if isinstance(result.parts[0].schedule, OpenLoop):
        what = "Latency from when a call was due to its end:"
    else:
        what = "Latency from the start of a call to its end:"
    return [what, *_aligned([_COLUMNS, *rows], left=2)]


def _row(operation: str, outcome: str, found: Distribution) -> tuple[str, ...]:
    times = (found.p50, found.p90, found.p95, found.p99, found.p999, found.max)
    return (for_terminal(operation), for_terminal(outcome), count(found.count), *map(milliseconds, times))


def _totals(result: LoadResult) -> list[str]:
    share = f" ({result.achieved / result.offered:.1%})" if result.offered else ""
    failed = sum(result.errors.values())
    rows = [
        ("offered", f"{counted(result.offered, 'call')}, {result.offered_per_second:,.1f}/s"),
        ("achieved", f"{counted(result.achieved, 'call')}, {result.achieved_per_second:,.1f}/s{share}"),
        ("errors", f"{count(failed)}{_by_code(result)}"),
        ("429s", f"{count(result.rate_limited)} of {counted(result.requests, 'request')}"),
        ("service time", _short(result.service)),
        ("wait for permits", _short(result.wait)),
        ("client's lag", _short(result.lag)),
    ]
    return [f"{name:>18}  {value}" for name, value in rows]


def _by_code(result: LoadResult) -> str:
    if not result.errors:
        return ""
    codes = sorted(result.errors.items(), key=lambda pair: -pair[1])
    return f" ({', '.join(for_terminal(f'{code} {count(number)}') for code, number in codes)})"


def _short(found: Distribution) -> str:
    if not found.count:
        return "-"
    return f"p50 {milliseconds(found.p50)}, p99 {milliseconds(found.p99)}, max {milliseconds(found.max)}"


def _remarks(result: LoadResult) -> list[str]:
    lines = ["", "Not valid:" if result.problems else "Valid: the client started its calls on time."]
    lines += [f"- {for_terminal(problem)}" for problem in result.problems]
    if result.notes:
        lines += ["", "Notes:", *(f"- {for_terminal(note)}" for note in result.notes)]
    stopped = [part.stopped_by for part in result.parts if part.stopped_by is not None]
    lines += [f"- stopped by an error: {for_terminal(error)}" for error in stopped]
    if result.left_behind:
        lines += ["", "Not restored:", *(f"- {for_terminal(left)}" for left in result.left_behind)]
    return lines


def comparison_table(one: LoadResult, other: LoadResult, differences: Sequence[Difference]) -> str:
    """Return a comparison as lines of text.

    Args:
        one: The first test, A.
        other: The second test, B.
        differences: What `compare` has found.
    """
    rows: list[tuple[str, ...]] = [("operation", "percentile", "A", "B", "B - A", "95 % interval", "B is")]
    rows += [
        (
            for_terminal(found.operation),
            f"p{found.percent:g}",
            milliseconds(found.one),
            milliseconds(found.other),
            signed(found.other - found.one),
            interval(found),
            verdict(found),
        )
        for found in differences
    ]
    lines = [for_terminal(f"A: {title(one)}"), for_terminal(f"B: {title(other)}"), ""]
    lines += _aligned(rows, left=1)
    lines += ["", *METHOD]
    for name, result in (("A", one), ("B", other)):
        lines += [f"{name} is not valid: {for_terminal(problem)}" for problem in result.problems]
    return "\n".join(lines)


METHOD = (
    "The interval is a block bootstrap over the seconds of both tests (95 %). It covers noise",
    "within these two tests, not differences between one day and another.",
)


def verdict(found: Difference) -> str:
    """Return whether B is faster or slower, in words."""
    return "too little data" if found.verdict == "unknown" else found.verdict


def signed(seconds: float) -> str:
    """Return a difference with its sign: `+12 ms`."""
    sign = "-" if seconds < 0 else "+"
    return f"{sign}{milliseconds(abs(seconds))}"


def interval(found: Difference) -> str:
    """Return the interval of a difference: `-1 ms to +3 ms`."""
    if found.lowest is None or found.highest is None:
        return "-"
    return f"{signed(found.lowest)} to {signed(found.highest)}"


def _aligned(rows: Sequence[tuple[str, ...]], *, left: int) -> list[str]:
    """Return rows with columns of equal width. The first `left` columns start at the left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            f"{cell:<{width}}" if column < left else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
