"""How many permits the trailing rule still holds: the count of what was sent or answered within one window.

The trailing rule (scheduling): a permit is taken when a request is sent and given back one window after its
response arrived. The server counts a request somewhere between the two, so it never sees more than the limit in
any window of that length, on whatever kind of window and with whatever latency.
"""

from __future__ import annotations

import math
from collections import deque


class TrailingCount:
    """Times of answers within the last `period` seconds, in at most a thousand or so buckets.

    Answers that arrive within a thousandth of the period share a bucket that carries the latest of their times, so
    memory does not grow with the rate and the error (a permit comes back up to period/1000 too late) is on the safe
    side.
    """

    __slots__ = ("_buckets", "_grain", "_period", "_total")

    def __init__(self, period: float) -> None:
        self._period = period
        self._grain = period / 1000
        # Of each bucket: the first time, the latest time, the number of answers.
        self._buckets: deque[list[float]] = deque()
        self._total = 0

    def __len__(self) -> int:
        """Buckets in memory."""
        return len(self._buckets)

    @property
    def total(self) -> int:
        """How many were counted when this was last asked or told."""
        return self._total

    def add(self, now: float) -> None:
        """Count one that arrives now."""
        buckets = self._buckets
        if buckets and buckets[0][1] + self._period <= now:
            self.count(now)
        if buckets and now - buckets[-1][0] < self._grain:
            bucket = buckets[-1]
            if now > bucket[1]:
                bucket[1] = now
            bucket[2] += 1
        else:
            buckets.append([now, now, 1])
        self._total += 1

    def count(self, now: float) -> int:
        """How many answers arrived within the last period."""
        buckets = self._buckets
        # A permit comes back at this very sum (free_at): the same sum must say so.
        while buckets and buckets[0][1] + self._period <= now:
            self._total -= int(buckets.popleft()[2])
        return self._total

    def forget(self, until: float) -> None:
        """Count no longer what arrived at `until` or before."""
        buckets = self._buckets
        while buckets and buckets[0][1] <= until:
            self._total -= int(buckets.popleft()[2])

    def unchanged_until(self, now: float) -> float:
        """When the first of the answers counted now will be too old; infinity if there are none."""
        self.count(now)
        return self._buckets[0][0] + self._period if self._buckets else math.inf

    def free_at(self, now: float, limit: int, in_flight: int) -> float:
        """When `in_flight` plus the answers of the last period will be below `limit`.

        `now` or earlier means at once; infinity means that only an answer can tell.
        """
        excess = self.count(now) + in_flight - limit + 1
        if excess <= 0:
            return now
        for _first, latest, count in self._buckets:
            excess -= int(count)
            if excess <= 0:
                return latest + self._period
        return math.inf
