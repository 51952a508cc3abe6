"""The gate of a token whose budget is shared: where the requests of this process wait.

One task looks at the store for all requests. It reports how requests ended, and asks for permits
for waiting ones. When the store is unavailable, the process continues alone with the last known
state, and returns to the store by itself.
"""

from __future__ import annotations

import asyncio
import math
import os
import socket
import uuid
from collections.abc import Callable

import anyio

from katapult_async.logs import package_logger, run_id
from katapult_async.ratelimit import Evicted, Evidence, GateByType, Permit, Priority, Wait, Window
from katapult_async.ratelimit.trailing import TrailingCount

from .errors import BudgetError, StoreUnavailable
from .exchange import HEARTBEAT, copy_of
from .leases import DEAD, alone
from .spares import AGE, Spares
from .state import Look, Looked, Report, State
from .store import Store
from .turns import Turns
from .watchers import Watchers

log = package_logger("budget")

#: The pause between two looks, as a multiple of the last look's duration (looks then take at most
#: about a tenth of the time), and its bounds in seconds.
SHARE, SPACING, MOST_SPACING = 10, 0.004, 0.03
#: First and longest pause in seconds between attempts to reach an unavailable store.
FIRST_RETRY, LONGEST_RETRY = 0.5, 5.0
#: Seconds after which a permit is too old to use. Less than the MARGIN in the lease's deadline.
STALE = 3.0
#: Longest time in seconds that closing waits for the store.
CLOSING = 2.0


