"""Draw the timeline of a run as SVG: requests per second and per window, and the limit.

Pure functions. If there are more seconds than bars, each bar shows the busiest second of several:
an average would hide a peak. There are two layouts, because a wide drawing that is scaled down
cannot be read on a telephone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from html import escape

import msgspec

from katapult_async.jobs.journal.records import RunSession, TimelineSecond, TimelineWait
from katapult_async.page import round_up, shown
from katapult_async.safe_text import for_terminal
from katapult_async.words import count, counted, duration

from .axis import Axis, axis_of

_MINUTE = 60
_NARROWEST = 2.0
#: If the budget is this many times higher than the highest bar, a remark replaces its line.
#: Otherwise the bars would be too small to see.
_OUT_OF_SCALE = 4


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """The measures of a drawing.

    Attributes:
        name: The CSS class.
        width: The width of the drawing.
        height: Its height.
        left: The left margin.
        right: The right margin.
        seconds: Top and bottom of the plot of seconds.
        windows: Top and bottom of the plot of windows.
        stacked: Whether remarks have their own line.
    """

    name: str
    width: int
    height: int
    left: int
    right: int
    seconds: tuple[int, int]
    windows: tuple[int, int]
    stacked: bool


WIDE = Layout(
    name="wide",
    width=960,
    height=400,
    left=62,
    right=30,
    seconds=(32, 202),
    windows=(266, 356),
    stacked=False,
)
NARROW = Layout(
    name="narrow",
    width=360,
    height=456,
    left=62,
    right=30,
    seconds=(62, 212),
    windows=(302, 402),
    stacked=True,
)


def draw(
    seconds: Sequence[TimelineSecond],
    waits: Sequence[TimelineWait],
    sessions: Sequence[RunSession],
    layout: Layout = WIDE,
    period: float = 60.0,
) -> str:
    """Return the drawing. An empty string if no request was sent.

    Args:
        seconds: The seconds in which requests were sent.
        waits: The times in which the run waited for permits.
        sessions: The executions of the run.
        layout: The measures of the drawing.
        period: Length of the rate limit's window in seconds. It is rounded to whole seconds, like
            the bars.
    """
    axis = axis_of(seconds, sessions, left=layout.left, right=layout.width - layout.right)
    if axis is None:
        return ""
    window = max(1, round(period))
    phase = window_phase(seconds, window)
    box = f"0 0 {layout.width} {layout.height}"
    parts = [
        f'<svg class="{layout.name}" viewBox="{box}" role="img" aria-label="Requests against what is permitted">',
        *_breaks(axis, layout),
        *_waits(axis, waits, layout),
        *_plot_of_seconds(axis, seconds, layout, window),
        *_plot_of_windows(axis, seconds, layout, window, phase),
        *_refusals(axis, seconds, layout),
        *_labels(axis, layout),
        "</svg>",
    ]
    return "\n".join(parts)


def window_phase(seconds: Sequence[TimelineSecond], window: int = 60) -> int:
    """Return by how many seconds the server's windows start later than windows of this machine.

    The two clocks differ, so the bursts of two windows of the server may be in one window of this
    machine, and exceed the limit. Then the result is the number of seconds with which the limit is
    exceeded least. Otherwise it is 0.
    """
    permitted = max((second.permitted or 0 for second in seconds), default=0)
    if not permitted or _busiest_window(seconds, window, 0) <= permitted:
        return 0
    return min(range(window), key=lambda phase: _busiest_window(seconds, window, phase))


def _busiest_window(seconds: Sequence[TimelineSecond], window: int, phase: int) -> int:
    busiest = number = current = 0
    for second in seconds:
        if (second.at - phase) // window != number:
            number, current = (second.at - phase) // window, 0
        current += second.requests - second.rate_limited
        busiest = max(busiest, current)
    return busiest


# One bar: its start, its length in seconds, its height, and its tooltip.
_Bar = tuple[float, float, int, str]
# A line of the limit: its CSS class, its start, its height, and its tooltip.
_Line = tuple[str, float, float, str]
_Height = Callable[[float], float]


def _plot_of_seconds(
    axis: Axis, seconds: Sequence[TimelineSecond], layout: Layout, window: int
) -> Iterable[str]:
    width = max(1, math.ceil(_NARROWEST / axis.scale))
    busiest: dict[int, TimelineSecond] = {}
    for second in seconds:
        place = second.at // width
        if place not in busiest or second.requests > busiest[place].requests:
            busiest[place] = second
    bars = [
        (float(place * width), float(width), second.requests, f"{_clock(second.at)}: {_requests(second)}")
        for place, second in sorted(busiest.items())
    ]
    highest = max(second.requests for second in seconds)
    lines: list[_Line] = []
    hidden = 0
    for at, permitted in _changes(seconds):
        average = permitted / window
        lines.append(("average", at, average, f"{average:.3g} a second use up the budget evenly"))
        if permitted > _OUT_OF_SCALE * max(highest, average):
            hidden = max(hidden, permitted)
        else:
            lines.append(("budget", at, float(permitted), _budget(permitted, window)))
    remarks = [f"each bar is the busiest second of {width}"] if width > 1 else []
    remarks += [f"budget of {count(hidden)} {_per(window)}: off the scale"] if hidden else []
    yield from _plot("Requests per second", remarks, layout.seconds, axis, layout, bars, lines)


def _plot_of_windows(
    axis: Axis, seconds: Sequence[TimelineSecond], layout: Layout, window: int, phase: int
) -> Iterable[str]:
    windows: dict[int, list[int]] = {}
    for second in seconds:
        counts = windows.setdefault((second.at - phase) // window, [0, 0])
        counts[0] += second.requests
        counts[1] += second.rate_limited
    bars = [
        (
            float(number * window + phase),
            float(window),
            requests,
            f"the {_span(window)} from {_clock(number * window + phase)}: {_sent(requests, refused)}",
        )
        for number, (requests, refused) in sorted(windows.items())
    ]
    lines = [
        ("budget", at, float(permitted), _budget(permitted, window)) for at, permitted in _changes(seconds)
    ]
    begin = f"minutes begin at :{phase:02}" if window == _MINUTE else f"windows begin {phase} s late"
    remarks = [f"{begin}, as on the server"] if phase else []
    yield from _plot(f"Requests per {_span(window)}", remarks, layout.windows, axis, layout, bars, lines)


def _budget(permitted: int, window: int) -> str:
    return f"permitted: {count(permitted)} {_per(window)}"


def _span(window: int) -> str:
    return "minute" if window == _MINUTE else f"{window} s"


def _per(window: int) -> str:
    return "a minute" if window == _MINUTE else f"in {window} s"


def _changes(seconds: Sequence[TimelineSecond]) -> list[tuple[float, int]]:
    """Return each time when the limit changed, with the new limit."""
    steps: list[tuple[float, int]] = []
    for second in seconds:
        if second.permitted is not None and (not steps or steps[-1][1] != second.permitted):
            steps.append((float(second.at), second.permitted))
    return steps


def _plot(
    title: str,
    remarks: list[str],
    place: tuple[int, int],
    axis: Axis,
    layout: Layout,
    bars: list[_Bar],
    lines: list[_Line],
) -> Iterable[str]:
    top, bottom = place
    highest = round_up(max([float(bar[2]) for bar in bars] + [line[2] for line in lines]))

    def y(value: float) -> float:
        return bottom - value / highest * (bottom - top)

    end = layout.width - layout.right
    height = 14 * len(remarks) if layout.stacked else 0
    yield f'<text class="name" x="{layout.left}" y="{top - 12 - height}">{title}</text>'
    if remarks and not layout.stacked:
        yield f'<text class="remark end" x="{end}" y="{top - 12}">{"; ".join(remarks)}</text>'
    elif remarks:
        for number, remark in enumerate(reversed(remarks)):
            yield f'<text class="remark" x="{layout.left}" y="{top - 12 - 14 * number}">{remark}</text>'
    for value in (0.0, highest / 2, highest):
        yield f'<line class="grid" x1="{layout.left}" x2="{end}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
        yield f'<text class="value" x="{layout.left - 6}" y="{y(value) + 4:.1f}">{shown(value)}</text>'
    for at, length, requests, says in bars:
        for since, until in axis.pieces(at, at + length):
            left = axis.x(since)
            width = max(axis.x(until) - left - 0.5, 1.0)
            yield (
                f'<rect class="bar" x="{left:.1f}" y="{y(requests):.1f}" width="{width:.1f}"'
                f' height="{max(bottom - y(requests), 0.5):.1f}"><title>{escape(says)}</title></rect>'
            )
    for kind in ("average", "budget"):
        yield from _permitted(axis, [line for line in lines if line[0] == kind], y)


def _permitted(axis: Axis, lines: list[_Line], y: _Height) -> Iterable[str]:
    ends = [line[1] for line in lines[1:]] + [axis.spans[-1][1]]
    for (kind, at, value, says), until in zip(lines, ends, strict=False):
        for since, end in axis.pieces(at, until):
            yield (
                f'<path class="{kind}" d="M{axis.x(since):.1f},{y(value):.1f} H{axis.x(end):.1f}">'
                f"<title>{escape(says)}</title></path>"
            )


def _waits(axis: Axis, waits: Sequence[TimelineWait], layout: Layout) -> Iterable[str]:
    top, bottom = layout.seconds
    for wait in waits:
        says = f"{_clock(wait.since)} to {_clock(wait.until)}, waits for {for_terminal(wait.reason)}"
        for since, until in axis.pieces(wait.since, wait.until):
            yield (
                f'<rect class="wait" x="{axis.x(since):.1f}" y="{top}" width="{axis.x(until) - axis.x(since):.1f}"'
                f' height="{bottom - top}"><title>{escape(says)}</title></rect>'
            )


def _refusals(axis: Axis, seconds: Sequence[TimelineSecond], layout: Layout) -> Iterable[str]:
    top = layout.seconds[1]
    by_place: dict[int, list[int]] = {}
    for second in seconds:
        if second.rate_limited:
            at_and_count = by_place.setdefault(round(axis.x(second.at + 0.5) / 4), [second.at, 0])
            at_and_count[1] += second.rate_limited
    for at, refused in by_place.values():
        x = axis.x(at + 0.5)
        yield (
            f'<path class="refused" d="M{x:.1f},{top + 2} l5,9 h-10 z"><title>{_clock(at)}:'
            f" {counted(refused, 'request')} refused (429)</title></path>"
        )


def _breaks(axis: Axis, layout: Layout) -> Iterable[str]:
    for x, seconds in axis.breaks():
        yield (
            f'<path class="break" d="M{x:.1f},{layout.seconds[0]} V{layout.windows[1]}"><title>not executed for'
            f" {duration(seconds)}</title></path>"
        )


def _labels(axis: Axis, layout: Layout) -> Iterable[str]:
    for x, text in axis.labels():
        for bottom in (layout.seconds[1], layout.windows[1]):
            yield f'<text class="time" x="{x:.1f}" y="{bottom + 26}">{text}</text>'
    moment = datetime.fromtimestamp(axis.spans[0][0]).astimezone()
    zone = "UTC" if not moment.utcoffset() else f"{moment:%Z (UTC%z)}"
    yield (
        f'<text class="remark end" x="{layout.width - layout.right}" y="{layout.height - 2}">'
        f"Times are {escape(zone)}</text>"
    )


def _requests(second: TimelineSecond) -> str:
    failed = f", {count(second.failed)} failed" if second.failed else ""
    return _sent(second.requests, second.rate_limited, " in this second") + failed


def _sent(requests: int, refused: int, when: str = "") -> str:
    text = f"{counted(requests, 'request')}{when}"
    return f"{text}, {count(refused)} of them refused (429)" if refused else text


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")
