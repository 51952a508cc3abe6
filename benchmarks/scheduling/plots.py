"""Plots of permitted and used requests.

One plot is cumulative, for all limiters. The other shows each second, for Katapult's kind of
limiter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from benchmarks import svg

from .scenarios import KINDS, Played, Scenario


def cumulative(
    scenarios: Mapping[str, Scenario], runs: Mapping[str, Mapping[str, Played]], end: float
) -> str:
    """Draw the accepted requests as cumulative charts, one for each kind of limiter.

    The grey area is the work that an omniscient client would have done.

    Args:
        scenarios: Kind -> scenario.
        runs: Kind -> label -> run.
        end: The end of the x axis, in seconds.
    """
    charts: list[svg.Chart] = []
    for kind in KINDS:
        chart = svg.Chart(kind, "seconds", "requests accepted", x_end=end, x_step=60)
        optimum = scenarios[kind].optimum()
        for number, (label, played) in enumerate(runs[kind].items()):
            colour = svg.COLOURS[number % len(svg.COLOURS)]
            chart.series.append(svg.Series(label, _steps(played.accepted, end), "step", colour))
        chart.series.append(svg.Series("permitted", _steps(optimum, end), "area"))
        charts.append(chart)
    return svg.draw(charts, columns=2, width=1000, height=280)


class Panel(NamedTuple):
    """One run, to be drawn."""

    title: str
    scenario: Scenario
    played: Played


def by_second(panels: Sequence[Panel], end: float) -> str:
    """Draw a chart for each run on an aligned window.

    It shows the requests accepted and refused in each second, and the permitted requests.
    """
    charts: list[svg.Chart] = []
    for title, scenario, played in panels:
        most = max(scenario.limit, *(limit for _, limit in scenario.changes), 0)
        chart = svg.Chart(
            title, "seconds", "a second", x_end=end, y_end=most * 1.1, x_step=30 if end < 240 else 60
        )
        first, accepted = _per_second(played.by_user[0], end), _per_second(played.accepted, end)
        refused = _per_second(played.refused, end)
        both = Counter({second: count + refused[second] for second, count in accepted.items()})
        # One is drawn over the other: what of a bar is not covered is what its label says.
        chart.series = [svg.Series("accepted", _bars(first), "bars")]
        if scenario.users > 1:
            chart.series.append(
                svg.Series("accepted, the other user", _bars(accepted), "bars", svg.COLOURS[2])
            )
        chart.series += [
            svg.Series("refused (429)", _bars(both), "bars", svg.COLOURS[1]),
            svg.Series("permitted and not used", _left(played.accepted, scenario, end), "area"),
        ]
        charts.append(chart)
    return svg.draw(charts, columns=2, width=1000, height=210)


def _steps(moments: Sequence[float], end: float) -> list[tuple[float, float]]:
    """A staircase with a step a second at most."""
    points = [(0.0, 0.0)]
    count = 0
    for second, number in sorted(Counter(int(at) for at in moments if at <= end).items()):
        count += number
        points.append((float(second), float(count)))
    points.append((end, float(count)))
    return points


def _left(accepted: Sequence[float], scenario: Scenario, end: float) -> list[tuple[float, float]]:
    """What is left of the minute's limit on an aligned window, second by second."""
    points: list[tuple[float, float]] = []
    per_second = Counter(int(at) for at in accepted)
    used, window = 0, -1
    for second in range(int(end) + 1):
        number = int((scenario.start + second) // 60)
        if number != window:
            window, used = number, 0
        limit = [scenario.limit, *(limit for at, limit in scenario.changes if at <= second)][-1]
        points.append((float(second), float(max(0, limit - used))))
        used += per_second[second]
    return points


def _bars(counts: Counter[int]) -> list[tuple[float, float]]:
    return [(second + 0.5, count) for second, count in counts.items()]


def _per_second(moments: Sequence[float], end: float) -> Counter[int]:
    counts = Counter(int(at) for at in moments if at < end)
    counts.update(dict.fromkeys(range(int(end)), 0))
    return counts
