"""The gate: the one place where requests wait for the rate limit.

It reads the event loop's clock, lets requests through one by one in order of priority and arrival,
and wakes them when a response has changed the state. It decides nothing: the state machine in
`window` does. A cancelled request leaves no trace.
"""

from __future__ import annotations

import asyncio
import enum
import heapq
import itertools
import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio

from katapult_async.logs import package_logger

from .evidence import Evidence
from .permit import Permit, Wait, WaitReason
from .window import Window

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter

log = package_logger("ratelimit")


class Priority(enum.IntEnum):
    """Which request goes first when several wait. A lower value goes first."""

    #: The request got a 429 before: back to the head of the queue.
    AGAIN = 0
    NORMAL = 1
    #: Polling, which goes after everything else.
    LOW = 2


class _Turn:
    """A place in the queue."""

    __slots__ = ("event", "evicted", "gone", "idle", "key", "kind", "permit")

    def __init__(self, key: tuple[int, int], kind: str) -> None:
        self.key = key
        self.kind = kind
        self.event = anyio.Event()
        self.gone = False
        self.evicted = False
        #: Whether the request waits for nothing but its event, and the permit it got meanwhile.
        self.idle = False
        self.permit: Permit | None = None

    async def listen(self) -> None:
        self.idle = True
        try:
            await self.event.wait()
        finally:
            self.idle = False

    def __lt__(self, other: _Turn) -> bool:
        return self.key < other.key


def _limiter(permits: int, seconds: float) -> AsyncLimiter:
    # Imported only when requests are paced, which is rare: the import takes a tenth of the start-up
    # time.
    from aiolimiter import AsyncLimiter

    return AsyncLimiter(permits, seconds)


class Evicted(Exception):
    """The gate no longer handles requests of this type (`Gate.evict`)."""


class Gate:
    """Gives out the permits of one rate window.

    Args:
        window: The state machine.
        shift: Seconds by which the clock of the window is ahead of the event loop's clock.
    """

    def __init__(self, window: Window, *, shift: float = 0.0) -> None:
        self._window = window
        self._shift = shift
        # Kept from the first request on: before Python 3.12, finding it costs a system call.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pacer: AsyncLimiter | None = None
        self._pacer_rate = 0.0
        self._queue: list[_Turn] = []
        self._arrivals = itertools.count()
        #: Called with the wait and the time each time the request at the head of the queue starts
        #: to wait.
        self.listeners: list[Callable[[Wait, float], None]] = []

    def __repr__(self) -> str:
        return f"<Gate waiting={self.waiting} {self._window!r}>"

    @property
    def window(self) -> Window:
        """The state machine of this gate. Only read from it."""
        return self._window

    def now(self) -> float:
        """Return the time of the window's clock, in seconds."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop.time() + self._shift

    @property
    def waiting(self) -> int:
        """Number of requests that wait for a permit."""
        return len(self._queue)

    @property
    def limit(self) -> int | None:
        """Requests permitted per window; None while unknown."""
        return self._window.limit

    async def take(self, priority: Priority = Priority.NORMAL, kind: str = "") -> Permit:
        """Wait for a permit. The caller ends it with `answered`, `lost` or `unused`.

        Args:
            priority: Which request goes first when several wait.
            kind: The type of the request.

        Raises:
            Evicted: If the gate stopped handling requests of this type meanwhile.
        """
        permit = self.take_nowait(kind)
        if permit is not None:
            return permit
        turn = _Turn((priority, next(self._arrivals)), kind)
        overtaken = self._head()
        heapq.heappush(self._queue, turn)
        if overtaken is not None and turn < overtaken:
            overtaken.event.set()
        try:
            permit = await self._wait(turn)
        except BaseException:
            if turn.permit is not None:
                self._window.unused(turn.permit)
            raise
        finally:
            turn.gone = True
            self.wake()
        permit.kind = kind
        return permit

    def take_nowait(self, kind: str = "") -> Permit | None:
        """Return a permit if there is one without waiting or overtaking another request."""
        if self._queue:
            return None
        window = self._window
        now = self.now()
        if window.paced and window.pace(now) is not None:
            return None
        decision = window.take(now)
        if not isinstance(decision, Permit):
            return None
        decision.kind = kind
        return decision

    async def _wait(self, turn: _Turn) -> Permit:
        clock = self.now
        paced_for = 0.0
        while turn.permit is None:
            if turn.evicted:
                raise Evicted
            if self._head() is not turn:
                await turn.listen()
                turn.event = anyio.Event()
                continue
            now = clock()
            pace = self._window.pace(now)
            if pace is not None and paced_for == 0.0:
                await self._keep_pace(pace, now)
                paced_for = pace
                continue
            decision = self._window.take(now, waiting=len(self._queue))
            if isinstance(decision, Permit):
                if decision.solo:
                    self._last_paced, self._pacer = now, None  # the even spacing continues from here
                return decision
            self._notify(decision, now)
            with anyio.move_on_after(decision.until - now if decision.until < math.inf else None):
                await turn.listen()
            if turn.event.is_set():
                turn.event = anyio.Event()
        return turn.permit

    async def _keep_pace(self, pace: float, now: float) -> None:
        if self._pacer is None or self._pacer_rate != pace:
            self._pacer = _limiter(1, self._window.period / pace)
            self._pacer_rate = pace
            if self._last_paced is not None:
                # A new limiter would let one request through at once. The spacing must continue
                # from the last request.
                since = now - self._last_paced
                spacing = self._window.period / pace
                if since < spacing:
                    await self._pacer.acquire()
        if not self._pacer.has_capacity():
            self._notify(Wait(now + self._window.period / pace, WaitReason.PACE), now)
        await self._pacer.acquire()
        self._last_paced = self.now()

    _last_paced: float | None = None

    def _notify(self, wait: Wait, now: float) -> None:
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%d wait for %s", len(self._queue), wait.reason.value)
        for listener in self.listeners:
            listener(wait, now)

    def evict(self, kind: str | None = None) -> None:
        """End the wait of all requests of this type (None: of all types) with Evicted."""
        for turn in self._queue:
            turn.evicted = turn.evicted or kind is None or turn.kind == kind
            turn.event.set()

    def answered(self, permit: Permit, evidence: Evidence) -> None:
        """End a permit whose request got a response."""
        now = self.now()
        self._window.answered(permit, now, evidence)
        if self._queue:
            self.wake()

    def lost(self, permit: Permit) -> None:
        """End a permit whose request was sent and got no response."""
        self._window.lost(permit, self.now())
        self.wake()

    def unused(self, permit: Permit) -> None:
        """End a permit whose request was never sent."""
        self._window.unused(permit)
        self.wake()

    def _head(self) -> _Turn | None:
        queue = self._queue
        while queue and queue[0].gone:
            heapq.heappop(queue)
        return queue[0] if queue else None

    def wake(self) -> None:
        """Let the requests at the head of the queue ask the window again."""
        head = self._head()
        if head is None:
            return
        if head.idle:
            head = self._hand_out(head)
        if head is not None:
            head.event.set()

    def _hand_out(self, head: _Turn | None) -> _Turn | None:
        """Give permits to waiting requests while there are any. Return the new head.

        If each request woke the next one instead, only one request would be sent in each iteration
        of the event loop.
        """
        now = self.now()
        while head is not None and head.idle and not head.evicted:
            if self._window.pace(now) is not None:
                break
            decision = self._window.take(now, waiting=len(self._queue))
            if not isinstance(decision, Permit):
                break
            head.permit = decision
            head.gone = True
            head.event.set()
            head = self._head()
        return head
