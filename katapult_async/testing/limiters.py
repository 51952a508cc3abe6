"""Five kinds of rate limiter, each a pure state machine for one counter.

    aligned   a fixed window that starts at multiples of `period` of the wall clock (as in Katapult)
    fixed     a fixed window that starts with the first request after the last window
    sliding   at most `limit` requests in any `period`
    bucket    a token bucket with capacity `limit`, refilled with `limit / period` tokens per second
    burst     a token bucket with a capacity `burst` below `limit`

Each call gets `now`, in seconds of the server's wall clock. An earlier `now` than before counts as
the latest one, so a clock that is set back never opens a window twice.
"""

from __future__ import annotations

import enum
import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from katapult_async.testing.registry import complete

# Wall clock seconds (1.7e9) have rounding errors of about 2e-7. A request that is sent exactly at
# the announced time must be permitted.
_CLOCK_ROUNDING = 1e-6


class Verdict(NamedTuple):
    """A limiter's decision about one request.

    Args:
        allowed: Whether the request is permitted.
        permitted: The current limit.
        remaining: Requests left after this one.
        retry_after: Seconds until the next request is permitted. Infinity if none ever is.
    """

    allowed: bool
    permitted: int
    remaining: int
    retry_after: float


class Limiter(Protocol):
    """One counter. A new `limit` applies from the next request on."""

    @property
    def limit(self) -> int: ...
    @limit.setter
    def limit(self, value: int) -> None: ...
    @property
    def period(self) -> float: ...

    def hit(self, now: float) -> Verdict:
        """Count a request that arrives at `now`, and return the decision."""
        ...


class LimiterKind(str, enum.Enum):
    """The kinds of limiter."""

    ALIGNED = "aligned"
    FIXED = "fixed"
    SLIDING = "sliding"
    BUCKET = "bucket"
    BURST = "burst"


class _Window(ABC):
    """The base of the two fixed windows: one count, valid until the window ends."""

    __slots__ = ("_end", "_now", "_used", "count_refused", "limit", "period")

    def __init__(self, limit: int, period: float = 60.0, *, count_refused: bool = False) -> None:
        _check(limit, period)
        self.limit = limit
        self.period = period
        self.count_refused = count_refused
        self._used = 0
        self._now = self._end = -math.inf

    @abstractmethod
    def _ends_at(self, now: float) -> float: ...

    def hit(self, now: float) -> Verdict:
        now = self._now = max(now, self._now)
        if now >= self._end:
            self._end = self._ends_at(now)
            self._used = 0
        allowed = self._used < self.limit
        if allowed or self.count_refused:
            self._used += 1
        remaining = max(0, self.limit - self._used)
        wait = 0.0 if remaining else self._end - now
        return Verdict(allowed, self.limit, remaining, wait if self.limit > 0 else math.inf)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self._used} of {self.limit} in {self.period:g} s, ends {self._end:.3f})"
        )


class AlignedWindow(_Window):
    """A fixed window [n x period, (n + 1) x period) of the wall clock."""

    __slots__ = ()

    def _ends_at(self, now: float) -> float:
        number = math.floor(now / self.period)
        # The division may round across a boundary. The products are exact enough to decide.
        if number * self.period > now:
            number -= 1
        elif (number + 1) * self.period <= now:
            number += 1
        return (number + 1) * self.period


class FixedWindow(_Window):
    """A fixed window that starts with the first request after the last window."""

    __slots__ = ()

    def _ends_at(self, now: float) -> float:
        return now + self.period


class SlidingLog:
    """At most `limit` counted requests in any (now - period, now]."""

    __slots__ = ("_log", "_now", "count_refused", "limit", "period")

    def __init__(self, limit: int, period: float = 60.0, *, count_refused: bool = False) -> None:
        _check(limit, period)
        self.limit = limit
        self.period = period
        self.count_refused = count_refused
        self._log: deque[float] = deque()
        self._now = -math.inf

    def hit(self, now: float) -> Verdict:
        now = self._now = max(now, self._now)
        log = self._log
        while log and log[0] + self.period <= now:
            log.popleft()
        allowed = len(log) < self.limit
        if allowed or self.count_refused:
            log.append(now)
        left = self.limit - len(log)
        if left > 0:
            return Verdict(allowed, self.limit, left, 0.0)
        # The next is permitted when only the newest limit - 1 requests are left in the log.
        wait = log[-left] + self.period - now if self.limit > 0 else math.inf
        return Verdict(allowed, self.limit, 0, wait)

    def __repr__(self) -> str:
        return f"SlidingLog({len(self._log)} of {self.limit} in {self.period:g} s)"


