"""The circuit breaker of a bulk run: decides whether the API is there, and what is sent while it is not.

A pure state machine: no clock, no randomness, no I/O. Times (seconds of the caller's monotonic clock) and the spread of
the pauses are passed in. `breaker_gate` does the waiting.

    CLOSED ── too many requests in a row without a valid answer ──► OPEN ── pause is over ──► HALF_OPEN (one probe)
       ▲                                                             ▲                            │
       │                                                             └── probe failed, longer pause ─┤
       └──────────────────────── any valid answer ─────────────────────────────────────────────┘

A valid answer is a response that decodes, or an error with a code of the API. Everything else is none: a refused
connection, a time-out, HTML, a redirect, JSON of somebody else. The API's own `503 service_unavailable` counts as no
valid answer, because an outage must cost no item whoever announces it. It still proves that the API is at this address.
"""

from __future__ import annotations

import enum

#: The first and the longest pause (seconds) before a probe. It doubles with each probe that fails.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
#: Requests in a row without a valid answer that open the breaker at the earliest. With concurrency=1 a single reset
#: connection must not end a run.
FEWEST = 4
#: The same for time-outs alone, once the API has answered: two of them may take as long as `RetryPolicy.total` allows.
FEWEST_TIME_OUTS = 2
#: Seconds of an outage after which a run gives up.
DEFAULT_PATIENCE = 300.0


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

    It opens after `max(concurrency, 4)` requests in a row without a valid answer. Once the API has answered in this
    run, fewer are enough: as many as there are items under way, and at least 4, or 2 if all of them have timed out.
    Otherwise the last items of a run would use up all their attempts before the breaker opens. Before the first valid
    answer 4 time-outs in a row are enough, because the rate window then lets only one request through at a time.

    It gives up (`given_up`) when it opens without a single valid answer in this run, and when a probe fails after it
    has been open for `patience` seconds.

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
        self._time_outs = 0
        self.state = BreakerState.CLOSED
        #: Whether the API has answered at all in this run.
        self.seen = False
        #: Requests in a row without a valid answer.
        self.failures = 0
        self.given_up = False
        #: Series of failures that a valid answer has ended, and the latest series in which the breaker has opened.
        self.series = 0
        self.opened_in = -1

    def __repr__(self) -> str:
        return f"<Breaker {self.state.name} failures={self.failures} seen={self.seen}>"

    def ask(self, now: float) -> float:
        """Seconds until a request may go. 0 while closed. When open and the pause is over, 0 once: this is the probe."""
        if self.state is BreakerState.CLOSED:
            return 0.0
        if self.state is BreakerState.HALF_OPEN:
            return float("inf")
        if now < self._next_probe:
            return self._next_probe - now
        self.state = BreakerState.HALF_OPEN
        return 0.0

    def answered(self) -> None:
        """A valid answer has arrived."""
        self.seen = True
        if self.failures:
            self.series += 1
            self.failures = self._time_outs = 0
        self.state = BreakerState.CLOSED

    def failed(
        self,
        now: float,
        *,
        under_way: int,
        spread: float,
        probe: bool = False,
        unavailable: bool = False,
        timed_out: bool = False,
    ) -> None:
        """A request has ended without a valid answer.

        Args:
            now: Seconds.
            under_way: Items that are being worked on.
            spread: Factor for the next pause, between 0 and 1.
            probe: Whether this was the probe.
            unavailable: Whether the API itself has said that it is not available.
            timed_out: Whether the request has timed out.
        """
        self.failures += 1
        self._time_outs = self._time_outs + 1 if timed_out else 0
        self.seen = self.seen or unavailable
        if self.state is BreakerState.CLOSED:
            if self._enough(under_way):
                self._open(now, spread)
        elif probe and self.state is BreakerState.HALF_OPEN:
            self.state = BreakerState.OPEN
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            self._schedule(now, spread)
            self.given_up = self.given_up or now >= self._opened + self._patience

    def abandoned(self) -> None:
        """The probe has ended without a result: it was never sent, or its item was cut short. Another one may go."""
        if self.state is BreakerState.HALF_OPEN:
            self.state = BreakerState.OPEN

    def _enough(self, under_way: int) -> bool:
        if self.seen:
            enough = min(self._threshold, under_way)
            return self.failures >= max(FEWEST, enough) or self._time_outs >= max(FEWEST_TIME_OUTS, enough)
        return self.failures >= self._threshold or self._time_outs >= FEWEST

    def _open(self, now: float, spread: float) -> None:
        self.state = BreakerState.OPEN
        self.opened_in = self.series
        self._opened = now
        self._pause = FIRST_PAUSE
        self._schedule(now, spread)
        self.given_up = self.given_up or not self.seen

    def _schedule(self, now: float, spread: float) -> None:
        # The last probe goes when patience ends, not a pause later.
        last = self._opened + self._patience
        at = now + self._pause * spread
        self._next_probe = last if now < last < at else at
