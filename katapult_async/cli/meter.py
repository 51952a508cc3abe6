"""The speed of a run: requests per second, the used part of the limit, and the expected end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from katapult_async import BudgetEvent, RequestEvent
from katapult_async.cli.words import count
from katapult_async.jobs.preflight.forecast import Throughput, reached, seconds_for

#: Seconds over which the rate is measured.
RECENT = 10.0


class Meter:
    """Counts requests by second.

    Attributes:
        requests: Requests so far.
        rate_limited: 429s among them.
        period: Length of the server's window in seconds.
        known_limit: Returns the limit that the client knows, or None. Set by the caller.
        max_per_second: The user's own maximum of requests per second, or None.
    """

    known_limit: Callable[[], int | None] = staticmethod(lambda: None)

    def __init__(self) -> None:
        self.requests = self.rate_limited = 0
        self.period = 60.0
        self._permitted: int | None = None
        self.max_per_second: float | None = None
        self._began: float | None = None
        self._remaining: int | None = None
        self._window = -1
        # The seconds of the last window in which requests were sent, each with their number.
        self._seconds: deque[list[float]] = deque()

    @property
    def limit(self) -> int | None:
        """Requests permitted in a window. None while the limit is not known."""
        return self.known_limit() or self._permitted

    def add(self, event: RequestEvent) -> None:
        """Count a completed request."""
        self.requests += 1
        self.rate_limited += event.rate_limited
        self._permitted = event.permitted or self._permitted
        self._began = event.sent_at if self._began is None else self._began
        self._count_second(event.sent_at)
        window = int(event.ended_at // self.period)
        if event.remaining is None:
            return
        # Responses arrive out of order: the lowest reading of a window is the newest.
        if window != self._window or self._remaining is None or event.remaining < self._remaining:
            self._window, self._remaining = window, event.remaining

    def add_shared(self, event: BudgetEvent, now: float) -> None:
        """Record what all processes that share the rate limit have used of the window.

        Args:
            event: The latest report.
            now: Unix time in seconds.
        """
        if event.limit is not None:
            self._permitted = event.limit
            self._window, self._remaining = int(now // self.period), max(event.limit - event.used, 0)

    def _count_second(self, at: float) -> None:
        second = float(int(at))
        if self._seconds and self._seconds[-1][0] >= second:
            self._seconds[-1][1] += 1
        else:
            self._seconds.append([second, 1])
        while self._seconds[0][0] < second - max(self.period, RECENT):
            self._seconds.popleft()

    def per_second(self, now: float) -> float:
        """Return requests per second over the last seconds.

        Args:
            now: Unix time in seconds.
        """
        if self._began is None:
            return 0.0
        span = min(max(now - self._began, 1.0), RECENT)
        return sum(sent for second, sent in self._seconds if second > now - span - 1) / span

    def remaining(self, now: float) -> int | None:
        """Return how many requests are left in the current window, or None if this is not known."""
        if self.limit is None:
            return None
        if self._remaining is not None:
            return self._remaining if int(now // self.period) == self._window else self.limit
        sent = sum(sent for second, sent in self._seconds if second > now - self.period)
        return max(self.limit - int(sent), 0)

    def seconds_for(self, requests: int, now: float) -> float | None:
        """Return the seconds that this many more requests take. See jobs.preflight.forecast."""
        throughput = Throughput(
            limit=self.limit,
            remaining=self.remaining(now),
            period=self.period,
            max_per_second=self.max_per_second,
            measured=reached(((at, sent) for at, sent in self._seconds), now),
        )
        return seconds_for(requests, throughput, now)

    def words(self, now: float) -> list[str]:
        """Return rate, used part of the limit, and 429s for people."""
        parts = [f"{self.per_second(now):.1f} requests/s"]
        remaining = self.remaining(now)
        if self.limit is not None and remaining is not None:
            per = "this minute" if self.period == 60 else f"in this window of {self.period:g} s"
            used = count(max(self.limit - remaining, 0))
            parts.append(f"{used} of {count(self.limit)} permitted {per} used")
        parts.append(f"{count(self.rate_limited)} refused (429)")
        return parts
