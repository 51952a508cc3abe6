"""What a request waits for before it is sent: a closed breaker, the session's limit, and a permit.

The session comes here only when there is no permit at once. Closing it ends all waits.
"""

from __future__ import annotations

from functools import partial

import anyio
import anyio.lowlevel

from katapult_async.budget import SharedGate
from katapult_async.ratelimit import BreakerGate, Ceiling, GateByType, Permit, Priority

from .meter import Meter, RunStopped, may_send
from .wire import client_is_closed


class Waits:
    """The requests of one session that wait.

    Args:
        gate: Gives out the permits of the token.
        ceiling: The session's own limit of requests per second; None for none.
    """

    def __init__(self, gate: GateByType | SharedGate, ceiling: Ceiling | None) -> None:
        self._gate = gate
        self._ceiling = ceiling
        self._closed = False
        self._scopes: set[anyio.CancelScope] = set()

    @property
    def closed(self) -> bool:
        """Whether the session is closed."""
        return self._closed

    def close(self) -> None:
        """End all waits with the error of a closed client."""
        self._closed = True
        for scope in self._scopes:
            scope.cancel()

    async def permit(
        self, operation: str, priority: Priority, meter: Meter | None, breaker: BreakerGate | None
    ) -> Permit:
        """Wait for a permit.

        Args:
            operation: The type of the request.
            priority: Which request goes first when several wait.
            meter: Says when the request must not be sent any more.
            breaker: The circuit breaker of the run.

        Raises:
            ConnectError: If the session is closed.
            RunStopped: If the run was stopped, so that nothing of it may be sent.
        """
        scope = anyio.CancelScope()
        self._scopes.add(scope)
        try:
            with scope:
                return await self._permit(operation, priority, meter, breaker)
            raise client_is_closed(operation)
        finally:
            self._scopes.discard(scope)

    async def _permit(
        self, operation: str, priority: Priority, meter: Meter | None, breaker: BreakerGate | None
    ) -> Permit:
        while True:
            if self._closed:
                raise client_is_closed(operation)
            if meter is not None and meter.stopping:
                raise RunStopped("not sent: the run was stopped", operation=operation)
            if breaker is not None and breaker.open:
                await breaker.wait()
                continue
            if self._ceiling is None:
                permit = await self._take(operation, priority)
            else:
                at_once = partial(self._gate.take_nowait, operation)
                later = partial(self._take, operation, priority)
                permit = await self._ceiling.take(at_once, later, priority)
            if not self.closed and may_send(meter, breaker):
                return permit
            self._gate.unused(permit)

    async def _take(self, operation: str, priority: Priority) -> Permit:
        # A ceiling lets one request at a time wait here. With a shared budget, a permit that was
        # taken in advance saves each of them a look at the store.
        permit = self._gate.take_nowait(operation) if self._ceiling is not None else None
        if permit is None:
            permit = await self._gate.take(priority, operation)
        try:
            # A request whose run was stopped while it waited must not be sent.
            await anyio.lowlevel.checkpoint_if_cancelled()
        except BaseException:
            self._gate.unused(permit)
            raise
        return permit
