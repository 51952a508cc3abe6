"""Where the requests of a bulk run wait while its circuit breaker is open. Decides nothing: see `breaker`."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Iterator

import anyio

from katapult_async.errors import (
    APIError,
    ConnectTimeout,
    KatapultError,
    RateLimitReached,
    RequestTimeout,
    ServiceUnavailable,
)
from katapult_async.logs import package_logger

from .breaker import DEFAULT_PATIENCE, Breaker, BreakerState

log = package_logger("ratelimit")

#: Tries of one request that outages are blamed for, at most. More outages than that, each of them in one of its tries,
#: may well be its own doing.
MOST_SPARED = 20


class BreakerGate:
    """The breaker of one run, for its requests.

    Args:
        concurrency: Requests in flight at most.
        patience: Seconds of an outage after which the run gives up.
        probe: Sends a request that concerns no item; its error, None for a success. Raises only what prevents it.
        give_up: Called once with the last error when the run should end.
    """

    def __init__(
        self,
        *,
        concurrency: int,
        patience: float = DEFAULT_PATIENCE,
        probe: Callable[[], Awaitable[KatapultError | None]],
        give_up: Callable[[KatapultError], None],
    ) -> None:
        self._breaker = Breaker(concurrency=concurrency, patience=patience)
        self._probe = probe
        self._give_up = give_up
        self._rng = random.Random()  # noqa: S311 - spreads probes, keeps no secret
        self._changed = anyio.Event()
        #: Whether requests have to wait. Read before each request.
        self.open = False
        #: The number of the latest failure. Read before each request.
        self.number = 0
        #: Whether the next valid answer changes nothing. Read after each valid answer.
        self.calm = False

    def __repr__(self) -> str:
        return f"<BreakerGate {self._breaker!r}>"

    @property
    def seen(self) -> bool:
        """Whether the API has answered at all in this run."""
        return self._breaker.seen

    @property
    def patience_left(self) -> float | None:
        """Seconds until the run gives up. None unless a probe has shown that the API does not answer."""
        gives_up_at = self._breaker.gives_up_at
        return None if gives_up_at is None else max(gives_up_at - asyncio.get_running_loop().time(), 0.0)

    @property
    def failures(self) -> int:
        """Requests in a row without a valid answer."""
        return self._breaker.failures

    @property
    def proven(self) -> int:
        """The number of the latest failure after which the API has proved to be there."""
        return self._breaker.proven

    def lost(self, sent_after: int, number: int) -> bool:
        """Whether a try failed in an outage. sent_after, number: `number` when it was sent, and when it failed."""
        return self._breaker.lost(sent_after, number)

    async def wait(self) -> None:
        """Wait until requests may go. One of those who wait sends the probes meanwhile.

        Raises:
            KatapultError: No probe can be sent, because the client is closed.
        """
        clock = asyncio.get_running_loop().time
        while self.open:
            changed = self._changed
            seconds = self._breaker.ask(clock())
            if seconds == 0:
                await self._send_probe()
                continue
            with anyio.move_on_after(seconds if seconds < math.inf else None):
                await changed.wait()

    async def ask_for_verdict(self) -> None:
        """Wait until a probe has shown whether the API is there and, if it is not, until it is there again."""
        self._breaker.suspect(asyncio.get_running_loop().time())
        self._mirror()
        await self.wait()

    def answered(self, sent_after: int) -> None:
        """A request that was sent after so many failures got a valid answer."""
        self._breaker.answered(sent_after)
        self._mirror()

    def failed(self, error: KatapultError, sent_after: int) -> None:
        """A request has ended with an error. It may be a valid answer all the same."""
        if error.stops_run and not isinstance(error, APIError):
            return  # our own client is closed: that says nothing about the API
        if _is_valid(error):
            if not self.calm:
                self.answered(sent_after)
            return
        self._breaker.failed(
            asyncio.get_running_loop().time(),
            unavailable=isinstance(error, ServiceUnavailable),
            slow=isinstance(error, (RequestTimeout, ConnectTimeout, RateLimitReached)),
        )
        self._mirror()

    async def _send_probe(self) -> None:
        breaker = self._breaker
        try:
            error = await self._probe()
        except BaseException:
            breaker.abandoned()
            self._wake()
            raise
        if error is None or _is_valid(error):
            if breaker.confirmed:
                log.info("the API answers again")
            breaker.probe_answered()
        else:
            suspected = not breaker.confirmed
            breaker.probe_failed(
                asyncio.get_running_loop().time(),
                spread=self._rng.uniform(0.5, 1.0),
                unavailable=isinstance(error, ServiceUnavailable),
            )
            if suspected:
                log.warning("%d requests in a row got no answer of the API: %s", breaker.failures, error)
        self._mirror()
        self._wake()
        if error is not None and breaker.given_up:
            self._give_up(error)

    def _mirror(self) -> None:
        breaker = self._breaker
        self.open = breaker.state is not BreakerState.CLOSED
        self.number = breaker.number
        self.calm = (
            breaker.seen and not self.open and breaker.proven == breaker.number and not breaker.failures
        )

    def _wake(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()


def _is_valid(error: KatapultError) -> bool:
    """Whether the error is a valid answer of the API."""
    return (
        isinstance(error, APIError) and error.code is not None and not isinstance(error, ServiceUnavailable)
    )


class Charges:
    """What the tries of one request have used of its retry policy: `attempts`, and `seconds`.

    A try that failed in an outage is not charged, up to MOST_SPARED of them.
    """

    __slots__ = ("_breaker", "_tries")

    def __init__(self, breaker: BreakerGate | None) -> None:
        self._breaker = breaker
        # For each try: seconds, failures in the run before it was sent, and when it had failed.
        self._tries: list[tuple[float, int, int]] = []

    @property
    def attempts(self) -> int:
        return sum(1 for _ in self._charged())

    @property
    def seconds(self) -> float:
        return sum(seconds for seconds, _, _ in self._charged())

    def failed(self, seconds: float, sent_after: int) -> None:
        """A try has failed after so many seconds. sent_after: the breaker's `number` when it began."""
        self._tries.append((seconds, sent_after, self._breaker.number if self._breaker is not None else 0))

    def paused(self, seconds: float) -> None:
        """The next try begins after so many seconds."""
        before, sent_after, number = self._tries[-1]
        self._tries[-1] = (before + seconds, sent_after, number)

    async def spared(self, *, used_up: bool) -> bool:
        """Whether the latest try failed in an outage. Waits until the outage is over.

        used_up: the retry policy allows no further try. Unless the API has proved to be there since the first try failed,
        the breaker decides whether this is an outage.
        """
        breaker = self._breaker
        if breaker is None:
            return False
        _, sent_after, number = self._tries[-1]
        try:
            await breaker.wait()
            while used_up and not breaker.lost(sent_after, number):
                first = next(self._charged())[2]
                if breaker.proven >= first:
                    break
                await breaker.ask_for_verdict()
        except KatapultError:
            return True  # the client is closed, and the next try finds that out
        charged = tuple(self._charged())
        return not charged or charged[-1] is not self._tries[-1]

    def _charged(self) -> Iterator[tuple[float, int, int]]:
        spared = 0
        for one in self._tries:
            if spared < MOST_SPARED and self._breaker is not None and self._breaker.lost(one[1], one[2]):
                spared += 1
            else:
                yield one