class TokenBucket:
    """A token bucket, full at first, refilled with `limit / period` tokens per second.

    With `count_refused`, a refused request takes the refilled fraction of a token. Requests are
    then permitted again after `period / limit` seconds without a request.

    Args:
        limit: Tokens per period.
        period: Length of a period in seconds.
        burst: Capacity. Default: the limit.
        count_refused: Whether refused requests count.
    """

    __slots__ = ("_anchor", "_level", "_limit", "_now", "_spent", "burst", "count_refused", "period")

    def __init__(
        self, limit: int, period: float = 60.0, *, burst: int | None = None, count_refused: bool = False
    ) -> None:
        _check(limit, period)
        if burst is not None and burst < 1:
            raise ValueError(f"burst is {burst}, it must be at least 1")
        self._limit = limit
        self.period = period
        self.burst = burst
        self.count_refused = count_refused
        # The bucket has `_level - _spent` tokens plus the refill since `_anchor`. All three restart
        # only when it is full or empty, so that rounding errors do not add up.
        self._level = float(self.capacity)
        self._spent = 0
        self._anchor = self._now = -math.inf

    @property
    def capacity(self) -> int:
        """The most tokens in the bucket."""
        return self._limit if self.burst is None else min(self.burst, self._limit)

    @property
    def limit(self) -> int:
        return self._limit

    @limit.setter
    def limit(self, value: int) -> None:
        level = self._tokens(self._now) if math.isfinite(self._now) else None
        self._limit = value
        self._restart(self.capacity if level is None else level, self._now)

    def hit(self, now: float) -> Verdict:
        now = self._now = max(now, self._now)
        tokens = self._tokens(now)
        slack = _CLOCK_ROUNDING * self._limit / self.period
        allowed = tokens >= 1 - slack
        if allowed:
            self._spent += 1
            tokens -= 1
        elif self.count_refused:
            self._restart(0.0, now)
            tokens = 0.0
        remaining = max(0, math.floor(tokens + slack))
        if self._limit <= 0:
            return Verdict(allowed, self._limit, remaining, math.inf)
        wait = 0.0 if remaining else (1 - tokens) * self.period / self._limit
        return Verdict(allowed, self._limit, remaining, wait)

    def _tokens(self, now: float) -> float:
        if self._anchor == -math.inf:
            self._anchor = now
        tokens = self._level - self._spent + (now - self._anchor) * self._limit / self.period
        if tokens >= self.capacity:
            self._restart(self.capacity, now)
            return self._level
        return tokens

    def _restart(self, level: float, now: float) -> None:
        self._level = min(float(level), float(self.capacity))
        self._spent = 0
        self._anchor = now

    def __repr__(self) -> str:
        return f"TokenBucket({self._limit} per {self.period:g} s, capacity {self.capacity})"


def make_limiter(
    kind: LimiterKind | str,
    limit: int,
    period: float = 60.0,
    *,
    burst: int | None = None,
    count_refused: bool = False,
) -> Limiter:
    """Return a limiter. `burst` is for the kind `burst` only (default: a tenth of `limit`)."""
    return _MAKERS[LimiterKind(kind)](limit, period, burst=burst, count_refused=count_refused)


class _Maker(Protocol):
    def __call__(self, limit: int, period: float, *, burst: int | None, count_refused: bool) -> Limiter: ...


def _aligned(limit: int, period: float, *, burst: int | None, count_refused: bool) -> Limiter:
    del burst
    return AlignedWindow(limit, period, count_refused=count_refused)


def _fixed(limit: int, period: float, *, burst: int | None, count_refused: bool) -> Limiter:
    del burst
    return FixedWindow(limit, period, count_refused=count_refused)


def _sliding(limit: int, period: float, *, burst: int | None, count_refused: bool) -> Limiter:
    del burst
    return SlidingLog(limit, period, count_refused=count_refused)


def _bucket(limit: int, period: float, *, burst: int | None, count_refused: bool) -> Limiter:
    del burst
    return TokenBucket(limit, period, count_refused=count_refused)


def _burst(limit: int, period: float, *, burst: int | None, count_refused: bool) -> Limiter:
    return TokenBucket(limit, period, burst=burst or max(1, limit // 10), count_refused=count_refused)


_MAKERS: Mapping[LimiterKind, _Maker] = complete(
    LimiterKind,
    {
        LimiterKind.ALIGNED: _aligned,
        LimiterKind.FIXED: _fixed,
        LimiterKind.SLIDING: _sliding,
        LimiterKind.BUCKET: _bucket,
        LimiterKind.BURST: _burst,
    },
)


def _check(limit: int, period: float) -> None:
    if limit < 0:
        raise ValueError(f"limit is {limit}, it must not be negative")
    if not period > 0 or not math.isfinite(period):
        raise ValueError(f"period is {period}, it must be a positive number of seconds")
