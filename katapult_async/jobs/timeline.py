"""The timeline of a run as an SVG drawing: requests per second and per minute against the permitted rate.

Pure: takes what a journal knows, returns text. The time between two sessions is left out (the axis is broken there),
and where there are more seconds than places to draw them, the busiest second of each place is shown: a peak is never
averaged away.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from html import escape
from itertools import pairwise

import msgspec

from .record import Second, Session, Waited

WIDTH, HEIGHT = 960, 400
_LEFT, _RIGHT = 56, 22
#: Top and bottom of the two plots.
_SECONDS, _MINUTES = (30, 200), (262, 352)
#: Seconds without a session or a request after which the axis is broken, and how wide a break is drawn.
_BREAK, _BREAK_WIDTH = 120.0, 26.0
_NARROWEST = 2.0
_STEPS = (
    1,
    2,
    5,
    10,
    15,
    30,
    *(60 * n for n in (1, 2, 5, 10, 15, 30)),
    *(3600 * n for n in (1, 2, 3, 6, 12, 24)),
)


class Axis(msgspec.Struct, frozen=True):
    """Where a moment is drawn. spans: the times that are shown, in order (unix seconds)."""

    spans: tuple[tuple[float, float], ...]

    @property
    def seconds(self) -> float:
        """How much time is shown."""
        return sum(end - start for start, end in self.spans)

    @property
    def scale(self) -> float:
        """Units of the drawing per second."""
        return (WIDTH - _LEFT - _RIGHT - _BREAK_WIDTH * (len(self.spans) - 1)) / self.seconds

    def x(self, at: float) -> float:
        """The place of a moment; of one that is not shown, the nearest that is."""
        x = float(_LEFT)
        for start, end in self.spans:
            if at <= end:
                return x + max(at - start, 0.0) * self.scale
            x += (end - start) * self.scale + _BREAK_WIDTH
        return x - _BREAK_WIDTH

    def pieces(self, since: float, until: float) -> Iterable[tuple[float, float]]:
        """The parts of a time that are shown."""
        for start, end in self.spans:
            if since < end and until > start:
                yield max(since, start), min(until, end)


def axis_of(seconds: Sequence[Second], sessions: Sequence[Session]) -> Axis | None:
    """The axis for these; None if there is nothing to show."""
    times = [(s.started_at, s.active_until) for s in sessions]
    times += [(float(s.at), s.at + 1.0) for s in seconds]
    spans: list[tuple[float, float]] = []
    for start, end in sorted(times):
        if spans and start - spans[-1][1] <= _BREAK:
            spans[-1] = (spans[-1][0], max(spans[-1][1], end))
        else:
            spans.append((start, end))
    # A session in which nothing was sent takes no time that could be seen.
    shown = tuple((start, max(end, start + 1.0)) for start, end in spans)
    return Axis(shown) if shown and seconds else None


def draw(seconds: Sequence[Second], waits: Sequence[Waited], sessions: Sequence[Session]) -> str:
    """The drawing; an empty string if no request was sent."""
    axis = axis_of(seconds, sessions)
    if axis is None:
        return ""
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Requests against the permitted rate">',
        *_breaks(axis),
        *_waits(axis, waits),
        *_plot("requests per second", _SECONDS, axis, *_busiest(axis, seconds), _permitted(seconds, 60.0)),
        *_plot(
            "requests per minute of the clock", _MINUTES, axis, *_by_minute(seconds), _permitted(seconds, 1.0)
        ),
        *_refusals(axis, seconds),
        *_ticks(axis),
        "</svg>",
    ]
    return "\n".join(parts)


# One bar: from when, for how many seconds, how high, and what it says when pointed at.
_Bar = tuple[float, float, int, str]


def _busiest(axis: Axis, seconds: Sequence[Second]) -> tuple[list[_Bar], str]:
    width = max(1, math.ceil(_NARROWEST / axis.scale))
    busiest: dict[int, Second] = {}
    for second in seconds:
        place = second.at // width
        if place not in busiest or second.requests > busiest[place].requests:
            busiest[place] = second
    bars = [
        (float(place * width), float(width), second.requests, f"{_clock(second.at)}: {_requests(second)}")
        for place, second in sorted(busiest.items())
    ]
    return bars, f"each bar is the busiest second of {width}" if width > 1 else ""


def _by_minute(seconds: Sequence[Second]) -> tuple[list[_Bar], str]:
    minutes: dict[int, list[int]] = {}
    for second in seconds:
        counts = minutes.setdefault(second.at // 60, [0, 0])
        counts[0] += second.requests
        counts[1] += second.rate_limited
    bars = [
        (
            minute * 60.0,
            60.0,
            requests,
            f"the minute from {_clock(minute * 60)}: {requests} requests, {refused} 429s",
        )
        for minute, (requests, refused) in sorted(minutes.items())
    ]
    return bars, ""


def _permitted(seconds: Sequence[Second], divisor: float) -> list[tuple[int, float]]:
    """When a rate was permitted first, and which, where it changes."""
    steps: list[tuple[int, float]] = []
    for second in seconds:
        if second.permitted is not None and (not steps or steps[-1][1] != second.permitted / divisor):
            steps.append((second.at, second.permitted / divisor))
    return steps


def _plot(
    title: str,
    place: tuple[int, int],
    axis: Axis,
    bars: list[_Bar],
    remark: str,
    permitted: list[tuple[int, float]],
) -> Iterable[str]:
    top, bottom = place
    highest = _round_up(max([float(bar[2]) for bar in bars] + [rate for _, rate in permitted]))

    def y(value: float) -> float:
        return bottom - value / highest * (bottom - top)

    remark = f" ({remark})" if remark else ""
    yield f'<text class="name" x="{_LEFT}" y="{top - 12}">{title}{remark}</text>'
    for value in (0.0, highest / 2, highest):
        yield f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
        yield f'<text class="value" x="{_LEFT - 6}" y="{y(value) + 4:.1f}">{value:g}</text>'
    for at, length, count, says in bars:
        for since, until in axis.pieces(at, at + length):
            left = axis.x(since)
            width = max(axis.x(until) - left - 0.5, 1.0)
            yield (
                f'<rect class="bar" x="{left:.1f}" y="{y(count):.1f}" width="{width:.1f}"'
                f' height="{max(bottom - y(count), 0.5):.1f}"><title>{escape(says)}</title></rect>'
            )
    for (at, rate), (end, _) in pairwise([*permitted, (axis.spans[-1][1], 0.0)]):
        for since, until in axis.pieces(at, end):
            yield (
                f'<path class="permitted" d="M{axis.x(since):.1f},{y(rate):.1f} H{axis.x(until):.1f}">'
                f"<title>permitted: {rate:.4g}</title></path>"
            )


def _waits(axis: Axis, waits: Sequence[Waited]) -> Iterable[str]:
    top, bottom = _SECONDS
    for wait in waits:
        for since, until in axis.pieces(wait.since, wait.until):
            yield (
                f'<rect class="wait" x="{axis.x(since):.1f}" y="{top}" width="{axis.x(until) - axis.x(since):.1f}"'
                f' height="{bottom - top}"><title>{_clock(wait.since)} to {_clock(wait.until)}, waits'
                f" {escape(wait.reason)}</title></rect>"
            )


def _refusals(axis: Axis, seconds: Sequence[Second]) -> Iterable[str]:
    top = _SECONDS[1]
    by_place: dict[int, list[int]] = {}
    for second in seconds:
        if second.rate_limited:
            at_and_count = by_place.setdefault(round(axis.x(second.at + 0.5) / 4), [second.at, 0])
            at_and_count[1] += second.rate_limited
    for at, count in by_place.values():
        x = axis.x(at + 0.5)
        yield (
            f'<path class="refused" d="M{x:.1f},{top + 2} l5,9 h-10 z"><title>{_clock(at)}: {count}'
            f" {'answer' if count == 1 else 'answers'} 429</title></path>"
        )


def _breaks(axis: Axis) -> Iterable[str]:
    for (_, end), (start, _) in pairwise(axis.spans):
        x = axis.x(end) + _BREAK_WIDTH / 2
        yield (
            f'<path class="break" d="M{x:.1f},{_SECONDS[0]} V{_MINUTES[1]}"><title>nothing was executed for'
            f" {_duration(start - end)}</title></path>"
        )


def _ticks(axis: Axis) -> Iterable[str]:
    step = next((step for step in _STEPS if axis.seconds / step <= 8), _STEPS[-1])
    form = "%H:%M:%S" if step < 60 else "%H:%M"
    last = -math.inf
    for start, end in axis.spans:
        for number in range(math.ceil(start / step), math.floor(end / step) + 1):
            x = axis.x(number * step)
            if x - last < 60:
                continue
            last = x
            moment = datetime.fromtimestamp(number * step, tz=timezone.utc)
            for bottom in (_SECONDS[1], _MINUTES[1]):
                yield f'<text class="time" x="{x:.1f}" y="{bottom + 26}">{moment.strftime(form)}</text>'
    yield f'<text class="time zone" x="{WIDTH - _RIGHT}" y="{HEIGHT - 4}">times are UTC</text>'


def _requests(second: Second) -> str:
    more = [f"{second.rate_limited} of them 429"] if second.rate_limited else []
    more += [f"{second.failed} failed"] if second.failed else []
    return ", ".join([f"{second.requests} requests in this second", *more])


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, tz=timezone.utc).strftime("%H:%M:%S")


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 6, 10, 20, 40, ...: a scale whose half is a plain number, too."""
    power = 10.0 ** math.floor(math.log10(max(value, 1.0)))
    return next(digit * power for digit in (1, 2, 4, 6, 10) if digit * power >= max(value, 1.0))
