"""Response times, in a small histogram. Histograms can be added.

Each bucket is 2 % wider than the one below it, so a percentile is within 1 % of the true value.
Empty buckets are not stored: an hour of requests needs a few hundred pairs of numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

_WIDTH = 1.02
_PER_UNIT = 1 / math.log(_WIDTH)
#: The shortest time that has a bucket of its own (seconds).
_SHORTEST = 1e-6
_log = math.log


class Latency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the requests of a run took, and how long the run waited for permits.

    requests: requests that were answered or timed out. A request that timed out counts with its
    time-out. p50, p95, p99: seconds within which so many per cent of them ended, within 1 %.
    longest: seconds. All four are None where no request was answered or timed out. waited: seconds
    in which requests had to wait for the rate limit.
    """

    requests: int
    p50: float | None
    p95: float | None
    p99: float | None
    longest: float | None
    waited: float

    @classmethod
    def of(cls, histogram: Histogram, waited: float) -> Latency:
        """Read the percentiles from a histogram."""
        p50, p95, p99, longest = (_rounded(histogram.percentile(p)) for p in (50, 95, 99, 100))
        return cls(
            requests=histogram.count,
            p50=p50,
            p95=p95,
            p99=p99,
            longest=longest,
            waited=round(max(waited, 0.0), 3),
        )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


class Histogram:
    """Counts durations by bucket.

    Args:
        buckets: Pairs of a bucket's number and its count, as `pairs` returns them.
    """

    __slots__ = ("_counts",)

    def __init__(self, buckets: Iterable[tuple[int, int]] = ()) -> None:
        self._counts: dict[int, int] = {}
        self.add(buckets)

    def record(self, seconds: float) -> None:
        """Count one duration."""
        bucket = int(_log(seconds / _SHORTEST) * _PER_UNIT) if seconds > _SHORTEST else 0
        self._counts[bucket] = self._counts.get(bucket, 0) + 1

    def add(self, buckets: Iterable[tuple[int, int]]) -> None:
        """Add the counts of another histogram."""
        for bucket, count in buckets:
            self._counts[bucket] = self._counts.get(bucket, 0) + count

    def pairs(self) -> list[tuple[int, int]]:
        """Each bucket that is not empty with its count, in order."""
        return sorted(self._counts.items())

    @property
    def count(self) -> int:
        """How many durations were counted."""
        return sum(self._counts.values())

    def percentile(self, per_cent: float) -> float | None:
        """Return the duration (seconds) that `per_cent` of all do not exceed, within 1 %.

        None if nothing was counted.
        """
        wanted = math.ceil(self.count * per_cent / 100)
        for bucket, count in self.pairs():
            wanted -= count
            if wanted <= 0:
                return _SHORTEST * math.pow(_WIDTH, bucket + 0.5)
        return None
