"""The pace of paced mode: how many requests a window to send evenly when bursts are refused.

Additive increase, multiplicative decrease, as a pure function of the times passed in (scheduling, Policy). The
spacing itself is done by aiolimiter in the gate.
"""

from __future__ import annotations

import msgspec

#: What is left of the pace after paced requests were refused.
DECREASE = 0.7
#: What each window without a refusal gives back, as a part of the limit.
INCREASE = 1 / 20
#: The same where no limit was ever named, as a part of the pace itself: there is nothing to aim at.
GROWTH = 1 / 2


class Pace(msgspec.Struct):
    """Requests per window to send evenly, at most `limit` (None: no limit was ever named)."""

    _since: float
    _period: float
    _value: float
    _limit: int | None

    @classmethod
    def start(cls, now: float, *, period: float, value: float, limit: int | None) -> Pace:
        """Begin an even pace.

        Args:
            now: Local seconds.
            period: The length of a window in seconds.
            value: Requests per window; at least 1 is sent.
            limit: Requests per window at most; None if no limit was ever named.
        """
        return cls(now, period, max(1.0, value), limit)

    def __repr__(self) -> str:
        return f"<Pace {self._value:.1f} a window>"

    def at(self, now: float) -> float:
        """Requests per window at this moment."""
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

    def refused(self, now: float) -> None:
        """Requests sent at this pace were refused: slow down."""
        self._value = max(1.0, self.at(now) * DECREASE)
        self._since = now

    def hold(self, now: float) -> None:
        """A refusal that says nothing about the pace; the window without a refusal begins anew."""
        self.at(now)
        self._since = now

    def limit(self, now: float, limit: int) -> None:
        """The limit has become known or has changed."""
        value = self.at(now)
        if self._limit is None or value >= self._limit:
            value = limit
        self._limit = limit
        self._value = min(value, float(limit))
