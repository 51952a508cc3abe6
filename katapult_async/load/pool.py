"""Connections of a load test: they measure each request, and may ignore the rate limit.

Permits are measured in the gate, and requests on the wire below it. So the time that a request
waits for the rate limit stays apart from the time of the server.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from yarl import URL

from katapult_async.budget import Budget, SharedGate, Store, key_of
from katapult_async.errors import error_from_response
from katapult_async.models import Secret
from katapult_async.ratelimit import Evidence, GateByType, Permit, Priority, Window
from katapult_async.ratelimit.permit import Role
from katapult_async.transport import Reply, SessionPool, Timeout
from katapult_async.transport.connector import Connector
from katapult_async.transport.wire import Exchange

from .call import clock, current

_RATE_LIMITED = 429


class TimedWire:
    """Measures each request of the wire below.

    Args:
        wire: Sends the requests.
        repeats: False makes a 429 an error of its request. Otherwise the session repeats it.
    """

    def __init__(self, wire: Exchange, *, repeats: bool) -> None:
        self._wire = wire
        self._repeats = repeats

    async def close(self) -> None:
        """Close the wire below."""
        await self._wire.close()

    async def exchange(self, method: str, url: URL, body: bytes | None) -> Reply:
        """Send one request and read its whole response.

        Raises:
            TransportError: If no usable response arrived.
            RateLimitReached: After a 429, unless it is repeated.
        """
        call = current.get()
        began = clock()
        if call is not None:
            call.requests += 1
        try:
            reply = await self._wire.exchange(method, url, body)
        finally:
            if call is not None:
                call.service += clock() - began
        if reply.status == _RATE_LIMITED:
            if call is not None:
                call.rate_limited += 1
            if not self._repeats:
                raise error_from_response(
                    reply.status, reply.headers, reply.body, operation=f"{method} {url.path}"
                )
        return reply


@contextmanager
def _waiting() -> Iterator[None]:
    """Add the time of the block to the call that waits for a permit."""
    call = current.get()
    if call is None:
        yield
        return
    began, call.held = clock(), True
    try:
        yield
    finally:
        call.waited += clock() - began
        call.held = False


class TimedGate(GateByType):
    """The gate of one token, which adds each wait to the call that waits."""

    async def take(self, priority: Priority = Priority.NORMAL, kind: str = "") -> Permit:
        """Wait for a permit. See GateByType."""
        with _waiting():
            return await super().take(priority, kind)


class TimedSharedGate(SharedGate):
    """The gate of a token with a budget, which adds each wait to the call that waits."""

    def __init__(self, store: Store, *, period: float, limit: int | None, timeout: float) -> None:
        super().__init__(store, period=period, limit=limit, timeout=timeout)
        self._name = f"load test {os.getpid()} on {socket.gethostname()}"

    async def take(self, priority: Priority = Priority.NORMAL, kind: str = "") -> Permit:
        """Wait for a permit. See SharedGate."""
        with _waiting():
            return await super().take(priority, kind)


class OpenGate(GateByType):
    """A gate that is always open, for a load test that ignores the rate limit."""

    async def take(self, priority: Priority = Priority.NORMAL, kind: str = "") -> Permit:
        """Return a permit at once."""
        del priority
        return self.take_nowait(kind)

    def take_nowait(self, kind: str = "") -> Permit:
        """Return a permit at once."""
        return Permit(0.0, 0, alone=False, role=Role.PLAIN, window=None, after=0, lowest=None, kind=kind)

    def answered(self, permit: Permit, evidence: Evidence) -> None:
        """Learn nothing from a response."""

    def lost(self, permit: Permit) -> None:
        """Learn nothing from a lost response."""

    def unused(self, permit: Permit) -> None:
        """Learn nothing from a request that was not sent."""


class LoadPool(SessionPool):
    """A SessionPool that measures the calls of a load test.

    Args:
        ignore_limit: Whether to send without permits. A 429 is then an error of its request.
        allow_http: As for SessionPool.
        budget: As for SessionPool. Without effect with `ignore_limit`.
    """

    def __init__(
        self, *, ignore_limit: bool = False, allow_http: bool = False, budget: Budget | str | None = None
    ) -> None:
        super().__init__(allow_http=allow_http, budget=None if ignore_limit else budget)
        self._ignore_limit = ignore_limit

    def _new_gate(
        self, key: tuple[str, Secret], period: float, total_permitted: int | None, timeout: Timeout
    ) -> GateByType | SharedGate:
        if self._ignore_limit:
            return OpenGate(Window.start(period=period))
        if self._budget is None:
            return TimedGate(Window.start(period=period, limit=total_permitted))
        base_url, token = key
        store = self._budget.store(key_of(token.reveal(), base_url))
        return TimedSharedGate(store, period=period, limit=total_permitted, timeout=timeout.total)

    def _wire(self, connector: Connector, token: Secret, timeout: Timeout) -> Exchange:
        return TimedWire(super()._wire(connector, token, timeout), repeats=not self._ignore_limit)
