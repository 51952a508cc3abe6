"""The gate of a token whose budget is shared: where the requests of this process wait.

One task looks at the store for all of them: it reports how requests ended, and asks for permits for those that wait.
When the store cannot be reached, the process goes on alone with what it knew last, and comes back by itself.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import os
import socket
import uuid
from collections.abc import Callable

import anyio
import msgspec

from katapult_async.logs import package_logger, run_id
from katapult_async.ratelimit import Evicted, Evidence, GateByType, Permit, Priority, Wait, Window
from katapult_async.ratelimit.trailing import TrailingCount

from .state import DEAD, HEARTBEAT, Look, Report, State, Want
from .store import Looked, Store, StoreUnavailable

log = package_logger("budget")

#: Seconds between two looks: this many times as long as the last one took, so that looking costs at most a tenth of the
#: time, but at least and at most so many. What takes longer is spent waiting for the store.
SHARE, SPACING, MOST_SPACING = 10, 0.004, 0.05
#: Seconds between attempts to come back to a store that is gone, at first and at most.
FIRST_RETRY, LONGEST_RETRY = 0.5, 5.0


class _Turn:
    """A request that waits for `permit`."""

    __slots__ = ("key", "kind", "permit")

    def __init__(self, key: tuple[int, int], kind: str) -> None:
        self.key = key
        self.kind = kind
        self.permit: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()

    def __lt__(self, other: _Turn) -> bool:
        return self.key < other.key


class SharedGate:
    """Hands out permits of a shared budget.

    Args:
        store: The budget of the token.
        period: The length of a window in seconds.
        limit: Requests per window if they are known.
        timeout: Seconds that one request may take.
    """

    def __init__(self, store: Store, *, period: float, limit: int | None, timeout: float) -> None:
        self._store = store
        self._timeout = timeout
        self._owner = uuid.uuid4().hex[:12]
        self._name = f"process {os.getpid()} on {socket.gethostname()}"
        self._run: str | None = None
        self._queue: list[_Turn] = []
        self._arrivals = itertools.count()
        self._reports: list[Report] = []
        # Permits in flight: the numbers of their leases, or the gate of this process alone that they come from.
        self._held: dict[Permit, int | GateByType] = {}
        self._wake = anyio.Event()
        self._looker: asyncio.Task[None] | None = None
        self._closed = False
        self._state = State.start(period, limit)
        # While the store is gone.
        self._alone: GateByType | None = None
        # How far the store's clock is ahead of the event loop's.
        self._shift = 0.0
        # Requests that were sent alone and have not been told to the store; and all of the last period.
        self._strays = 0
        self._past = TrailingCount(period)
        #: Called each time a request at the head of the queue begins to wait, with the window's answer and the time.
        self.listeners: list[Callable[[Wait, float], None]] = []
        self._told: Wait | None = None

    def __repr__(self) -> str:
        alone = " alone" if self._alone is not None else ""
        return f"<SharedGate{alone} waiting={self.waiting} {self._store!r} {self.window!r}>"

    @property
    def window(self) -> Window:
        """The state machine as it was seen last, to look at."""
        return self._alone.window if self._alone is not None else self._state.window

    @property
    def waiting(self) -> int:
        """Requests of this process that wait for a permit."""
        return len(self._turns()) + (self._alone.waiting if self._alone is not None else 0)

    @property
    def in_flight(self) -> int:
        """Requests of this process in flight. Those of other processes are in `window.in_flight`, too."""
        return len(self._held)

    @property
    def limit(self) -> int | None:
        """Requests permitted per window, as far as known; the lowest where types are counted apart."""
        if self._alone is not None:
            return self._alone.limit
        limits = [window.limit for window in (self._state.window, *self._state.apart.values())]
        return min((limit for limit in limits if limit is not None), default=None)

    # -- the gate's own face ----------------------------------------------------------------------------------------

    async def take(self, priority: Priority = Priority.NORMAL, kind: str = "") -> Permit:
        """Wait for a permit. It must be given back with `answered`, `lost` or `unused`.

        Args:
            priority: Who goes first when several wait.
            kind: The type of the request.
        """
        while True:
            alone = self._alone
            try:
                if alone is not None:
                    permit = await alone.take(priority, kind)
                    self._held[permit] = alone
                    return permit
                return await self._take_shared(priority, kind)
            except Evicted:
                continue  # the store has gone, or come back

    async def _take_shared(self, priority: Priority, kind: str) -> Permit:
        turn = _Turn((priority, next(self._arrivals)), kind)
        heapq.heappush(self._queue, turn)
        run = run_id.get()
        self._run = run if run != "-" else None
        self._look_soon()
        try:
            return await turn.permit
        except BaseException:
            if turn.permit.done() and not turn.permit.cancelled() and turn.permit.exception() is None:
                self.unused(turn.permit.result())
            raise

    def take_nowait(self, kind: str = "") -> Permit | None:
        """A permit, if one can be had without waiting: never while the budget is shared."""
        if self._alone is None or (permit := self._alone.take_nowait(kind)) is None:
            return None
        self._held[permit] = self._alone
        return permit

    def answered(self, permit: Permit, evidence: Evidence) -> None:
        """A response to this permit's request arrived."""
        self._end(permit, evidence, left=True)

    def lost(self, permit: Permit) -> None:
        """The request was sent and nothing came back."""
        self._end(permit, None, left=True)

    def unused(self, permit: Permit) -> None:
        """The request never left."""
        self._end(permit, None, left=False)

    def wake(self) -> None:
        """Let the requests that wait look again."""
        self._look_soon()

    def _end(self, permit: Permit, evidence: Evidence | None, *, left: bool) -> None:
        holder = self._held.pop(permit)
        if left:
            self._past.add(asyncio.get_running_loop().time())
        if isinstance(holder, GateByType):
            _pass_on(holder, permit, evidence, left=left)
            self._strays += left
        else:
            self._reports.append(Report(holder, evidence, left))
            if self._alone is not None:
                _pass_on(self._alone, permit, evidence, left=left)
        self._look_soon()

    # -- looking ------------------------------------------------------------------------------------------------------

    def _look_soon(self) -> None:
        self._wake.set()
        if self._looker is None and not self._closed:
            self._looker = asyncio.get_running_loop().create_task(self._look_on(), name="katapult-budget")

    async def aclose(self) -> None:
        """Tell the store how the last requests ended, and let go of it."""
        self._closed = True
        self._wake.set()
        looker, self._looker = self._looker, None
        try:
            if looker is not None:
                await looker
        finally:
            await self._store.aclose()

    async def _look_on(self) -> None:
        """Look at the store whenever there is a reason, until the gate is closed and all is told."""
        retry = FIRST_RETRY
        while not self._closed or self._reports:
            if not self._turns() and not self._reports and self._alone is None:
                await self._woken()
                continue
            look = self._look()
            began = asyncio.get_running_loop().time()
            try:
                looked = await self._store.exchange(look)
            except StoreUnavailable as exc:
                self._reports = [*look.reports, *self._reports]
                if self._closed:
                    return
                self._go_alone(exc)
                with anyio.move_on_after(retry):
                    await self._until_closed()
                retry = min(2 * retry, LONGEST_RETRY)
                continue
            retry = FIRST_RETRY
            took = asyncio.get_running_loop().time() - began
            self._take_over(look, looked)
            await asyncio.sleep(min(max(SPACING, SHARE * took), MOST_SPACING))
            await self._pause(looked)

    async def _woken(self) -> None:
        await self._wake.wait()
        self._wake = anyio.Event()

    async def _until_closed(self) -> None:
        while not self._closed:
            await self._woken()

    async def _pause(self, looked: Looked) -> None:
        """Wait for a reason to look again: a request, an answer, the time that the state names, or another process."""
        wait = looked.seen.wait
        if wait is None or not self._turns():
            return
        seconds = min(max(wait.until - looked.now, 0.0), HEARTBEAT)
        with anyio.move_on_after(seconds):
            async with anyio.create_task_group() as group:
                group.start_soon(self._cancel_when_changed, group.cancel_scope)
                await self._woken()
                group.cancel_scope.cancel()

    async def _cancel_when_changed(self, scope: anyio.CancelScope) -> None:
        await self._store.changed()
        scope.cancel()

    def _turns(self) -> list[_Turn]:
        """The requests that wait, in order."""
        self._queue = sorted(turn for turn in self._queue if not turn.permit.done())
        return self._queue

    def _look(self) -> Look:
        counts: dict[tuple[str, int], int] = {}
        for turn in self._turns():
            key = (turn.kind, turn.key[0])
            counts[key] = counts.get(key, 0) + 1
        reports, self._reports = self._reports, []
        return Look(
            owner=self._owner,
            name=self._name,
            run=self._run,
            timeout=self._timeout,
            wants=tuple(Want(kind, priority, count) for (kind, priority), count in counts.items()),
            reports=tuple(reports),
            width=len(self._queue) + len(self._held),
            strays=self._strays,
            past=self._past.count(asyncio.get_running_loop().time()) + len(self._held),
        )

    def _take_over(self, look: Look, looked: Looked) -> None:
        """Take over what a look has brought."""
        now = asyncio.get_running_loop().time()
        self._state = looked.state
        self._shift = looked.now - now
        self._strays -= look.strays
        alone, self._alone = self._alone, None
        if alone is not None:
            log.info("the shared budget is there again: %r", self._store)
            alone.evict()
        for number, permit in looked.seen.permits:
            self._held[permit] = number
            turn = next((turn for turn in self._turns() if turn.kind == permit.kind), None)
            if turn is None:
                self.unused(permit)  # it was cancelled meanwhile
            else:
                turn.permit.set_result(permit)
        self._tell(looked.seen.wait, now)

    def _tell(self, wait: Wait | None, now: float) -> None:
        if wait is None or not self._turns():
            self._told = None
            return
        if (
            self._told is not None
            and self._told.reason is wait.reason
            and abs(self._told.until - wait.until) < 0.5
        ):
            return
        self._told = wait
        for listener in self.listeners:
            listener(Wait(wait.until - self._shift, wait.reason), now)

    def _go_alone(self, reason: object) -> None:
        """Go on with what was known last. Whatever others had in flight counts as used."""
        if self._alone is not None:
            return
        log.warning("the shared budget cannot be reached; this process goes on alone: %s", reason)
        state = msgspec.msgpack.decode(msgspec.msgpack.encode(self._state), type=State)
        ours = {number for number in self._held.values() if isinstance(number, int)}
        now = asyncio.get_running_loop().time() + self._shift
        for number, lease in state.leases.items():
            window = state.apart[lease.permit.kind] if lease.permit.apart else state.window
            if number not in ours and lease.taken:
                window.lost(lease.permit, now)
            elif number not in ours:
                window.unused(lease.permit)
        # Those that were busy lately are alone now, too, and send as well.
        sharers = sum(member.seen > now - DEAD for member in state.members.values())
        for window in (state.window, *state.apart.values()):
            window.sharers = max(1, sharers)
        self._alone = GateByType(state.window, apart=state.apart, shift=self._shift)
        self._alone.listeners.append(self._tell_alone)
        for turn in self._turns():
            turn.permit.set_exception(Evicted())

    def _tell_alone(self, wait: Wait, now: float) -> None:
        for listener in self.listeners:
            listener(wait, now)


def _pass_on(gate: GateByType, permit: Permit, evidence: Evidence | None, *, left: bool) -> None:
    if not left:
        gate.unused(permit)
    elif evidence is None:
        gate.lost(permit)
    else:
        gate.answered(permit, evidence)
