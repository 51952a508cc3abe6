"""The five ways in which a server may count requests, each as a pure state machine.

No clock and no I/O: every call is told `now`, in seconds of the server's wall clock. A `now` that lies before an
earlier one is taken for that earlier one, so a clock that is set back never opens a window twice. A limiter decides
about one counter; it refuses to know about tokens, headers or types of request.

    aligned   fixed window that begins at the multiples of `period` of the wall clock (what Katapult does)
    fixed     fixed window opened by the first request after the last one ended
    sliding   at most `limit` requests in any `period`
    bucket    capacity `limit`, refilled by `limit / period` a second
    burst     a bucket whose capacity `burst` is smaller than `limit`
"""

from __future__ import annotations

import enum
import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from katapult_async.testing.registry import complete

# Seconds of wall clock (1.7e9) are themselves rounded by some 2e-7: a request that is sent exactly when the server
# said that it would be permitted must be.
_CLOCK_ROUNDING = 1e-6


class Verdict(NamedTuple):
    """What a limiter says about one request.

    permitted: the limit in force. remaining: whole requests left after this one was counted, never below 0.
    retry_after: seconds until a request would be permitted; 0.0 if one would be now, infinity if none ever is.
    """

    allowed: bool
    permitted: int
    remaining: int
    retry_after: float


class Limiter(Protocol):
    """One counter. `limit` may be changed at any time and counts from the next request on."""

    @property
    def limit(self) -> int: ...
    @limit.setter
    def limit(self, value: int) -> None: ...
    @property
    def period(self) -> float: ...

    def hit(self, now: float) -> Verdict:
        """Count one request that arrives at `now` and decide about it."""
        ...


class LimiterKind(str, enum.Enum):
    """Names of the kinds, as `make_limiter` and the emulator take them."""

    ALIGNED = "aligned"
    FIXED = "fixed"
    SLIDING = "sliding"
    BUCKET = "bucket"
    BURST = "burst"


class _Window(ABC):
    """What the two fixed windows share: one count, valid until the window ends."""

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
    """Fixed window [n x period, (n + 1) x period) of the wall clock."""

    __slots__ = ()

    def _ends_at(self, now: float) -> float:
        number = math.floor(now / self.period)
        # The division may round over a boundary; the products decide.
        if number * self.period > now:
            number -= 1
        elif (number + 1) * self.period <= now:
            number += 1
        return (number + 1) * self.period


class FixedWindow(_Window):
    """Fixed window that the first request after the end of the last window opens."""

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
        # One is permitted again when all but the newest limit - 1 have left the log.
        wait = log[-left] + self.period - now if self.limit > 0 else math.inf
        return Verdict(allowed, self.limit, 0, wait)

    def __repr__(self) -> str:
        return f"SlidingLog({len(self._log)} of {self.limit} in {self.period:g} s)"


class TokenBucket:
    """Capacity `burst` (default: `limit`), refilled by `limit / period` a second, full at first.

    With `count_refused` a refused request takes the fraction of a token that had come back, so that only a client
    that is quiet for `period / limit` seconds is served again.
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
        # Tokens are `_level - _spent` plus what came back since `_anchor`. Both are reset only when the bucket is
        # full or empty, so a long run adds no rounding errors up.
        self._level = float(self.capacity)
        self._spent = 0
        self._anchor = self._now = -math.inf

    @property
    def capacity(self) -> int:
        """Most tokens that the bucket holds."""
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
    """A limiter by the name of its kind; `burst` is for the kind of that name (default: a tenth of `limit`)."""
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
