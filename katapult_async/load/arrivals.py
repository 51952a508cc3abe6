"""When requests should be sent in an open loop: at a fixed rate, at random, or in a ramp.

Pure: the same schedule gives the same times. The times do not depend on responses, which is what
makes the loop open.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator

import msgspec

#: More than one process can start. It protects against a rate in the wrong unit.
HIGHEST_RATE = 100_000.0


class FixedRate(msgspec.Struct, frozen=True, tag="fixed"):
    """Arrivals at equal distances.

    Args:
        rate: Arrivals per second.

    Raises:
        ValueError: If the rate is not positive and finite.
    """

    rate: float

    def __post_init__(self) -> None:
        _check_rate(self.rate)

    def __str__(self) -> str:
        return f"{self.rate:g}/s"

    @property
    def first_rate(self) -> float:
        """Arrivals per second at the start, and during the warm-up."""
        return self.rate

    def expected(self, duration: float) -> float:
        """Return the mean number of arrivals in `duration` seconds."""
        return self.rate * duration

    def times(self, duration: float) -> Iterator[float]:
        """Yield the time of each arrival below `duration`, in seconds from the start."""
        return itertools.takewhile(
            lambda at: at < duration, (number / self.rate for number in itertools.count())
        )


class Poisson(msgspec.Struct, frozen=True, tag="poisson"):
    """Arrivals of many independent users: exponential distances.

    Args:
        rate: Mean arrivals per second.
        seed: The same seed gives the same times.

    Raises:
        ValueError: If the rate is not positive and finite.
    """

    rate: float
    seed: int = 0

    def __post_init__(self) -> None:
        _check_rate(self.rate)

    def __str__(self) -> str:
        return f"{self.rate:g}/s (Poisson)"

    @property
    def first_rate(self) -> float:
        """Mean arrivals per second at the start, and during the warm-up."""
        return self.rate

    def expected(self, duration: float) -> float:
        """Return the mean number of arrivals in `duration` seconds."""
        return self.rate * duration

    def times(self, duration: float) -> Iterator[float]:
        """Yield the time of each arrival below `duration`, in seconds from the start."""
        rng = random.Random(self.seed)  # noqa: S311 - a schedule keeps no secret
        at = rng.expovariate(self.rate)
        while at < duration:
            yield at
            at += rng.expovariate(self.rate)


class Ramp(msgspec.Struct, frozen=True, tag="ramp"):
    """Arrivals at a rate that changes evenly over the duration.

    Args:
        start: Arrivals per second at the start, and during the warm-up. 0 is allowed.
        end: Arrivals per second at the end. 0 is allowed.

    Raises:
        ValueError: If a rate is negative or not finite, or both are 0.
    """

    start: float
    end: float

    def __post_init__(self) -> None:
        for rate in (self.start, self.end):
            if rate:
                _check_rate(rate)
        if not self.start and not self.end:
            raise ValueError("a ramp needs a rate above 0 at its start or its end")

    def __str__(self) -> str:
        return f"{self.start:g}/s to {self.end:g}/s"

    @property
    def first_rate(self) -> float:
        """Arrivals per second at the start, and during the warm-up."""
        return self.start

    def expected(self, duration: float) -> float:
        """Return the mean number of arrivals in `duration` seconds."""
        return (self.start + self.end) / 2 * duration

    def times(self, duration: float) -> Iterator[float]:
        """Yield the time of each arrival below `duration`, in seconds from the start.

        After t seconds, start * t + slope * t² / 2 arrivals are due. Arrival n is at the t that
        solves this for n.
        """
        slope = (self.end - self.start) / duration
        for number in itertools.count():
            below_root = self.start**2 + 2 * slope * number
            if below_root < 0:
                return  # a falling ramp reaches no further arrival
            # This form of the root is also exact for a slope near 0.
            divisor = self.start + math.sqrt(below_root)
            at = 2 * number / divisor if divisor else 0.0
            if at >= duration:
                return
            yield at


#: Any schedule of arrivals.
Arrivals = FixedRate | Poisson | Ramp


class Part(msgspec.Struct, frozen=True):
    """The share of one of several processes: every `of`-th arrival, machine and item.

    Args:
        number: Which process this is, from 1.
        of: How many processes there are.

    Raises:
        ValueError: If `number` is not from 1 to `of`.
    """

    number: int = 1
    of: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise ValueError(f"a part must be from 1/{self.of} to {self.of}/{self.of}, not {self}")

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def owns(self, index: int) -> bool:
        """Return whether the arrival or item with this index, from 0, belongs to this process."""
        return index % self.of == self.number - 1


def arrival_times(arrivals: Arrivals, *, warm_up: float, duration: float, part: Part) -> Iterator[float]:
    """Yield the times of a whole test, in seconds from the start of the warm-up.

    Args:
        arrivals: The schedule after the warm-up.
        warm_up: Seconds at the schedule's first rate before it.
        duration: Seconds of the schedule.
        part: The share of this process.
    """
    before: Iterator[float] = iter(())
    if warm_up > 0 and arrivals.first_rate > 0:
        before = FixedRate(arrivals.first_rate).times(warm_up)
    for together in (before, (warm_up + at for at in arrivals.times(duration))):
        for index, at in enumerate(together):
            if part.owns(index):
                yield at


def _check_rate(rate: float) -> None:
    if not 0 < rate <= HIGHEST_RATE:
        raise ValueError(f"a rate must be above 0 and at most {HIGHEST_RATE:,.0f} per second, not {rate:g}")
