"""The number of requests permitted per window, as the caller, the headers and the 429s state it.

Each source can be wrong. If a header and a 429 disagree, the lower number counts for one window. If
a 429 names less than half of what the server has just permitted, the number is treated as disputed:
the limit then doubles each window until a 429 confirms it. This module stores numbers. It does not
decide whether a request may be sent.
"""

from __future__ import annotations

import math

import msgspec


class Limit(msgspec.Struct):
    """The limit of one token.

    Args:
        period: Length of a window, in seconds.
        value: Requests per window, if the caller knows it.
    """

    _period: float
    #: Requests permitted per window; None while nothing is known.
    value: int | None
    # A 429 named less than its header: the highest limit to accept, and until when.
    _cap: int = 0
    _cap_until: float = -math.inf
    # A 429 named less than half of what the server had permitted: the number permitted, and when.
    _disputed: int = 0
    _disputed_at: float = -math.inf

    def __repr__(self) -> str:
        return f"<Limit {self.value}>"

    def set_from_caller(self, limit: int) -> None:
        """Take the limit (requests per window) that a caller has given.

        Raises:
            ValueError: If another limit is known, from another caller or from the server.
        """
        if self.value is not None and self.value != limit:
            raise ValueError(
                f"total_permitted={limit} contradicts the limit of {self.value} already known for this token"
            )
        self.value = limit

    def set_from_header(self, permitted: int, now: float) -> None:
        """Take the limit from a header.

        Args:
            permitted: Requests per window.
            now: Local time, in seconds.
        """
        self.value = min(permitted, self._cap) if now < self._cap_until else permitted

    def set_from_429(self, named: int, now: float, *, admitted: int, header: int | None) -> bool:
        """Take the limit from a 429.

        If the server permitted more than twice as much in the last period, either the limit has
        just been lowered or the 429 is wrong. No later response would reveal a wrong 429, so the
        limit then grows from window to window until a 429 confirms it.

        Args:
            named: Requests per window.
            now: Local time, in seconds.
            admitted: Our requests that the server permitted in the last period.
            header: The limit in the header of the same response, if there was one.

        Returns:
            True if the header of the same response states a higher limit.
        """
        contradicts = header is not None and named < header
        if contradicts:
            self._cap, self._cap_until = named, now + self._period
        elif header is not None:
            named = header
        if admitted > 2 * named:
            self._disputed, self._disputed_at = max(self._disputed, admitted), now
        else:
            self._disputed = 0
        self.value = named
        return contradicts

    def raise_disputed(self, now: float) -> None:
        """Raise a disputed limit: double it for each window that has passed.

        Args:
            now: Local time, in seconds.
        """
        while self._disputed and now >= self._disputed_at + self._period:
            self._disputed_at += self._period
            self.value = min(2 * (self.value or 1), self._disputed)
            if self.value == self._disputed:
                self._disputed = 0
