"""Where the requests of a bulk run wait while its circuit breaker is open. Decides nothing: see `breaker`."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable

import anyio

from katapult_async.errors import APIError, ConnectTimeout, KatapultError, RequestTimeout, ServiceUnavailable
from katapult_async.logs import room_logger

from .breaker import DEFAULT_PATIENCE, Breaker, BreakerState

log = room_logger("ratelimit")


class BreakerGate:
    """The breaker of one run, for its requests. `sender` stands for the one who sends: it names the probe.

    Args:
        concurrency: Requests in flight at most.
        patience: Seconds of an outage after which the run gives up.
        under_way: Tells how many items are being worked on.
        give_up: Called once with the last error when the run should end.
    """

    def __init__(
        self,
        *,
        concurrency: int,
        patience: float = DEFAULT_PATIENCE,
        under_way: Callable[[], int],
        give_up: Callable[[KatapultError], None],
    ) -> None:
        self._breaker = Breaker(concurrency=concurrency, patience=patience)
        self._under_way = under_way
        self._give_up = give_up
        self._rng = random.Random()  # noqa: S311 - spreads probes, keeps no secret
        self._changed = anyio.Event()
        self._prober: object = None
        #: Whether requests have to wait. Read before each request.
        self.open = False
        #: Whether the next valid answer changes nothing. Read after each valid answer.
        self.calm = False
        #: Series of failures that a valid answer has ended.
        self.series = 0
        #: The last error that was no valid answer.
        self.last: KatapultError | None = None

    def __repr__(self) -> str:
        return f"<BreakerGate {self._breaker!r}>"

    @property
    def seen(self) -> bool:
        """Whether the API has answered at all in this run."""
        return self._breaker.seen

    @property
    def failures(self) -> int:
        """Requests in a row without a valid answer."""
        return self._breaker.failures

    @property
    def opened_in(self) -> int:
        """The latest series of failures in which the breaker has opened; -1 if it never has."""
        return self._breaker.opened_in

    async def wait(self, sender: object) -> bool:
        """Wait until a request may go. True: it is the probe."""
        clock = asyncio.get_running_loop().time
        while self.open:
            changed = self._changed
            seconds = self._breaker.ask(clock())
            if seconds == 0:
                self._prober = sender
                return True
            with anyio.move_on_after(seconds if seconds < math.inf else None):
                await changed.wait()
        return False

    def is_probe(self, sender: object) -> bool:
        """Whether this sender's request is the probe."""
        return sender is self._prober

    def answered(self) -> None:
        """A valid answer has arrived."""
        if self.open:
            log.info("the API answers again")
        self._breaker.answered()
        self.series = self._breaker.series
        self.calm = True
        self._prober = None
        if self.open:
            self.open = False
            self._wake()

    def failed(self, sender: object, error: KatapultError) -> None:
        """A request has ended with an error. It may be a valid answer all the same."""
        if error.stops_run and not isinstance(error, APIError):
            self.abandoned(sender)  # our own client is closed: that says nothing about the API
            return
        unavailable = isinstance(error, ServiceUnavailable)
        if isinstance(error, APIError) and error.code is not None and not unavailable:
            if not self.calm:
                self.answered()
            return
        breaker = self._breaker
        probe = self.is_probe(sender)
        self.calm = False
        self.last = error
        breaker.failed(
            asyncio.get_running_loop().time(),
            under_way=self._under_way(),
            spread=self._rng.uniform(0.5, 1.0),
            probe=probe,
            unavailable=unavailable,
            timed_out=isinstance(error, (RequestTimeout, ConnectTimeout)),
        )
        if probe:
            self._prober = None
        if breaker.state is not BreakerState.CLOSED:
            if not self.open:
                self.open = True
                log.warning("%d requests in a row got no answer of the API: %s", breaker.failures, error)
            if probe:
                self._wake()
        if breaker.given_up:
            self._give_up(error)

    def abandoned(self, sender: object) -> None:
        """The request of this sender has ended without a result. If it was the probe, another one may go."""
        if self.is_probe(sender):
            self._prober = None
            self._breaker.abandoned()
            self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()


class Charges:
    """What the tries of one request have used of its retry policy: `attempts`, and `seconds`.

    A try that failed while nobody answered is not charged: one that overlapped an opening of the breaker, a failed
    probe, and the failures just before an opening, because they belong to the same outage.
    """

    __slots__ = ("_breaker", "_doubtful", "_doubtful_seconds", "_series", "attempts", "seconds")

    def __init__(self, breaker: BreakerGate | None) -> None:
        self._breaker = breaker
        self.attempts = 0
        self.seconds = 0.0
        # Tries charged in this series of failures. They are taken off again if the breaker opens in it.
        self._series = -1
        self._doubtful = 0
        self._doubtful_seconds = 0.0

    def failed(self, seconds: float, began_in: int) -> None:
        """A try has failed after so many seconds. began_in: the breaker's `series` when it began."""
        breaker = self._breaker
        if breaker is not None:
            if self._series >= 0 and breaker.opened_in >= self._series:
                self.attempts -= self._doubtful
                self.seconds -= self._doubtful_seconds
                self._series = -1
            if breaker.opened_in >= began_in:
                return
            if breaker.series != self._series:
                self._series, self._doubtful, self._doubtful_seconds = breaker.series, 0, 0.0
            self._doubtful += 1
            self._doubtful_seconds += seconds
        self.attempts += 1
        self.seconds += seconds

    def paused(self, seconds: float) -> None:
        """The next try begins after so many seconds."""
        self.seconds += seconds
        self._doubtful_seconds += seconds
