"""The pace of paced mode: how many requests a window to send evenly when the server refuses bursts.

The pace rises by a constant each window without a 429 and falls by a factor after one (additive
increase, multiplicative decrease). It is a pure function of the times passed in. aiolimiter does
the spacing, in the gate.
"""

from __future__ import annotations

import msgspec

#: The factor by which the pace falls after a 429 to a paced request.
DECREASE = 0.7
#: By how much the pace rises in a window without a 429, as a part of the limit.
INCREASE = 1 / 20
#: The same if no limit was ever named, as a part of the pace itself.
GROWTH = 1 / 2


class Pace(msgspec.Struct):
    """Requests per window to send evenly. Create it with `Pace.start`."""

    _since: float
    _period: float
    _value: float
    _limit: int | None

    @classmethod
    def start(cls, now: float, *, period: float, value: float, limit: int | None) -> Pace:
        """Start an even pace.

        Args:
            now: Local time, in seconds.
            period: Length of a window, in seconds.
            value: Requests per window; at least 1 is sent.
            limit: Requests per window at most; None if no limit was ever named.
        """
        return cls(now, period, max(1.0, value), limit)

    def __repr__(self) -> str:
        return f"<Pace {self._value:.1f} a window>"

    def at(self, now: float) -> float:
        """Return the requests per window at this moment."""
        windows = int((now - self._since) / self._period)
        if windows > 0:
            self._since += windows * self._period
            if self._limit is None:
                self._value *= (1 + GROWTH) ** min(windows, 40)
            else:
                self._value += windows * max(INCREASE * self._limit, 0.05)
        if self._limit is not None:
            self._value = min(self._value, self._limit)
        return self._value

    def slow_down(self, now: float) -> None:
        """Slow down: the server refused a request sent at this pace."""
        self._value = max(1.0, self.at(now) * DECREASE)
        self._since = now

    def restart_window(self, now: float) -> None:
        """Keep the pace after a 429 that says nothing about it. Its window starts again."""
        self.at(now)
        self._since = now

    def set_limit(self, now: float, limit: int) -> None:
        """Adopt a new limit."""
        value = self.at(now)
        if self._limit is None or value >= self._limit:
            value = limit
        self._limit = limit
        self._value = min(value, float(limit))
