"""Start calls when they are due, and record how they end. Knows nothing of hosts, tokens or files.

In an open loop each arrival is a task, and no arrival waits for another. In a closed loop each user
is a task.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from katapult_async.client import Client
from katapult_async.errors import APIError, KatapultError

from .actions import LoadAction
from .arrivals import arrival_times
from .call import Call, clock, current
from .recording import DONE, NOT_SENT, Recording
from .schedule import ClosedLoop, OpenLoop, Plan

#: The longest sleep in seconds: a stop is noticed after it.
_NAP = 0.05
#: Calls that are started without a pause when the client is behind. Then responses are read.
_BURST = 32
#: Seconds between two measurements of the event loop's delay in a closed loop.
_BEAT = 0.01


class Runner:
    """One load test in progress.

    Args:
        action: What each call does.
        plan: When calls are due.
        client: Sends the requests.
        begin: When the warm-up starts, on the clock of `call`.

    Attributes:
        recording: What was measured so far.
        stopped_by: The error that ended the test early; None if there is none.
    """

    def __init__(self, action: LoadAction, plan: Plan, client: Client, *, begin: float) -> None:
        self._action = action
        self._plan = plan
        self._client = client
        self._begin = begin
        #: When the measured time starts, and when it ends.
        self._zero = begin + plan.warm_up
        self._end = self._zero + plan.duration
        self._running: dict[asyncio.Task[None], Call] = {}
        self._ended = asyncio.Event()
        self._stopping = False
        self.recording = Recording()
        self.stopped_by: KatapultError | None = None

    @property
    def in_flight(self) -> int:
        """Number of calls in progress."""
        return len(self._running)

    @property
    def elapsed(self) -> float:
        """Measured seconds so far. Negative during the warm-up."""
        return min(clock(), self._end) - self._zero

    @property
    def overdue(self) -> float:
        """Seconds since the end of the measured time. 0 before it."""
        return max(clock() - self._end, 0.0)

    def stop(self) -> None:
        """Start no further call. Calls in progress end normally."""
        if not self._stopping:
            self._stopping = True
            self._end = min(self._end, clock())

    async def run(self, *, progress: Callable[[], None] | None = None) -> None:
        """Carry out the whole test, and wait for the calls in progress.

        Args:
            progress: Called about 20 times a second.
        """
        beat = asyncio.ensure_future(self._beat(progress))
        try:
            schedule = self._plan.schedule
            if isinstance(schedule, OpenLoop):
                await self._open_loop(schedule)
            else:
                await self._closed_loop(schedule)
            await self._let_end()
        finally:
            beat.cancel()
            for task in list(self._running):
                task.cancel()
            await asyncio.gather(beat, *self._running, return_exceptions=True)

    async def _open_loop(self, schedule: OpenLoop) -> None:
        plan = self._plan
        times = arrival_times(schedule.arrivals, warm_up=plan.warm_up, duration=plan.duration, part=plan.part)
        burst = 0
        for at in times:
            due = self._begin + at
            if (delay := due - clock()) > 0:
                burst = 0
                while delay > 0 and not self._stopping:
                    await asyncio.sleep(min(delay, _NAP))
                    delay = due - clock()
            elif (burst := burst + 1) % _BURST == 0:
                await asyncio.sleep(0)
            if len(self._running) >= schedule.max_in_flight and not self._stopping:
                if due >= self._zero:
                    self.recording.full += 1
                await self._room(schedule.max_in_flight)
            if self._stopping:
                return
            if due >= self._zero:
                self.recording.due(due - self._zero)
            self._start(Call(self._action.name, due))
        await self._sleep_until(self._end)

    async def _room(self, most: int) -> None:
        while len(self._running) >= most:
            self._ended.clear()
            await self._ended.wait()

    def _start(self, call: Call) -> None:
        task = asyncio.create_task(self._carry_out(call, measure_lag=True))
        self._running[task] = call
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        self._ended.set()

    async def _closed_loop(self, schedule: ClosedLoop) -> None:
        await self._sleep_until(self._begin)
        users = [asyncio.create_task(self._user(schedule.think)) for _ in range(schedule.in_flight)]
        try:
            await self._sleep_until(self._end)
            await self._let_end()
            await asyncio.gather(*users)
        finally:
            for user in users:
                user.cancel()
            await asyncio.gather(*users, return_exceptions=True)

    async def _user(self, think: float) -> None:
        while not self._stopping and clock() < self._end:
            call = Call(self._action.name, clock())
            if call.due >= self._zero:
                self.recording.due(call.due - self._zero)
            task = asyncio.ensure_future(self._carry_out(call, measure_lag=False))
            self._running[task] = call
            task.add_done_callback(self._forget)
            await asyncio.wait([task])
            if think:
                await self._sleep_until(clock() + think)

    async def _sleep_until(self, at: float) -> None:
        while (delay := min(at, self._end) - clock()) > 0 and not self._stopping:  # noqa: ASYNC110 - it waits for a time
            await asyncio.sleep(min(delay, _NAP))

    async def _carry_out(self, call: Call, *, measure_lag: bool) -> None:
        call.began = clock()
        current.set(call)
        measured = call.due >= self._zero
        if measured and measure_lag:
            self.recording.lag.record(call.began - call.due)
        try:
            await self._action.perform(self._client, call)
            outcome = DONE
        except asyncio.CancelledError:
            if not call.given_up:
                raise
            outcome = NOT_SENT
        except Exception as error:  # noqa: BLE001 - of any kind: it is the outcome
            outcome = outcome_of(error)
            if isinstance(error, KatapultError) and error.stops_run:
                self.stopped_by = self.stopped_by or error
                self.stop()
        end = clock()
        if measured:
            self.recording.ended(call, outcome, due=call.due - self._zero, end=end - self._zero)
        if self._zero <= end < self._end and outcome != NOT_SENT:
            self.recording.throughput(call, outcome, end=end - self._zero)

    async def _let_end(self) -> None:
        """Wait for requests in flight. Cancel calls that wait for a permit or a free disk."""
        give_up = clock() + (0.0 if self._stopping else self._plan.time_to_end)
        while self._running:
            if clock() >= give_up:
                for task, call in list(self._running.items()):
                    if call.held and not call.given_up:
                        call.given_up = True
                        task.cancel()
            self._ended.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._ended.wait(), _NAP)

    async def _beat(self, progress: Callable[[], None] | None) -> None:
        """Measure the event loop's delay in a closed loop, and report progress."""
        is_open = self._plan.is_open
        pause, reported = (_NAP if is_open else _BEAT), 0.0
        while True:
            expected = clock() + pause
            await asyncio.sleep(pause)
            now = clock()
            if not is_open and self._zero <= now < self._end:
                self.recording.lag.record(now - expected)
            if progress is not None and now - reported >= _NAP:
                reported = now
                progress()


def outcome_of(error: Exception) -> str:
    """Return the outcome for an error: the API's code, the HTTP status, or the class."""
    if isinstance(error, APIError):
        return error.code or f"http_{error.status}"
    return type(error).__name__
