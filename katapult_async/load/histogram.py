"""A histogram of durations with a relative error of 0.1 % or 1 %, in the buckets of HdrHistogram.

The counts are kept in a dictionary of the buckets in use, because a test keeps a histogram for each
second. Recording costs a third of HdrHistogram's own. Its package encodes and decodes them, so that
its tools can read what is written. The package is imported only then.
"""

from __future__ import annotations

import math
import warnings
from importlib import import_module
from typing import Any, Protocol, cast

from .errors import LoadError, MissingExtra

#: The longest duration that is told apart, in microseconds: one hour.
LONGEST = 3_600_000_000
#: Bits of a value that are kept, by significant digits.
_BITS = {2: 8, 3: 11}


class HdrHistogram(Protocol):
    """The part of hdrh.histogram.HdrHistogram that is used here."""

    def record_value(self, value: int, count: int = 1) -> bool: ...

    def encode(self) -> bytes: ...


class Histogram:
    """Counts durations in seconds.

    Args:
        digits: Significant digits: 3, or 2 for a smaller one.

    Attributes:
        counts: Number of durations by the lowest value of their bucket, in microseconds.
        total: Number of durations.
        highest: The longest duration in microseconds.
    """

    __slots__ = ("_bits", "counts", "digits", "highest", "total")

    def __init__(self, digits: int = 3) -> None:
        self.digits = digits
        self._bits = _BITS[digits]
        self.counts: dict[int, int] = {}
        self.total = 0
        self.highest = 0

    def __repr__(self) -> str:
        return f"<Histogram {self.total} values, max {self.max:g} s>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        mine, others = (self.digits, self.highest, self.counts), (other.digits, other.highest, other.counts)
        return mine == others

    __hash__ = None  # type: ignore[assignment]

    def record(self, seconds: float) -> None:
        """Count one duration. A negative one counts as 0, and one above an hour as an hour."""
        self.record_micros(min(max(round(seconds * 1e6), 0), LONGEST))

    def record_micros(self, value: int, count: int = 1) -> None:
        """Count a duration in microseconds `count` times."""
        shift = value.bit_length() - self._bits
        bucket = value >> shift << shift if shift > 0 else value
        self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.total += count
        self.highest = max(self.highest, value)

    def add(self, other: Histogram) -> None:
        """Add the counts of another histogram. A finer one is reduced to the digits of this one."""
        for value, count in other.counts.items():
            self.record_micros(value, count)
        self.highest = max(self.highest, other.highest)

    def percentile(self, percent: float) -> float:
        """Return the shortest duration that `percent` % of all do not exceed, in seconds.

        This is the nearest rank, at the upper end of its bucket. 0 if nothing was recorded.
        """
        rank = max(1, math.ceil(percent / 100 * self.total - 1e-9))
        reached = 0
        for value in sorted(self.counts):
            reached += self.counts[value]
            if reached >= rank:
                return self._upper(value) / 1e6
        return 0.0

    def percentiles(self, *percents: float) -> list[float]:
        """Return several percentiles, in seconds."""
        return [self.percentile(percent) for percent in percents]

    @property
    def max(self) -> float:
        """The longest duration in seconds, exactly. 0 if nothing was recorded."""
        return self.highest / 1e6

    @property
    def mean(self) -> float:
        """The mean in seconds, by the lowest value of each bucket."""
        return sum(value * count for value, count in self.counts.items()) / 1e6 / max(self.total, 1)

    def above(self, seconds: float) -> int:
        """Return how many durations are longer than `seconds`, to the width of a bucket."""
        return sum(count for value, count in self.counts.items() if value > seconds * 1e6)

    def curve(self) -> list[tuple[float, float]]:
        """Return (percent, seconds) for each bucket: which part of all does not exceed it."""
        points: list[tuple[float, float]] = []
        reached = 0
        for value in sorted(self.counts):
            reached += self.counts[value]
            points.append((100 * reached / self.total, self._upper(value) / 1e6))
        return points

    def _upper(self, bucket: int) -> int:
        shift = max(bucket.bit_length() - self._bits, 0)
        return min(bucket + (1 << shift) - 1, self.highest)

    def hdr(self) -> HdrHistogram:
        """Return the same histogram as one of the package hdrhistogram.

        Raises:
            MissingExtra: If the package is not installed.
        """
        made: HdrHistogram = _hdr_class()(1, LONGEST, self.digits)
        for value, count in self.counts.items():
            made.record_value(value, count)
        return made

    def encode(self) -> str:
        """Return the histogram in HdrHistogram's compressed form (V2, base64).

        Raises:
            MissingExtra: If the package is not installed.
        """
        return self.hdr().encode().decode("ascii")

    @classmethod
    def decode(cls, text: str, *, digits: int = 3, longest: float | None = None) -> Histogram:
        """Return the histogram that `encode` has written.

        Args:
            text: The compressed form.
            digits: The significant digits that it had.
            longest: The longest duration in seconds, which the compressed form only has to the
                width of a bucket.

        Raises:
            LoadError: If the text cannot be decoded.
            MissingExtra: If the package is not installed.
        """
        found = cls(digits)
        try:
            decoded = _hdr_class().decode(text.encode("ascii"))
            # Its own iterator takes ten times as long, and an array of ctypes twice as long.
            counts: list[int] = decoded.counts[: len(decoded.counts)]
            for index, count in enumerate(counts):
                if count:
                    found.record_micros(decoded.get_value_from_index(index), count)
        except MissingExtra:
            raise
        except Exception as exc:  # of many kinds: zlib, base64, struct, the package's own
            raise LoadError("a histogram of the result is damaged") from exc
        if longest is not None:
            found.highest = round(longest * 1e6)
        return found


def need_hdrhistogram() -> None:
    """Raise MissingExtra unless the package hdrhistogram is installed."""
    _hdr_class()


def _hdr_class() -> Any:
    # The package has no types.
    try:
        with warnings.catch_warnings():
            # On Python 3.14 its structures are deprecated: they have `_pack_` and no `_layout_`.
            warnings.simplefilter("ignore", DeprecationWarning)
            return cast("Any", import_module("hdrh.histogram")).HdrHistogram
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] != "hdrh":
            raise
        raise MissingExtra from None
