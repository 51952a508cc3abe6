"""How many requests per window are permitted: what the caller, the headers and the 429s say of it.

Each of them can be wrong. Where a header and a 429 contradict each other, the lower one counts, for one window. A 429
that names less than half of what has just been permitted is put to the test.
"""

from __future__ import annotations

import math

import msgspec


class Limit(msgspec.Struct):
    """The limit of one token, and who named it.

    Args:
        period: The length of a window in seconds.
        value: Requests per window, if the caller knows it.
    """

    _period: float
    #: Requests permitted per window; None while nothing is known.
    value: int | None
    # A 429 has allowed less than its header: so much, until then.
    _most: int = 0
    _most_until: float = -math.inf
    # A 429 has named less than half of what had been permitted: what that was, and when.
    _disputed: int = 0
    _disputed_at: float = -math.inf

    def __repr__(self) -> str:
        return f"<Limit {self.value}>"

    def in_header(self, permitted: int, now: float) -> None:
        """A header names it."""
        self.value = min(permitted, self._most) if now < self._most_until else permitted

    def in_429(self, named: int, now: float, *, admitted: int, header: int | None) -> bool:
        """A 429 names it.

        If the server has permitted more than twice as much in the last period, the limit has just been lowered, or the
        429 is wrong. Nothing else would ever show the latter: so what is sent grows from window to window, until a 429
        confirms the limit.

        Args:
            named: Requests per window.
            now: Local seconds.
            admitted: Requests of ours that were permitted in the last period.
            header: What the header of the same answer names.

        Returns:
            Whether the header allows more.
        """
        contradicts = header is not None and named < header
        if contradicts:
            self._most, self._most_until = named, now + self._period
        elif header is not None:
            named = header
        if admitted > 2 * named:
            self._disputed, self._disputed_at = max(self._disputed, admitted), now
        else:
            self._disputed = 0
        self.value = named
        return contradicts

    def grow(self, now: float) -> None:
        """Raise a limit that is disputed: twice as much for each window that has gone by."""
        while self._disputed and now >= self._disputed_at + self._period:
            self._disputed_at += self._period
            self.value = min(2 * (self.value or 1), self._disputed)
            if self.value == self._disputed:
                self._disputed = 0