class SharedGate:
    """Hands out permits of a shared budget.

    Args:
        store: The budget of the token.
        period: The length of a window in seconds.
        limit: Requests per window. None if the limit is not known.
        timeout: Longest time of one request in seconds.
    """

    def __init__(self, store: Store, *, period: float, limit: int | None, timeout: float) -> None:
        self._store = store
        self._period = period
        self._limit = limit
        self._timeout = timeout
        self._owner = uuid.uuid4().hex[:12]
        self._name = f"process {os.getpid()} on {socket.gethostname()}"
        self._run: str | None = None
        self._turns = Turns()
        self._spares = Spares()
        self._reports: list[Report] = []
        # Permits in flight, each with its source: the number of its lease (None if the store has
        # lost the lease), or the fallback gate.
        self._held: dict[Permit, int | GateByType | None] = {}
        self._wake = anyio.Event()
        self._looker: asyncio.Task[None] | None = None
        self._closed = False
        # The last look, the last one with a result, its time, and whether it left requests waiting.
        self._looks = 0
        self._received = 0
        self._received_at = 0.0
        self._asked = False
        self._state = State.start(period, limit)
        # The fallback gate while the store is unavailable, and since when.
        self._alone: GateByType | None = None
        self._alone_since = 0.0
        # How far the store's clock is ahead of the event loop's.
        self._shift = 0.0
        # Requests sent without a permit of the store, and all requests of the last period.
        self._strays = 0
        self._past = TrailingCount(period)
        #: Called with the wait and the time when the first request of the queue starts to wait.
        self.listeners: list[Callable[[Wait, float], None]] = []
        self._reported: Wait | None = None
        self.watchers = Watchers(self._owner, str(store))

    def __repr__(self) -> str:
        how = " alone" if self._alone is not None else ""
        return f"<SharedGate{how} waiting={self.waiting} {self._store!r} {self.window!r}>"

    @property
    def window(self) -> Window:
        """The window after the last look. Callers must not change it."""
        return self._alone.window if self._alone is not None else self._state.window

    @property
    def waiting(self) -> int:
        """Requests of this process that wait for a permit."""
        own = self._alone.waiting if self._alone is not None else 0
        return len(self._turns.waiting()) + own

    @property
    def in_flight(self) -> int:
        """Requests of this process in flight. `window.in_flight` includes other processes."""
        return len(self._held) - len(self._spares)

    @property
    def limit(self) -> int | None:
        """Requests permitted per window, the lowest limit of all types. None if not known."""
        if self._alone is not None:
            return self._alone.limit
        limits = [window.limit for window in (self._state.window, *self._state.apart.values())]
        return min((limit for limit in limits if limit is not None), default=self._limit)

    def serve_also(self, *, timeout: float, limit: int | None) -> None:
        """Serve one more session of this token.

        Args:
            timeout: Longest time of one of its requests in seconds.
            limit: Requests per window. None if the session does not know it.

        Raises:
            ValueError: If the gate knows another limit.
        """
        if limit is not None:
            if self.limit is not None and self.limit != limit:
                raise ValueError(
                    f"total_permitted={limit} contradicts the {self.limit} that are known for this token"
                )
            self._limit = limit
        self._timeout = max(self._timeout, timeout)

    async def take(self, priority: Priority = Priority.NORMAL, kind: str = "") -> Permit:
        """Wait for a permit, which the caller must end with `answered`, `lost` or `unused`.

        Args:
            priority: The order of waiting requests.
            kind: The type of the request.

        Raises:
            BudgetError: If the budget cannot be used, or the gate is closed.
        """
        while not self._closed:
            try:
                if (own := self._alone) is not None:
                    permit = await own.take(priority, kind)
                    self._held[permit] = own
                else:
                    permit = await self._take_shared(priority, kind)
            except Evicted:
                continue  # the store has become unavailable, or available again
            if asyncio.get_running_loop().time() + self._shift <= permit.sent + STALE:
                return permit
            # This process was suspended, and the permit's deadline may pass during the request.
            self.unused(permit)
        raise BudgetError("the client is closed")

    async def _take_shared(self, priority: Priority, kind: str) -> Permit:
        turn = self._turns.add(priority, kind)
        self._run = None if (run := run_id.get()) == "-" else run
        self._look_soon()
        try:
            return await turn.permit
        except BaseException:
            if turn.permit.done() and not turn.permit.cancelled() and turn.permit.exception() is None:
                self.unused(turn.permit.result())
            self._look_soon()  # the request no longer waits
            raise

    def take_nowait(self, kind: str = "") -> Permit | None:
        """Return a permit if this needs no wait and overtakes no request."""
        if self._alone is None:
            self._spares.wanted(kind)
            return self._spares.take(asyncio.get_running_loop().time(), kind) if len(self._spares) else None
        if (permit := self._alone.take_nowait(kind)) is not None:
            self._held[permit] = self._alone
        return permit

    def answered(self, permit: Permit, evidence: Evidence) -> None:
        """Record that the response to this permit's request arrived."""
        self._end(permit, evidence, left=True)

    def lost(self, permit: Permit) -> None:
        """Record that the request was sent and got no response."""
        self._end(permit, None, left=True)

    def unused(self, permit: Permit) -> None:
        """Record that the request was not sent."""
        self._end(permit, None, left=False)

    def wake(self) -> None:
        """Look at the store again for the waiting requests."""
        self._look_soon()

    def _end(self, permit: Permit, evidence: Evidence | None, *, left: bool) -> None:
        holder = self._held.pop(permit)
        if left:
            self._past.add(asyncio.get_running_loop().time())
        if isinstance(holder, GateByType):
            holder.end(permit, evidence, left=left)
            self._strays += left
        elif holder is not None:
            self._reports.append(Report(holder, evidence, left))
            if self._alone is not None:
                self._alone.end(permit, evidence, left=left)
        self._look_soon()

    def _look_soon(self) -> None:
        self._wake.set()
        if (self._looker is None or self._looker.done()) and not self._closed:
            self._looker = asyncio.get_running_loop().create_task(self._look_on(), name="katapult-budget")

    async def aclose(self) -> None:
        """Report how the last requests ended, and close the store. Takes a few seconds at most."""
        self._closed = True
        self._wake.set()
        looker, self._looker = self._looker, None
        try:
            if looker is not None:
                with anyio.CancelScope(shield=True):
                    await asyncio.wait([looker], timeout=CLOSING)
        finally:
            with anyio.CancelScope(shield=True):
                if looker is not None and not looker.done():
                    looker.cancel()
                    await asyncio.wait([looker])
                self._turns.fail(BudgetError, "the client is closed")
                if self._alone is not None:
                    self._alone.evict()
                await self._store.aclose()

    async def _look_on(self) -> None:
        """Look at the store whenever there is a reason, until the gate is closed."""
        retry = FIRST_RETRY
        while not self._closed:
            if not self._turns.waiting() and not self._reports and self._alone is None and not self._asked:
                with anyio.move_on_after(AGE if self._spares.known else None) as scope:
                    await self._woken()
                self._give_back_spares(asyncio.get_running_loop().time() - AGE)
                # Otherwise requests that used them would be shown only when they have ended.
                if not scope.cancelled_caught or self._spares.known == len(self._spares):
                    continue
            began = asyncio.get_running_loop().time()
            looked = await self._look()
            if looked is None:
                with anyio.move_on_after(retry):
                    await self._until_closed()
                retry = min(2 * retry, LONGEST_RETRY)
                continue
            retry = FIRST_RETRY
            took = asyncio.get_running_loop().time() - began
            await asyncio.sleep(min(max(SPACING, SHARE * took), MOST_SPACING))
            await self._pause(looked)
        if self._looks:
            self._give_back_spares(math.inf)
            await self._look()

    def _give_back_spares(self, older_than: float) -> None:
        for permit in self._spares.give_back(older_than):
            self.unused(permit)

    async def _look(self) -> Looked | None:
        """Look once. Returns None if the store failed."""
        in_flight_alone = sum(isinstance(holder, GateByType) for holder in self._held.values())
        look = self._next_look(in_flight_alone)
        try:
            looked = await self._store.exchange(look)
        except BudgetError as error:
            self._turns.fail(BudgetError, error.message)
            return None
        except Exception as exc:  # no error of a store may leave requests waiting for ever
            if not isinstance(exc, StoreUnavailable):
                log.debug("the store failed", exc_info=exc)
            self._reports = [*look.reports, *self._reports]
            if not self._closed:
                self._go_alone(exc if isinstance(exc, StoreUnavailable) else repr(exc))
            return None
        # This look has counted these requests. They count again when they end.
        self._strays += in_flight_alone
        self._take_over(look, looked)
        return looked

    async def _woken(self) -> None:
        await self._wake.wait()
        self._wake = anyio.Event()

    async def _until_closed(self) -> None:
        while not self._closed:
            await self._woken()

    async def _pause(self, looked: Looked) -> None:
        """Wait for a request, a response, the end of the wait, or a change by another process."""
        wait = looked.seen.wait
        if wait is None or not self._turns.waiting():
            return
        until = wait.until - self._shift - asyncio.get_running_loop().time()
        with anyio.move_on_after(min(max(until, 0.0), HEARTBEAT)):
            async with anyio.create_task_group() as group:
                group.start_soon(self._cancel_when_changed, group.cancel_scope)
                await self._woken()
                group.cancel_scope.cancel()

    async def _cancel_when_changed(self, scope: anyio.CancelScope) -> None:
        await self._store.changed()
        scope.cancel()

    def _next_look(self, in_flight_alone: int) -> Look:
        now = asyncio.get_running_loop().time()
        self._give_back_spares(now - AGE)
        reports, self._reports = self._reports, []
        self._looks += 1
        wants = () if self._closed else self._turns.wants()
        since = self._alone_since if self._alone is not None else now
        self._past.count(now)  # drops older requests
        fresh = self._received > 0 and since - self._received_at < DEAD
        return Look(
            owner=self._owner,
            name=self._name,
            run=self._run,
            period=self._period,
            limit=self._state.window.limit or self._limit,
            timeout=self._timeout,
            number=self._looks,
            received=self._received,
            state=self._state.name,
            wants=wants,
            reports=tuple(reports),
            strays=self._strays + in_flight_alone,
            width=sum(want.count for want in wants) + len(self._held),
            in_flight=len(self._held),
            unused=len(self._spares),
            past=self._past,
            shift=self._shift,
            spare=(0, "") if self._closed else self._spares.order(self._state.window.limit),
            known=self._state if fresh else None,
            leaving=self._closed,
        )

    def _take_over(self, look: Look, looked: Looked) -> None:
        """Apply the result of a look."""
        now = asyncio.get_running_loop().time()
        if looked.state.name != self._state.name:
            self._give_back_spares(math.inf)
            for permit, holder in self._held.items():
                if isinstance(holder, int):
                    self._held[permit] = None
        self._received, self._received_at = look.number, now
        self._state = looked.state
        self._shift = looked.now - now
        was_alone, self._alone = self._alone, None
        if was_alone is not None:
            log.info("the shared budget is available again: %r", self._store)
            was_alone.evict()
        for number, permit in looked.seen.permits:
            self._held[permit] = number
        self._spares.known = 0 if look.leaving else looked.state.members[self._owner].spare
        left = self._turns.hand_out([permit for _, permit in looked.seen.permits])
        if look.spare[0]:
            self._spares.add(now, left)
        else:
            for permit in left:
                self.unused(permit)  # its request was cancelled during the look
        self._asked = looked.seen.wait is not None
        # Before the wait: who shows it knows then what is used.
        self.watchers.looked(looked.state, looked.now)
        self._report_wait(looked.seen.wait, now)

    def _report_wait(self, wait: Wait | None, now: float) -> None:
        if wait is None or not self._turns.waiting():
            self._reported = None
            return
        last = self._reported
        if last is not None and last.reason is wait.reason and abs(last.until - wait.until) < 0.5:
            return
        self._reported = wait
        self._call_listeners(Wait(wait.until - self._shift, wait.reason), now)

    def _go_alone(self, reason: object) -> None:
        """Continue with the last known state. Requests of others in flight count as used."""
        if self._alone is not None:
            return
        log.warning("the shared budget is unavailable; this process continues without it: %s", reason)
        self._give_back_spares(math.inf)
        self._alone_since = asyncio.get_running_loop().time()
        now = self._alone_since + self._shift
        ours = frozenset(held for held in self._held.values() if isinstance(held, int))
        state = alone(copy_of(self._state), now, self._owner, self._reports, keep=ours)
        self._alone = GateByType(state.window, apart=state.apart, shift=self._shift)
        self._alone.listeners.append(self._call_listeners)
        self._turns.fail(Evicted)
        self.watchers.gone(self._state, now)

    def _call_listeners(self, wait: Wait, now: float) -> None:
        for listener in self.listeners:
            listener(wait, now)
