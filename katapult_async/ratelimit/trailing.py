"""How many permits the trailing rule still holds: the count of what was sent or answered within one window.

The trailing rule (scheduling): a permit is taken when a request is sent and given back one window after its
response arrived. The server counts a request somewhere between the two, so it never sees more than the limit in
any window of that length, on whatever kind of window and with whatever latency.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable

import msgspec

#: Buckets of a period, at most.
BUCKETS = 1000


class _Bucket(msgspec.Struct, array_like=True, gc=False):
    """Answers that arrived within a grain: the first time, the latest time, how many."""

    first: float
    latest: float
    count: int


def _latest(bucket: _Bucket) -> float:
    return bucket.latest


class TrailingCount(msgspec.Struct):
    """Times of answers within the last period, in a bounded number of buckets.

    Answers that arrive within a part of the period share a bucket that carries the latest of their times, so memory
    does not grow with the rate and the error (a permit comes back up to one part too late) is on the safe side.

    Args:
        period: Seconds.
        grain: Parts of the period.
    """

    _period: float
    _grain: int = BUCKETS
    _buckets: list[_Bucket] = []
    _total: int = 0

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
        if buckets:
            if buckets[0].latest + self._period <= now:
                self.count(now)
            if buckets and now - buckets[-1].first < self._period / self._grain:
                bucket = buckets[-1]
                if now > bucket.latest:
                    bucket.latest = now
                bucket.count += 1
                self._total += 1
                return
        buckets.append(_Bucket(now, now, 1))
        self._total += 1

    def count(self, now: float) -> int:
        """How many answers arrived within the last period."""
        buckets = self._buckets
        # A permit comes back at this very sum (free_at): the same sum must say so.
        while buckets and buckets[0].latest + self._period <= now:
            self._total -= buckets.pop(0).count
        return self._total

    def since(self, moment: float) -> int:
        """How many of the answers in memory may have arrived after this moment."""
        return sum(bucket.count for bucket in self._buckets if bucket.latest > moment)

    def forget(self, until: float) -> None:
        """Count no longer what arrived at `until` or before."""
        buckets = self._buckets
        while buckets and buckets[0].latest <= until:
            self._total -= buckets.pop(0).count

    def unchanged_until(self, now: float) -> float:
        """When the first of the answers counted now will be too old; infinity if there are none."""
        self.count(now)
        return self._buckets[0].first + self._period if self._buckets else math.inf

    def free_at(self, now: float, limit: int, in_flight: int) -> float:
        """When `in_flight` plus the answers of the last period will be below `limit`.

        `now` or earlier means at once; infinity means that only an answer can tell.
        """
        excess = self.count(now) + in_flight - limit + 1
        if excess <= 0:
            return now
        return self._comes_back(excess, self._buckets)

    def _comes_back(self, excess: int, buckets: Iterable[_Bucket]) -> float:
        """When so many of the answers in these buckets will be too old."""
        for bucket in buckets:
            excess -= bucket.count
            if excess <= 0:
                return bucket.latest + self._period
        return math.inf

    def free_with(self, other: TrailingCount, now: float, limit: int, in_flight: int) -> float:
        """The same for the answers of two counts together."""
        excess = self.count(now) + other.count(now) + in_flight - limit + 1
        if excess <= 0:
            return now
        return self._comes_back(excess, heapq.merge(self._buckets, other._buckets, key=_latest))


class TrailingRule(msgspec.Struct):
    """What the trailing rule permits: our own requests, and what the headers have shown of others.

    Args:
        period: The length of a window in seconds.
        admissions: Answers that were no refusals.
        refusals: The 429s.
    """

    period: float
    admissions: TrailingCount
    refusals: TrailingCount
    #: Whether the server counts refused requests, too. Unknown (katapult-api), so it is believed when seen.
    refusals_count: bool = False
    # What others had used in the last period, and when that was seen.
    _foreign: int = 0
    _foreign_at: float = -math.inf

    @classmethod
    def start(cls, period: float, grain: int = BUCKETS) -> TrailingRule:
        """A rule that has counted nothing."""
        return cls(period, TrailingCount(period, grain), TrailingCount(period, grain))

    def __repr__(self) -> str:
        return f"<TrailingRule admissions={self.admissions.total} foreign={self._foreign}>"

    def answers(self, now: float) -> int:
        """All answers of the last period."""
        return self.admissions.count(now) + self.refusals.count(now)

    def unchanged_until(self, now: float) -> float:
        """When the first of the answers counted now will be too old; infinity if there are none."""
        return min(self.admissions.unchanged_until(now), self.refusals.unchanged_until(now))

    def lost(self, now: float) -> None:
        """A request got no answer: it may have been counted."""
        self.admissions.add(now)

    def saw_used(self, now: float, used: int, in_flight: int) -> None:
        """Take what is used and not ours off the limit, until it must have come back.

        Args:
            now: Local seconds.
            used: Requests that the headers of an answer show as used.
            in_flight: Requests of ours in flight, without the one that was answered.
        """
        ours = self.answers(now) if self.refusals_count else self.admissions.count(now)
        self._foreign = max(0, used - (ours + in_flight + 1))
        self._foreign_at = now

    def free_at(self, now: float, limit: int, in_flight: int) -> float:
        """When one more request may be sent. `now` or earlier: at once. Infinity: only an answer can tell."""
        if not self._foreign or now >= self._foreign_at + self.period:
            return self.free_of_ours(now, limit, in_flight)
        free_at = self.free_of_ours(now, max(1, limit - self._foreign), in_flight)
        if now < free_at and limit > 1:
            # What others have used comes back a period after it was seen, at the latest.
            whole = max(self._foreign_at + self.period, self.free_of_ours(now, limit, in_flight))
            free_at = min(free_at, whole)
        return free_at

    def free_of_ours(self, now: float, limit: int, in_flight: int) -> float:
        """The same without what others have used."""
        if self.refusals_count:
            return self.admissions.free_with(self.refusals, now, limit, in_flight)
        return self.admissions.free_at(now, limit, in_flight)
