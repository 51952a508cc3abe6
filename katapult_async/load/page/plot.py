"""Draws one plot as SVG, once for a wide and once for a narrow screen. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape

import msgspec

from katapult_async.page import round_up

Points = Sequence[tuple[float, float]]


class Layout(msgspec.Struct, frozen=True):
    """The size of a drawing. Text in a drawing that is scaled down cannot be read."""

    name: str
    width: int
    height: int
    left: int = 66
    right: int = 20
    top: int = 30
    bottom: int = 30


LAYOUTS = (Layout("wide", 960, 230), Layout("narrow", 360, 220))


class Series(msgspec.Struct, frozen=True):
    """One set of points.

    Args:
        kind: The class of its style: one, two, three or bad.
        points: (x, y) with rising x.
        bars: Whether each point is a bar from x to x + 1.
    """

    kind: str
    points: Points
    bars: bool = False


class Plot(msgspec.Struct, frozen=True, kw_only=True):
    """One plot.

    Args:
        title: What it shows, with the unit.
        series: The sets of points. The last one is drawn on top.
        x_end: The largest x.
        ticks: Where to write which text on the x axis.
        value: Writes a value of the y axis.
        lowest: The smallest largest y.
    """

    title: str
    series: Sequence[Series]
    x_end: float
    ticks: Sequence[tuple[float, str]]
    value: Callable[[float], str]
    lowest: float = 1.0


def draw(plot: Plot) -> str:
    """Return the drawings of a plot, one for each layout."""
    return "\n".join("\n".join(_draw(plot, layout)) for layout in LAYOUTS)


def _draw(plot: Plot, layout: Layout) -> Iterator[str]:
    highest = round_up(
        max((y for series in plot.series for _, y in series.points), default=0.0), lowest=plot.lowest
    )
    right, bottom = layout.width - layout.right, layout.height - layout.bottom

    def x(value: float) -> float:
        return layout.left + value / plot.x_end * (right - layout.left)

    def y(value: float) -> float:
        return bottom - value / highest * (bottom - layout.top)

    yield (
        f'<svg class="{layout.name}" viewBox="0 0 {layout.width} {layout.height}" role="img"'
        f' aria-label="{escape(plot.title)}">'
    )
    yield f'<text class="name" x="{layout.left}" y="{layout.top - 12}">{escape(plot.title)}</text>'
    for value in (0.0, highest / 2, highest):
        yield f'<line class="grid" x1="{layout.left}" x2="{right}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
        yield (
            f'<text class="value" x="{layout.left - 6}" y="{y(value) + 4:.1f}">{escape(plot.value(value))}</text>'
        )
    last = -1e9
    for at, name in plot.ticks:
        if x(at) - last >= 60:
            last = x(at)
            yield f'<text class="time" x="{last:.1f}" y="{bottom + 18}">{escape(name)}</text>'
    for series in plot.series:
        yield from _bars(series, x, y) if series.bars else _line(series, x, y)
    yield "</svg>"


def _bars(series: Series, x: Callable[[float], float], y: Callable[[float], float]) -> Iterator[str]:
    for at, value in series.points:
        if value:
            width = max(x(at + 1) - x(at) - 0.5, 1.0)
            yield (
                f'<rect class="{series.kind}" x="{x(at):.1f}" y="{y(value):.1f}" width="{width:.1f}"'
                f' height="{y(0) - y(value):.1f}"/>'
            )


def _line(series: Series, x: Callable[[float], float], y: Callable[[float], float]) -> Iterator[str]:
    if series.points:
        path = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in series.points)
        yield f'<polyline class="line {series.kind}" points="{path}"/>'
