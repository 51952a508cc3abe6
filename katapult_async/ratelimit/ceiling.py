"""The caller's own limit: a maximum of requests per second, whatever the server permits.

A ceiling belongs to one session. The gate belongs to all sessions of a token. Requests pass the
ceiling one after the other, and each keeps its turn until the gate gives it a permit. So a long
wait at the gate saves up no burst: the requests behind it still leave at an even pace. The ceiling
knows nothing about the server.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections.abc import Awaitable, Callable

import anyio

from .gate import Priority
from .permit import Permit

#: Requests that are due within this many seconds may leave together, because timers are not exact
#: to the millisecond.
EVENNESS = 0.02
#: Without such bursts a timer may fire this late (seconds) without slowing the pace.
LATENESS = 0.002


#: The lowest rate of a ceiling: one request a day.
SLOWEST = 1 / 86_400


def check_max_per_second(per_second: object) -> None:
    """Raise TypeError or ValueError unless `per_second` is at least one request a day."""
    if isinstance(per_second, bool) or not isinstance(per_second, (int, float)):
        raise TypeError(f"max_per_second must be a number of requests per second, not {per_second!r}")
    if not 0 < per_second < math.inf:  # also refuses NaN
        raise ValueError(f"max_per_second must be positive and finite, not {per_second!r}")
    if per_second < SLOWEST:
        raise ValueError(f"max_per_second must be at least 1/86400, one request a day, not {per_second!r}")


class _Turn:
    """A place in the queue."""

    __slots__ = ("event", "gone", "key", "scope")

    def __init__(self, key: tuple[int, int]) -> None:
        self.key = key
        self.gone = False
        self.event = anyio.Event()
        #: The scope of the request while it has its turn. A request with a higher priority cancels
        #: it.
        self.scope: anyio.CancelScope | None = None

    def __lt__(self, other: _Turn) -> bool:
        return self.key < other.key


class Ceiling:
    """Let requests through at an even pace, in order of priority and arrival.

    Args:
        per_second: Requests per second at most. From 100 on, requests leave in short bursts: as
            many as are due in EVENNESS seconds.

    Raises:
        TypeError: If `per_second` is not a number.
        ValueError: If `per_second` is not finite, or less than one request a day.
    """

    def __init__(self, per_second: float) -> None:
        check_max_per_second(per_second)
        self._per_second = per_second
        self._interval = 1 / per_second
        together = max(1, math.floor(per_second * EVENNESS))
        self._early = (together - 1) * self._interval
        self._late = LATENESS if together == 1 else 0.0
        # When the next request is due at an even pace. It may leave `_early` seconds earlier.
        self._due = -math.inf
        self._queue: list[_Turn] = []
        self._arrivals = itertools.count()
        self._waiting = 0
        self._holder: _Turn | None = None

    def __repr__(self) -> str:
        return f"<Ceiling {self._per_second:g} per second, waiting={self._waiting}>"

    @property
    def per_second(self) -> float:
        """Requests per second at most."""
        return self._per_second

    @property
    def waiting(self) -> int:
        """Requests that have not passed yet, including the one that waits at the gate."""
        return self._waiting

    async def take(
        self,
        at_once: Callable[[], Permit | None],
        wait: Callable[[], Awaitable[Permit]],
        priority: Priority = Priority.NORMAL,
    ) -> Permit:
        """Wait for this request's turn, then for the permit.

        A cancelled request leaves no trace: it keeps no place in the queue and does not count.

        Args:
            at_once: Returns a permit of the gate if there is one without waiting.
            wait: Waits for a permit of the gate. It may be cancelled and called again.
            priority: A lower value goes first.
        """
        clock = asyncio.get_running_loop().time
        if self._holder is None and self._head() is None and clock() >= self._due - self._early:
            permit = at_once()
            if permit is not None:
                self._count(clock())
                return permit
        turn = _Turn((priority, next(self._arrivals)))
        heapq.heappush(self._queue, turn)
        self._waiting += 1
        if self._holder is not None and turn < self._holder and self._holder.scope is not None:
            self._holder.scope.cancel()
        try:
            while True:
                if self._holder is not None or self._head() is not turn:
                    await turn.event.wait()
                    turn.event = anyio.Event()
                    continue
                permit = await self._hold(turn, clock, wait)
                if permit is not None:
                    return permit
        finally:
            turn.gone = True
            self._waiting -= 1
            self._wake()

    async def _hold(
        self, turn: _Turn, clock: Callable[[], float], wait: Callable[[], Awaitable[Permit]]
    ) -> Permit | None:
        """Return the permit, or None if a request with a higher priority has arrived meanwhile."""
        permit: Permit | None = None
        self._holder = turn
        try:
            with anyio.CancelScope() as turn.scope:
                if (pause := self._due - self._early - clock()) > 0:
                    await asyncio.sleep(pause)
                permit = await wait()
                self._count(clock())
        finally:
            self._holder = None
            self._wake()
        return permit

    def _count(self, now: float) -> None:
        self._due = max(self._due, now - self._late) + self._interval

    def _head(self) -> _Turn | None:
        queue = self._queue
        while queue and queue[0].gone:
            heapq.heappop(queue)
        return queue[0] if queue else None

    def _wake(self) -> None:
        if self._holder is None and (head := self._head()) is not None:
            head.event.set()
