"""Small line and bar charts as SVG, made without a library.

They have axes, a grid, a legend, and colours for light and dark pages. The module draws its input.
Nothing is embedded, and no script runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

#: Told apart by most eyes, on white and on black (after Okabe and Ito).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#8a63d2", "#7f7f7f")
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #333 }
.title { font-weight: 600; font-size: 14px }
.axis { stroke: #666; fill: none } .grid { stroke: #999; stroke-opacity: .25 }
.area { fill: #888; fill-opacity: .22; stroke: none }
.line { fill: none; stroke-width: 1.8; stroke-linejoin: round }
@media (prefers-color-scheme: dark) { text { fill: #ccc } .axis { stroke: #aaa } }
"""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Series:
    """One curve, or one set of bars.

    Attributes:
        points: (x, y), with x rising.
        shape: line, step (y holds until the next x), area (a filled step), or bars.
    """

    label: str
    points: Points
    shape: str = "line"
    colour: str = COLOURS[0]


@dataclass
class Chart:
    """One coordinate system.

    Its axes begin at 0 and end at the largest value, or at x_end and y_end. The first series is
    drawn on top.

    Attributes:
        x_step: The distance between the numbers on the x axis, if readers do not count in round
            numbers.
    """

    title: str
    x_label: str
    y_label: str
    series: list[Series] = field(default_factory=list[Series])
    x_end: float | None = None
    y_end: float | None = None
    x_step: float | None = None


@dataclass(frozen=True)
class _Frame:
    left: float
    top: float
    width: float
    height: float
    x_end: float
    y_end: float

    def x(self, value: float) -> float:
        return self.left + self.width * min(value, self.x_end) / self.x_end

    def y(self, value: float) -> float:
        return self.top + self.height * (1 - min(value, self.y_end) / self.y_end)


def draw(charts: Sequence[Chart], *, columns: int = 1, width: int = 860, height: int = 260) -> str:
    """Draw the charts side by side, with one legend below.

    Args:
        charts: The charts.
        columns: How many charts stand side by side.
        width: The width of the whole picture.
        height: The height of one chart.
    """
    rows = math.ceil(len(charts) / columns)
    cell = width / columns
    parts: list[str] = []
    for number, chart in enumerate(charts):
        frame = _Frame(
            left=(number % columns) * cell + 62,
            top=(number // columns) * height + 30,
            width=cell - 80,
            height=height - 78,
            x_end=chart.x_end or max((x for s in chart.series for x, _ in s.points), default=1) or 1,
            y_end=chart.y_end or max((y for s in chart.series for _, y in s.points), default=1) * 1.05 or 1,
        )
        parts += _axes(chart, frame)
        parts += [_curve(series, frame) for series in reversed(chart.series)]
    legend, bottom = _legend(charts, rows * height + 8, width)
    parts += legend
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom:.0f}" '
        f'width="{width}" height="{bottom:.0f}" role="img">\n'
        f"<style>{_STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def bars(title: str, values: Sequence[tuple[str, float]], *, unit: str, width: int = 860) -> str:
    """A horizontal bar for each (label, value), the values beside them."""
    longest = max(value for _, value in values) or 1
    left = 12 + 6.6 * max(len(label) for label, _ in values)
    parts = [_text(12, 20, title, "title")]
    for number, (label, value) in enumerate(values):
        y = 36 + 24 * number
        length = (width - left - 110) * value / longest
        parts.append(_text(left - 8, y + 13, label, anchor="end"))
        parts.append(
            f'<rect x="{left:.1f}" y="{y}" width="{length:.1f}" height="17" '
            f'fill="{COLOURS[0] if number == 0 else COLOURS[-1]}"/>'
        )
        parts.append(_text(left + length + 6, y + 13, f"{_short(value)} {unit}"))
    height = 48 + 24 * len(values)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">\n'
        f"<style>{_STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def ticks(end: float, most: int = 6, step: float | None = None) -> list[float]:
    """Return numbers from 0 up to `end` in equal steps.

    The step is the given one, or a round one with at most `most` steps.
    """
    if step is None:
        rough = end / most
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    return [step * number for number in range(int(end / step * (1 + 1e-9)) + 1)]


def _axes(chart: Chart, frame: _Frame) -> list[str]:
    right, bottom = frame.left + frame.width, frame.top + frame.height
    parts = [_text(frame.left, frame.top - 12, chart.title, "title")]
    for value in ticks(frame.y_end, 5):
        y = frame.y(value)
        parts.append(f'<path class="grid" d="M{frame.left:.1f} {y:.1f}H{right:.1f}"/>')
        parts.append(_text(frame.left - 6, y + 4, _short(value), anchor="end"))
    for value in ticks(frame.x_end, step=chart.x_step):
        x = frame.x(value)
        parts.append(f'<path class="axis" d="M{x:.1f} {bottom:.1f}v4"/>')
        parts.append(_text(x, bottom + 17, _short(value), anchor="middle"))
    parts.append(f'<path class="axis" d="M{frame.left:.1f} {frame.top:.1f}V{bottom:.1f}H{right:.1f}"/>')
    parts.append(_text(right, bottom + 33, chart.x_label, anchor="end"))
    x, y = frame.left - 48, frame.top + frame.height / 2
    parts.append(
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" transform="rotate(-90 {x:.1f} {y:.1f})">'
        f"{escape(chart.y_label)}</text>"
    )
    return parts


def _curve(series: Series, frame: _Frame) -> str:
    points = [(frame.x(x), frame.y(y)) for x, y in series.points if x <= frame.x_end]
    if not points:
        return ""
    bottom = frame.top + frame.height
    if series.shape == "bars":
        path = "".join(f"M{x:.1f} {bottom:.1f}V{y:.1f}" for x, y in points if y < bottom - 0.05)
        return f'<path class="line" stroke="{series.colour}" d="{path or "M0 0"}"/>'
    stepped = series.shape in {"step", "area"}
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for x, y in points[1:]:
        path += f"H{x:.1f}V{y:.1f}" if stepped else f"L{x:.1f} {y:.1f}"
    if series.shape == "area":
        path += f"H{frame.left + frame.width:.1f}V{bottom:.1f}H{points[0][0]:.1f}Z"
        return f'<path class="area" d="{path}"/>'
    return f'<path class="line" stroke="{series.colour}" d="{path}"/>'


def _legend(charts: Sequence[Chart], top: float, width: float) -> tuple[list[str], float]:
    known = {series.label: series for chart in charts for series in chart.series if series.label}
    parts: list[str] = []
    x = 16.0
    for label, series in known.items():
        needed = 34 + 6.6 * len(label)
        if x + needed > width:
            x, top = 16.0, top + 20
        look = 'class="area"' if series.shape == "area" else f"fill={quoteattr(series.colour)}"
        parts.append(f'<rect {look} x="{x:.1f}" y="{top:.1f}" width="14" height="10"/>')
        parts.append(_text(x + 19, top + 10, label))
        x += needed
    return parts, top + 24


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    look = f' class="{kind}"' if kind else ""
    return f'<text{look} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _short(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
