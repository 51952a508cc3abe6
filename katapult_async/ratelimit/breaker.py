"""The circuit breaker of a bulk run: whether the API is reachable, and what to send meanwhile.

A pure state machine: it has no clock, no randomness and no I/O. The caller passes in times (seconds
of its monotonic clock) and the random factor of the pauses. `breaker_gate` does the waiting.

    CLOSED ── no valid response for too long ─► OPEN ── pause is over ────► HALF_OPEN (one probe)
       ▲                                         ▲                              │
       │                                         └─ probe failed, longer pause ─┤
       └──────────────────── the probe got a valid response ────────────────────┘

A valid response is a response that decodes, or an error with a code of the API. Everything else
counts as a failure: a refused connection, a time-out, HTML, a redirect, JSON in another format. The
API's own `503 service_unavailable` counts as a failure, too, because an outage must cost no item
no matter who announces it. It still proves that the API is at this address.

A probe is a request that concerns no item. One item that fails again and again, while the API
responds for all others, must not decide whether the API is reachable. So opening is only a
suspicion, and the first probe is sent at once:

- The probe gets a valid response: a false alarm. The breaker closes, and each failure counts as an
  attempt of its item.
- The probe fails: an outage. Failures since the last valid response, and until the breaker closes,
  count as no attempts.

Failures are numbered. A request remembers the number of failures so far when it is sent. A valid
response proves that the API was reachable after these failures. The response to a request sent
before a failure proves nothing about that failure.
"""

from __future__ import annotations

import enum
import math
from collections import deque

#: The pause (seconds) after the first failed probe, and the longest pause. It doubles with each
#: failed probe.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
#: The smallest number of failures in a row that opens the breaker.
FEWEST = 4
#: Seconds of an outage after which a run gives up.
DEFAULT_PATIENCE = 300.0
#: Number of outages in memory, for requests that were sent before an outage and fail after it.
REMEMBERED = 100


def check_patience(patience: object) -> None:
    """Raise TypeError or ValueError unless `patience` is a number of seconds, not negative."""
    if isinstance(patience, bool) or not isinstance(patience, (int, float)):
        raise TypeError(f"patience must be a number of seconds, not {patience!r}")
    if not patience >= 0:  # also refuses NaN
        raise ValueError(f"patience must not be negative, not {patience!r}")


class BreakerState(enum.Enum):
    """What may be sent."""

    CLOSED = "everything"
    OPEN = "nothing before the pause is over"
    HALF_OPEN = "nothing but the probe in flight"


class Breaker:
    """The state machine.

    It opens after `max(concurrency, 4)` failures in a row. Before the first valid response of the
    run, 4 time-outs or foreign 429s in a row are enough, because the rate window then lets only one
    request through at a time. It also opens when a caller asks for a verdict (`suspect`).

    It gives up (`given_up`) in two cases: a probe fails before the first valid response of the run,
    or a probe fails after the breaker has been open for `patience` seconds.

    Args:
        concurrency: Requests in flight at most.
        patience: Seconds of an outage after which the run gives up.

    Raises:
        TypeError: If `patience` is not a number.
        ValueError: If `patience` is negative.
    """

    def __init__(self, *, concurrency: int, patience: float = DEFAULT_PATIENCE) -> None:
        check_patience(patience)
        self._threshold = max(concurrency, FEWEST)
        self._patience = patience
        self._pause = FIRST_PAUSE
        self._opened = 0.0
        self._next_probe = 0.0
        self._probe_sent_after = 0
        # Time-outs and foreign 429s in a row.
        self._slow = 0
        # For each outage, the failures that belong to it: after the first number, up to the second.
        self._outages: deque[tuple[int, float]] = deque(maxlen=REMEMBERED)
        self.state = BreakerState.CLOSED
        #: Whether a probe has failed since the breaker opened.
        self.confirmed = False
        #: Whether the API has responded at all in this run.
        self.seen = False
        #: Failures in a row.
        self.failures = 0
        #: The number of the latest failure, and of the latest failure after which the API was
        #: reachable.
        self.number = self.proven = 0
        self.given_up = False

    def __repr__(self) -> str:
        return f"<Breaker {self.state.name} failures={self.failures} seen={self.seen}>"

    @property
    def gives_up_at(self) -> float | None:
        """When patience ends, in seconds of the caller's clock. None unless a probe has failed."""
        return self._opened + self._patience if self.confirmed else None

    def ask(self, now: float) -> float:
        """Return the seconds until a probe may be sent.

        A return value of 0 means that the caller must send the probe now. The breaker is then
        HALF_OPEN.
        """
        if self.state is BreakerState.HALF_OPEN:
            return math.inf
        if now < self._next_probe:
            return self._next_probe - now
        self.state = BreakerState.HALF_OPEN
        self._probe_sent_after = self.number
        return 0.0

    def answered(self, sent_after: int) -> None:
        """Note a valid response to a request of an item.

        It does not close the breaker: no item is sent while the breaker is open, so the request was
        sent earlier.

        Args:
            sent_after: `number` when the request was sent.
        """
        self.seen = True
        self.proven = max(self.proven, sent_after)
        if self.state is BreakerState.CLOSED:
            self.failures = 0

    def failed(self, now: float, *, unavailable: bool = False, slow: bool = False) -> None:
        """Note a failure: a request of an item got no valid response.

        Args:
            now: Time, in seconds.
            unavailable: Whether the API itself has said that it is unavailable.
            slow: Whether the request timed out, or got a 429 that is not the API's.
        """
        self._count(unavailable=unavailable)
        self._slow = self._slow + 1 if slow else 0
        if self.state is BreakerState.CLOSED and (
            self.failures >= self._threshold or (self._slow >= FEWEST and not self.seen)
        ):
            self.suspect(now)

    def suspect(self, now: float) -> None:
        """Open, so that a probe decides."""
        if self.state is BreakerState.CLOSED:
            self.state = BreakerState.OPEN
            self._pause = FIRST_PAUSE
            self._opened = self._next_probe = now

    def probe_answered(self) -> None:
        """Close: the probe got a valid response."""
        self.answered(self._probe_sent_after)
        self.failures = self._slow = 0
        if self.confirmed:
            begin, _ = self._outages.pop()
            self._outages.append((begin, self.number))
        self.state, self.confirmed = BreakerState.CLOSED, False

    def probe_failed(self, now: float, *, spread: float, unavailable: bool = False) -> None:
        """Stay open: the probe failed.

        Args:
            now: Time, in seconds.
            spread: Factor for the next pause, between 0 and 1.
            unavailable: Whether the API itself has said that it is unavailable.
        """
        self._count(unavailable=unavailable)
        if not self.confirmed:
            self.confirmed = True
            self._outages.append((self.proven, math.inf))
        self.state = BreakerState.OPEN
        # The last probe is sent when patience ends, not a pause later.
        last = self._opened + self._patience
        at = now + self._pause * spread
        self._next_probe = last if now < last < at else at
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self.given_up = self.given_up or not self.seen or now >= last

    def probe_cancelled(self) -> None:
        """Allow another probe: the last one ended without a result."""
        if self.state is BreakerState.HALF_OPEN:
            self.state = BreakerState.OPEN

    def lost(self, sent_after: int, number: int) -> bool:
        """Return whether a request failed in an outage.

        Args:
            sent_after: `number` when the request was sent.
            number: `number` of its failure.
        """
        return any(sent_after < end and number > begin for begin, end in self._outages)

    def _count(self, *, unavailable: bool) -> None:
        self.number += 1
        self.failures += 1
        self.seen = self.seen or unavailable
