"""The circuit breaker of a bulk run: decides whether the API is there, and what is sent while it is not.

A pure state machine: no clock, no randomness, no I/O. Times (seconds of the caller's monotonic clock) and the spread of
the pauses are passed in. `breaker_gate` does the waiting.

    CLOSED ── no valid answer for too long ──► OPEN ── pause is over ──► HALF_OPEN (one probe)
       ▲                                        ▲                            │
       │                                        └── probe failed, longer pause ─┤
       └───────────────────── the probe got a valid answer ─────────────────────┘

A valid answer is a response that decodes, or an error with a code of the API. Everything else is none: a refused
connection, a time-out, HTML, a redirect, JSON of somebody else. The API's own `503 service_unavailable` counts as no
valid answer, because an outage must cost no item whoever announces it. It still proves that the API is at this address.

A probe is a request that concerns no item. An item that fails again and again, while the API answers for every other
one, must not decide whether the API is there. So opening is only a suspicion, and the first probe goes at once:

- The probe gets a valid answer: a false alarm. The breaker closes, and each failure counts as a try of its item.
- The probe fails: an outage. The failures since the last valid answer, and until the breaker closes, count as no tries.

Failures are numbered. A request remembers the number of failures so far when it is sent. Its valid answer proves that the
API was there after these failures. The answer to a request that was sent before a failure proves nothing about it.
"""

from __future__ import annotations

import enum
import math
from collections import deque

#: The pause after the first probe that failed, and the longest pause (seconds). It doubles with each failed probe.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
#: Requests in a row without a valid answer that open the breaker at the earliest.
FEWEST = 4
#: Seconds of an outage after which a run gives up.
DEFAULT_PATIENCE = 300.0
#: Outages that are remembered, for requests that were sent before one and fail after it.
REMEMBERED = 100


def check_patience(patience: object) -> None:
    """Raise TypeError or ValueError unless `patience` is a number of seconds, not negative."""
    if isinstance(patience, bool) or not isinstance(patience, (int, float)):
        raise TypeError(f"patience must be a number of seconds, not {patience!r}")
    if not patience >= 0:  # nor nan
        raise ValueError(f"patience must not be negative, not {patience!r}")


class BreakerState(enum.Enum):
    """What may be sent."""

    CLOSED = "everything"
    OPEN = "nothing before the pause is over"
    HALF_OPEN = "nothing but the probe that is under way"


class Breaker:
    """The state machine.

    It opens after `max(concurrency, 4)` requests in a row without a valid answer. Before the first valid answer of the
    run, 4 requests in a row that time out or get a 429 of somebody else are enough, because the rate window then lets
    only one request through at a time. It also opens when an item asks for a verdict (`suspect`).

    It gives up (`given_up`) when a probe fails before the first valid answer of the run, and when a probe fails after
    the breaker has been open for `patience` seconds.

    Args:
        concurrency: Requests in flight at most.
        patience: Seconds.
    """

    def __init__(self, *, concurrency: int, patience: float = DEFAULT_PATIENCE) -> None:
        check_patience(patience)
        self._threshold = max(concurrency, FEWEST)
        self._patience = patience
        self._pause = FIRST_PAUSE
        self._opened = 0.0
        self._next_probe = 0.0
        self._probe_sent_after = 0
        # Requests in a row that timed out or got a 429 of somebody else.
        self._slow = 0
        # The failures of each outage: after the first number, up to the second.
        self._outages: deque[tuple[int, float]] = deque(maxlen=REMEMBERED)
        self.state = BreakerState.CLOSED
        #: Whether a probe has failed since the breaker opened.
        self.confirmed = False
        #: Whether the API has answered at all in this run.
        self.seen = False
        #: Requests in a row without a valid answer.
        self.failures = 0
        #: The number of the latest failure, and of the latest one after which the API has proved to be there.
        self.number = self.proven = 0
        self.given_up = False

    def __repr__(self) -> str:
        return f"<Breaker {self.state.name} failures={self.failures} seen={self.seen}>"

    @property
    def gives_up_at(self) -> float | None:
        """When patience ends, in the seconds of the caller's clock. None unless a probe has failed."""
        return self._opened + self._patience if self.confirmed else None

    def ask(self, now: float) -> float:
        """Seconds until a probe may go. 0 once when the pause is over: the caller sends the probe."""
        if self.state is BreakerState.HALF_OPEN:
            return math.inf
        if now < self._next_probe:
            return self._next_probe - now
        self.state = BreakerState.HALF_OPEN
        self._probe_sent_after = self.number
        return 0.0

    def answered(self, sent_after: int) -> None:
        """A request of an item got a valid answer. sent_after: `number` when it was sent.

        This does not close the breaker: nothing of an item is sent while it is open, so the request is an older one.
        """
        self.seen = True
        self.proven = max(self.proven, sent_after)
        if self.state is BreakerState.CLOSED:
            self.failures = 0

    def failed(self, now: float, *, unavailable: bool = False, slow: bool = False) -> None:
        """A request of an item got no valid answer.

        Args:
            now: Seconds.
            unavailable: Whether the API itself has said that it is not available.
            slow: Whether the request has timed out, or got a 429 of somebody else.
        """
        self._count(unavailable=unavailable)
        self._slow = self._slow + 1 if slow else 0
        if self.state is BreakerState.CLOSED and (
            self.failures >= self._threshold or (self._slow >= FEWEST and not self.seen)
        ):
            self.suspect(now)

    def suspect(self, now: float) -> None:
        """Open, and let a probe decide."""
        if self.state is BreakerState.CLOSED:
            self.state = BreakerState.OPEN
            self._pause = FIRST_PAUSE
            self._opened = self._next_probe = now

    def probe_answered(self) -> None:
        """The probe got a valid answer."""
        self.answered(self._probe_sent_after)
        self.failures = self._slow = 0
        if self.confirmed:
            begin, _ = self._outages.pop()
            self._outages.append((begin, self.number))
        self.state, self.confirmed = BreakerState.CLOSED, False

    def probe_failed(self, now: float, *, spread: float, unavailable: bool = False) -> None:
        """The probe got no valid answer. spread: factor for the next pause, between 0 and 1."""
        self._count(unavailable=unavailable)
        if not self.confirmed:
            self.confirmed = True
            self._outages.append((self.proven, math.inf))
        self.state = BreakerState.OPEN
        # The last probe goes when patience ends, not a pause later.
        last = self._opened + self._patience
        at = now + self._pause * spread
        self._next_probe = last if now < last < at else at
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self.given_up = self.given_up or not self.seen or now >= last

    def abandoned(self) -> None:
        """The probe has ended without a result. Another one may go."""
        if self.state is BreakerState.HALF_OPEN:
            self.state = BreakerState.OPEN

    def lost(self, sent_after: int, number: int) -> bool:
        """Whether a try failed in an outage: sent when `sent_after` failures had happened, and failed as this number."""
        return any(sent_after < end and number > begin for begin, end in self._outages)

    def _count(self, *, unavailable: bool) -> None:
        self.number += 1
        self.failures += 1
        self.seen = self.seen or unavailable
