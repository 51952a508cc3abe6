"""Where the requests of a bulk run wait while its circuit breaker is open.

Does the waiting, the probes and the log entries. `breaker` decides.
"""

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

#: The highest number of attempts of one request that outages can excuse. If more of its attempts
#: fall into outages, the request may itself be the cause.
MOST_EXCUSED = 20


class BreakerGate:
    """The circuit breaker of one run.

    Args:
        concurrency: Requests in flight at most.
        patience: Seconds of an outage after which the run gives up.
        probe: Sends a request that concerns no item. Returns its error, or None on success. Raises
            only if it cannot send.
        give_up: Called once, with the last error, when the run should end.
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
        #: Whether the next valid response changes nothing. Read after each valid response.
        self.calm = False

    def __repr__(self) -> str:
        return f"<BreakerGate {self._breaker!r}>"

    @property
    def seen(self) -> bool:
        """Whether the API has responded at all in this run."""
        return self._breaker.seen

    @property
    def patience_left(self) -> float | None:
        """Seconds until the run gives up. None unless a probe has failed."""
        gives_up_at = self._breaker.gives_up_at
        return None if gives_up_at is None else max(gives_up_at - asyncio.get_running_loop().time(), 0.0)

    @property
    def failures(self) -> int:
        """Failures in a row (requests without a valid response)."""
        return self._breaker.failures

    @property
    def proven(self) -> int:
        """The number of the latest failure after which the API was reachable."""
        return self._breaker.proven

    def lost(self, sent_after: int, number: int) -> bool:
        """Return whether a request failed in an outage.

        Args:
            sent_after: `number` when the request was sent.
            number: `number` of its failure.
        """
        return self._breaker.lost(sent_after, number)

    async def wait(self) -> None:
        """Wait until requests may be sent. One of the waiting requests sends the probes.

        Raises:
            KatapultError: If no probe can be sent, because the client is closed.
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
        """Let a probe find out whether the API is reachable. If it is not, wait until it is."""
        self._breaker.suspect(asyncio.get_running_loop().time())
        self._mirror()
        await self.wait()

    def answered(self, sent_after: int) -> None:
        """Note a valid response.

        Args:
            sent_after: `number` when the request was sent.
        """
        self._breaker.answered(sent_after)
        self._mirror()

    def failed(self, error: KatapultError, sent_after: int) -> None:
        """Note an error. An error with a code of the API counts as a valid response.

        Args:
            error: The error of a request.
            sent_after: `number` when the request was sent.
        """
        if error.stops_run and not isinstance(error, APIError):
            return  # the client is closed, which says nothing about the API
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
            breaker.probe_cancelled()
            self._wake()
            raise
        if error is None or _is_valid(error):
            if breaker.confirmed:
                log.info("the API responds again")
            breaker.probe_answered()
        else:
            suspected = not breaker.confirmed
            breaker.probe_failed(
                asyncio.get_running_loop().time(),
                spread=self._rng.uniform(0.5, 1.0),
                unavailable=isinstance(error, ServiceUnavailable),
            )
            if suspected:
                log.warning("%d requests in a row got no response from the API: %s", breaker.failures, error)
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
    """Return whether the error is a valid response of the API."""
    return (
        isinstance(error, APIError) and error.code is not None and not isinstance(error, ServiceUnavailable)
    )


class Charges:
    """The attempts and the time that one request has used of its retry policy.

    An attempt that failed in an outage is not charged, up to MOST_EXCUSED of them.

    Args:
        breaker: The breaker of the run; None outside a run.
    """

    __slots__ = ("_breaker", "_tries")

    def __init__(self, breaker: BreakerGate | None) -> None:
        self._breaker = breaker
        # For each attempt: seconds, failures in the run before it was sent, and the number of its
        # failure.
        self._tries: list[tuple[float, int, int]] = []

    @property
    def attempts(self) -> int:
        """Number of attempts that count."""
        return sum(1 for _ in self._charged())

    @property
    def seconds(self) -> float:
        """Seconds of the attempts that count, with the pauses after them."""
        return sum(seconds for seconds, _, _ in self._charged())

    def failed(self, seconds: float, sent_after: int) -> None:
        """Add a failed attempt.

        Args:
            seconds: How long it took.
            sent_after: The breaker's `number` when it began.
        """
        self._tries.append((seconds, sent_after, self._breaker.number if self._breaker is not None else 0))

    def paused(self, seconds: float) -> None:
        """Add the pause (seconds) before the next attempt."""
        before, sent_after, number = self._tries[-1]
        self._tries[-1] = (before + seconds, sent_after, number)

    async def excused(self, *, used_up: bool) -> bool:
        """Wait until an outage is over. Return whether the latest attempt failed in one.

        Args:
            used_up: Whether the retry policy allows no further attempt. If the API has not
                responded since the first attempt failed, the breaker then decides whether this is
                an outage.
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
            return True  # the client is closed, and the next attempt reports that
        charged = tuple(self._charged())
        return not charged or charged[-1] is not self._tries[-1]

    def _charged(self) -> Iterator[tuple[float, int, int]]:
        excused = 0
        for one in self._tries:
            if excused < MOST_EXCUSED and self._breaker is not None and self._breaker.lost(one[1], one[2]):
                excused += 1
            else:
                yield one
