"""One gate for all request types, and further gates for types that the server counts separately.

Most servers have a single counter. Then this module only passes calls on. It does not decide when a
type has its own counter: `request_types` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from katapult_async.logs import package_logger

from .evidence import Evidence
from .gate import Evicted, Gate, Priority
from .permit import Permit, Wait
from .window import Window

log = package_logger("ratelimit")


class GateByType:
    """The gate of one token.

    Args:
        window: The state machine of all types that share a counter.
        apart: The state machines of the types with a counter of their own, by type.
        shift: Seconds by which the clock of the windows is ahead of the event loop's clock.
    """

    def __init__(
        self, window: Window, *, apart: Mapping[str, Window] | None = None, shift: float = 0.0
    ) -> None:
        self._shift = shift
        self._common = Gate(window, shift=shift)
        self._apart = {kind: self._gate(own) for kind, own in (apart or {}).items()}

    def _gate(self, window: Window) -> Gate:
        gate = Gate(window, shift=self._shift)
        gate.listeners = self._common.listeners
        return gate

    def __repr__(self) -> str:
        return f"<GateByType {self._common!r} apart={sorted(self._apart)}>"

    @property
    def window(self) -> Window:
        """The state machine of all types that share a counter."""
        return self._common.window

    @property
    def listeners(self) -> list[Callable[[Wait, float], None]]:
        """Called with the wait and the time when the head of a queue starts to wait."""
        return self._common.listeners

    @property
    def waiting(self) -> int:
        """Number of requests that wait for a permit."""
        return sum(gate.waiting for gate in self._all())

    @property
    def limit(self) -> int | None:
        """Requests permitted per window, the lowest of all types; None while unknown."""
        limits = [gate.limit for gate in self._all()]
        return min((limit for limit in limits if limit is not None), default=None)

    def _all(self) -> list[Gate]:
        return [self._common, *self._apart.values()]

    async def take(self, priority: Priority = Priority.NORMAL, kind: str = "") -> Permit:
        """Wait for a permit. The caller ends it with `answered`, `lost` or `unused`.

        Args:
            priority: Which request goes first when several wait.
            kind: The type of the request.

        Raises:
            Evicted: If `evict` was called meanwhile.
        """
        if kind not in self._apart:
            try:
                return await self._common.take(priority, kind)
            except Evicted:
                if kind not in self._apart:
                    raise
        permit = await self._apart[kind].take(priority, kind)
        permit.apart = True
        return permit

    def take_nowait(self, kind: str = "") -> Permit | None:
        """Return a permit if there is one without waiting or overtaking another request."""
        if not self._apart or kind not in self._apart:
            return self._common.take_nowait(kind)
        permit = self._apart[kind].take_nowait(kind)
        if permit is not None:
            permit.apart = True
        return permit

    def answered(self, permit: Permit, evidence: Evidence) -> None:
        """End a permit whose request got a response."""
        if permit.apart:
            self._apart[permit.kind].answered(permit, evidence)
        elif evidence.refused and self._common.window.counts_apart(permit):
            self._split(permit, evidence)
        else:
            self._common.answered(permit, evidence)

    def lost(self, permit: Permit) -> None:
        """End a permit whose request was sent and got no response."""
        self._of(permit).lost(permit)

    def unused(self, permit: Permit) -> None:
        """End a permit whose request was never sent."""
        self._of(permit).unused(permit)

    def end(self, permit: Permit, evidence: Evidence | None, *, left: bool) -> None:
        """End a permit in the way that its request ended.

        Args:
            permit: The permit.
            evidence: What the response said; None if there was no response.
            left: Whether the request was sent.
        """
        if not left:
            self.unused(permit)
        elif evidence is None:
            self.lost(permit)
        else:
            self.answered(permit, evidence)

    def wake(self) -> None:
        """Let the requests at the heads of the queues ask their windows again."""
        for gate in self._all():
            gate.wake()

    def evict(self) -> None:
        """End the wait of all requests with Evicted."""
        for gate in self._all():
            gate.evict()

    def _of(self, permit: Permit) -> Gate:
        return self._apart[permit.kind] if permit.apart else self._common

    def _split(self, permit: Permit, evidence: Evidence) -> None:
        """Give this type a window of its own from now on. The window starts with this 429."""
        self._common.window.unused(permit)
        if permit.kind not in self._apart:
            window = Window.start(period=self._common.window.period, limit=evidence.total_permitted)
            now = self._common.now()
            first = window.take(now)
            if isinstance(first, Permit):
                window.answered(first, now, evidence)
            log.info("the server counts requests of type %s separately", permit.kind)
            self._apart[permit.kind] = self._gate(window)
        self._common.evict(permit.kind)
