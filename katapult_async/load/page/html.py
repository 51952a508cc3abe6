"""Writes the page of a load test, and the page that compares two.

Numbers come first, then the plots. The page needs no script.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TextIO

from katapult_async.load.comparing import Difference
from katapult_async.load.result import Distribution, LoadResult
from katapult_async.load.text import METHOD, interval, signed, title, verdict
from katapult_async.page import asset, foot, head, text
from katapult_async.words import count, local_time, milliseconds

from . import charts
from .plot import Plot, draw

_PERCENTILES = ("p50", "p90", "p95", "p99", "p99.9", "max")


def write_page(out: TextIO, result: LoadResult, *, now: float | None = None) -> None:
    """Write the page of a load test.

    Args:
        out: A text file, open for writing.
        result: The test.
        now: When the page is made, Unix time in seconds. None for the current time.
    """
    out.write(head(f"Load test: {title(result)}", style=_style()))
    out.writelines(_standing(result))
    out.writelines(_totals(result))
    out.writelines(_operations(result))
    spans = charts.spans(result)
    out.writelines(
        _plot(charts.latency_over_time(result, spans), [("one", "p50"), ("two", "p99"), ("three", "maximum")])
    )
    out.writelines(_plot(charts.percentile_curve(result), [("one", "all calls")]))
    out.writelines(_plot(charts.throughput(result, spans), [("one", "ended"), ("two", "offered")]))
    out.writelines(_plot(charts.errors(result, spans), [("bad", "not ok"), ("two", "429s")]))
    out.write(foot(_facts(result, now)))


def write_comparison_page(
    out: TextIO,
    one: LoadResult,
    other: LoadResult,
    differences: Sequence[Difference],
    *,
    now: float | None = None,
) -> None:
    """Write the page that compares two load tests.

    Args:
        out: A text file, open for writing.
        one: The first test, A.
        other: The second test, B.
        differences: What `compare` has found.
        now: When the page is made, Unix time in seconds. None for the current time.
    """
    out.write(head("Comparison of two load tests", style=_style()))
    for name, result in (("A", one), ("B", other)):
        out.write(f"<h2>{name}: {text(title(result))}</h2>\n")
        out.writelines(_standing(result))
        out.writelines(_totals(result))
    out.writelines(_differences(differences))
    key = [("one", "A"), ("two", "B")]
    for plot in (
        charts.compared_latency(one, other),
        charts.percentile_curve(one, other),
        charts.compared_throughput(one, other),
        charts.compared_errors(one, other),
    ):
        out.writelines(_plot(plot, key))
    out.write(foot(_facts(one, now)))


def _style() -> str:
    return asset("katapult_async.load.page", "load.css")


def _standing(result: LoadResult) -> Iterator[str]:
    if result.valid:
        yield '<p class="good">Valid: the client started its calls on time.</p>\n'
    for problem in result.problems:
        yield f'<p class="bad">Not valid: {text(problem)}</p>\n'
    for left in result.left_behind:
        yield f'<p class="bad">Not restored: {text(left)}</p>\n'
    for note in result.notes:
        yield f'<p class="soft">{text(note)}</p>\n'


def _totals(result: LoadResult) -> Iterator[str]:
    share = f" ({result.achieved / result.offered:.1%})" if result.offered else ""
    rows = [
        ("offered", f"{result.offered_per_second:,.1f}/s"),
        ("achieved", f"{result.achieved_per_second:,.1f}/s{share}"),
        ("calls", count(result.offered)),
        ("errors", count(sum(result.errors.values()))),
        ("429s", count(result.rate_limited)),
        ("latency p50", milliseconds(result.latency.p50)),
        ("latency p99", milliseconds(result.latency.p99)),
        ("latency, maximum", milliseconds(result.latency.max)),
        ("service time p99", milliseconds(result.service.p99)),
        ("wait for permits p99", milliseconds(result.wait.p99)),
        ("client's lag p99", milliseconds(result.lag.p99)),
    ]
    yield '<dl class="totals">\n'
    for name, value in rows:
        yield f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>\n"
    yield "</dl>\n"


def _operations(result: LoadResult) -> Iterator[str]:
    rows = [(one.operation, one.outcome, one.latency) for one in result.operations]
    if len(rows) != 1:
        rows.append(("all", "", result.latency))
    yield from _table(
        ("operation", "outcome", "calls", *_PERCENTILES),
        [(operation, outcome, count(found.count), *_times(found)) for operation, outcome, found in rows],
    )


def _times(found: Distribution) -> tuple[str, ...]:
    return tuple(
        milliseconds(seconds)
        for seconds in (found.p50, found.p90, found.p95, found.p99, found.p999, found.max)
    )


def _differences(differences: Sequence[Difference]) -> Iterator[str]:
    yield "<h2>Difference</h2>\n"
    rows = [
        (
            found.operation,
            f"p{found.percent:g}",
            milliseconds(found.one),
            milliseconds(found.other),
            signed(found.other - found.one),
            interval(found),
            verdict(found),
        )
        for found in differences
    ]
    yield from _table(("operation", "percentile", "A", "B", "B - A", "95 % interval", "B is"), rows)
    yield f'<p class="soft">{text(" ".join(METHOD))}</p>\n'


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    heads = "".join(f'<th scope="col">{text(heading)}</th>' for heading in headings)
    yield f'<div class="wide"><table class="numbers"><thead><tr>{heads}</tr></thead>\n<tbody>\n'
    for row in rows:
        cells = "".join(f"<td>{text(cell)}</td>" for cell in row)
        yield f"<tr>{cells}</tr>\n"
    yield "</tbody></table></div>\n"


def _plot(plot: Plot, key: Sequence[tuple[str, str]]) -> Iterator[str]:
    yield draw(plot)
    items = "".join(f'<li><i class="{kind}"></i> {text(meaning)}</li>' for kind, meaning in key)
    yield f'\n<ul class="key">{items}</ul>\n'


def _facts(result: LoadResult, now: float | None) -> list[str]:
    first = result.parts[0]
    made = local_time(time.time() if now is None else now)
    limit = "rate limit ignored" if first.ignores_limit else "rate limit respected"
    return [f"page made {made}", f"test begun {result.started_at}", first.base_url, limit]
