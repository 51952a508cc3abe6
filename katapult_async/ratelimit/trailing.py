"""The trailing rule: requests in flight plus responses of the last period stay within the limit.

A permit is taken when a request is sent. It comes back one period after the response arrived. The
server counts the request at some moment between the two. So in every interval of one period the
server counts at most `limit` of our requests, on fixed, aligned and sliding windows and on a token
bucket with this capacity, whatever the latency (proof: docs/explanation/rate-limits.md).

This module counts requests. It does not read the server's counter.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable

import msgspec

#: Number of buckets of a period, at most.
BUCKETS = 1000


class _Bucket(msgspec.Struct, array_like=True, gc=False):
    """Responses that arrived within one part of a period: first time, latest time, number."""

    first: float
    latest: float
    count: int


def _latest(bucket: _Bucket) -> float:
    return bucket.latest


class TrailingCount(msgspec.Struct):
    """Times of responses within the last period, in a bounded number of buckets.

    Responses that arrive within one part of the period share a bucket, which carries the latest of
    their times. So memory does not grow with the rate, and the error is on the safe side: a permit
    comes back up to one part late.

    Args:
        period: Length of a period, in seconds.
        grain: Number of parts of a period.
    """

    _period: float
    _grain: int = BUCKETS
    _buckets: list[_Bucket] = []
    _total: int = 0

    def __len__(self) -> int:
        """Number of buckets in memory."""
        return len(self._buckets)

    @property
    def total(self) -> int:
        """The count at the last call of any method that changes it."""
        return self._total

    def add(self, now: float) -> None:
        """Count one response that arrives now."""
        buckets = self._buckets
        self._total += 1
        if buckets:
            bucket = buckets[-1]
            if now - bucket.first < self._period / self._grain:
                if now > bucket.latest:
                    bucket.latest = now
                bucket.count += 1
                return
            self.count(now)  # memory is bounded, although nobody may ask for the count
        buckets.append(_Bucket(now, now, 1))

    def count(self, now: float) -> int:
        """Return how many responses arrived within the last period."""
        buckets = self._buckets
        # `free_at` returns this sum as the time at which a permit comes back. Both must round
        # alike.
        while buckets and buckets[0].latest + self._period <= now:
            self._total -= buckets.pop(0).count
        return self._total

    def since(self, moment: float) -> int:
        """Return how many of the responses in memory may have arrived after this moment."""
        return sum(bucket.count for bucket in self._buckets if bucket.latest > moment)

    def forget(self, until: float) -> None:
        """Remove responses that arrived at `until` or before."""
        buckets = self._buckets
        while buckets and buckets[0].latest <= until:
            self._total -= buckets.pop(0).count

    def next_expiry(self, now: float) -> float:
        """Return when the oldest counted response leaves the period; infinity if none."""
        self.count(now)
        return self._buckets[0].first + self._period if self._buckets else math.inf

    def free_at(self, now: float, limit: int, in_flight: int) -> float:
        """Return when `in_flight` plus the responses of the last period will be below `limit`.

        Returns:
            A time in seconds. `now` or earlier: at once. Infinity: not before a response arrives.
        """
        excess = self.count(now) + in_flight - limit + 1
        if excess <= 0:
            return now
        return self._expiry_of(excess, self._buckets)

    def _expiry_of(self, excess: int, buckets: Iterable[_Bucket]) -> float:
        """Return when `excess` of the responses in these buckets will have left the period."""
        for bucket in buckets:
            excess -= bucket.count
            if excess <= 0:
                return bucket.latest + self._period
        return math.inf

    def free_with(self, other: TrailingCount, now: float, limit: int, in_flight: int) -> float:
        """Like `free_at`, for the responses of two counts together."""
        excess = self.count(now) + other.count(now) + in_flight - limit + 1
        if excess <= 0:
            return now
        return self._expiry_of(excess, heapq.merge(self._buckets, other._buckets, key=_latest))


class TrailingRule(msgspec.Struct):
    """The trailing rule, for our own requests and for usage of other clients that headers showed.

    Args:
        period: Length of a window, in seconds.
        admissions: Responses other than 429s.
        refusals: The 429s.
    """

    period: float
    admissions: TrailingCount
    refusals: TrailingCount
    #: Whether the server counts refused requests, too. This is not documented, so it is assumed
    #: only after the 429s have shown it (`Backoff.diagnose`).
    refusals_count: bool = False
    # Requests of other clients in the last period, and when a response showed them.
    _foreign: int = 0
    _foreign_at: float = -math.inf

    @classmethod
    def start(cls, period: float, grain: int = BUCKETS) -> TrailingRule:
        """Create a rule that has counted nothing.

        Args:
            period: Length of a window, in seconds.
            grain: Number of parts of a period.
        """
        return cls(period, TrailingCount(period, grain), TrailingCount(period, grain))

    def __repr__(self) -> str:
        return f"<TrailingRule admissions={self.admissions.total} foreign={self._foreign}>"

    def responses(self, now: float) -> int:
        """Return the number of responses of the last period, 429s included."""
        return self.admissions.count(now) + self.refusals.count(now)

    def next_expiry(self, now: float) -> float:
        """Return when the oldest counted response leaves the period; infinity if none."""
        return min(self.admissions.next_expiry(now), self.refusals.next_expiry(now))

    def lost(self, now: float) -> None:
        """Count a request without a response: the server may have counted it."""
        self.admissions.add(now)

    def note_foreign_usage(self, now: float, used: int, in_flight: int) -> None:
        """Subtract usage of other clients from the limit for one period.

        Args:
            now: Local time, in seconds.
            used: Requests that the headers of a response show as used.
            in_flight: Our requests in flight, without the one that got the response.
        """
        ours = self.responses(now) if self.refusals_count else self.admissions.count(now)
        self._foreign = max(0, used - (ours + in_flight + 1))
        self._foreign_at = now

    def free_at(self, now: float, limit: int, in_flight: int) -> float:
        """Return when one more request may be sent.

        Args:
            now: Local time, in seconds.
            limit: Requests permitted per window.
            in_flight: Our requests in flight.

        Returns:
            A time in seconds. `now` or earlier: at once. Infinity: not before a response arrives.
        """
        if not self._foreign or now >= self._foreign_at + self.period:
            return self.own_free_at(now, limit, in_flight)
        free_at = self.own_free_at(now, max(1, limit - self._foreign), in_flight)
        if now < free_at and limit > 1:
            # Usage of other clients has left the server's window one period after it was read, at
            # the latest.
            whole = max(self._foreign_at + self.period, self.own_free_at(now, limit, in_flight))
            free_at = min(free_at, whole)
        return free_at

    def own_free_at(self, now: float, limit: int, in_flight: int) -> float:
        """Like `free_at`, without the usage of other clients."""
        if self.refusals_count:
            return self.admissions.free_with(self.refusals, now, limit, in_flight)
        return self.admissions.free_at(now, limit, in_flight)
