"""The time axis of a chart. Times between two sessions are left out: the axis has a break there.

Pure functions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise

import msgspec

from katapult_async.jobs.journal.records import RunSession, TimelineSecond

#: Seconds without a session or a request that become a break of the axis, and the width of a break.
_BREAK, BREAK_WIDTH = 120.0, 26.0
#: The smallest distance of two labels, and of the last one from the right edge of the drawing.
_LABEL_WIDTH, _LABEL_HALF = 70.0, 28.0
_STEPS = (
    *(1, 2, 5, 10, 15, 30),
    *(60 * n for n in (1, 2, 5, 10, 15, 30)),
    *(3600 * n for n in (1, 2, 3, 6, 12, 24)),
)


class Axis(msgspec.Struct, frozen=True):
    """Converts times to x coordinates.

    Args:
        spans: The periods that are shown, in order, in Unix seconds.
        left: The x coordinate of the start of the axis.
        right: The x coordinate of its end.
    """

    spans: tuple[tuple[float, float], ...]
    left: float = 0.0
    right: float = 900.0

    @property
    def seconds(self) -> float:
        """Seconds that are shown."""
        return sum(end - start for start, end in self.spans)

    @property
    def scale(self) -> float:
        """Units of the drawing per second."""
        return (self.right - self.left - self._break_width * (len(self.spans) - 1)) / self.seconds

    @property
    def _break_width(self) -> float:
        # The breaks of many sessions must not need more than half of the axis.
        return min(BREAK_WIDTH, (self.right - self.left) / 2 / len(self.spans))

    def x(self, at: float) -> float:
        """Return the x coordinate of a time. For a time that is left out, the nearest one."""
        x = self.left
        for start, end in self.spans:
            if at <= end:
                return x + max(at - start, 0.0) * self.scale
            x += (end - start) * self.scale + self._break_width
        return x - self._break_width

    def pieces(self, since: float, until: float) -> Iterable[tuple[float, float]]:
        """Yield the parts of a period that are shown."""
        for start, end in self.spans:
            if since < end and until > start:
                yield max(since, start), min(until, end)

    def breaks(self) -> Iterable[tuple[float, float]]:
        """Yield the x coordinate of each break, and the seconds that are left out there."""
        for (_, end), (start, _) in pairwise(self.spans):
            yield self.x(end) + self._break_width / 2, start - end

    def labels(self) -> Iterable[tuple[float, str]]:
        """Yield x coordinates and texts of labels, in local time. No two labels overlap."""
        most = max((self.right - self.left) / 110, 1)
        step = next((step for step in _STEPS if self.seconds / step <= most), _STEPS[-1])
        form = "%H:%M:%S" if step < 60 else "%a %H:%M" if step >= 6 * 3600 else "%H:%M"
        last = -math.inf
        for start, end in self.spans:
            for number in range(math.ceil(start / step), math.floor(end / step) + 1):
                x = self.x(number * step)
                if x - last >= _LABEL_WIDTH and x <= self.right:
                    last = x
                    yield x, datetime.fromtimestamp(number * step).astimezone().strftime(form)


def axis_of(
    seconds: Sequence[TimelineSecond],
    sessions: Sequence[RunSession],
    *,
    left: float = 0.0,
    right: float = 900.0,
) -> Axis | None:
    """Return the axis for these seconds and sessions. None if no request was sent."""
    times = [(s.started_at, s.active_until) for s in sessions]
    times += [(float(s.at), s.at + 1.0) for s in seconds]
    spans: list[tuple[float, float]] = []
    for start, end in sorted(times):
        if spans and start - spans[-1][1] <= _BREAK:
            spans[-1] = (spans[-1][0], max(spans[-1][1], end))
        else:
            spans.append((start, end))
    # A session without requests may have no visible length: show at least one second.
    shown = tuple((start, max(end, start + 1.0)) for start, end in spans)
    return Axis(shown, left, right) if shown and seconds else None
