"""Wait for the tasks that a run has queued, in one loop at low priority.

Polling never takes a permit that other work waits for. The first poll of a task comes after the
usual duration of the run's tasks. Later polls are less and less frequent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Generic

import anyio
import msgspec

from katapult_async.errors import KatapultError, NotFound, TaskFailed, TaskTimeout
from katapult_async.models import Task, TaskStatus
from katapult_async.models.responses import TaskResponse
from katapult_async.ratelimit import Priority
from katapult_async.transport import Operation, RunStopped, Session

from .item import ItemT, ResultT
from .item_work import ItemWork
from .outcome import Outcome, OutcomeStatus

GET_TASK = Operation("GET", "/tasks/task", TaskResponse)
#: Seconds before the first poll of a task, and the longest pause between two polls.
FIRST_POLL, LONGEST_PAUSE = 1.0, 10.0
#: The most tasks that a run waits for. Workers queue no more tasks until one has ended.
MOST_TASKS = 1024
#: The most polls in flight.
MOST_POLLS = 8


class _Awaited(msgspec.Struct, Generic[ItemT, ResultT], eq=False):
    """An item whose task has not ended. Times are seconds of the event loop's clock."""

    work: ItemWork[ItemT, ResultT]
    outcome: Outcome[ItemT, ResultT]
    task: Task
    since: float
    poll_at: float
    pause: float


class TaskWait(Generic[ItemT, ResultT]):
    """The items of a run whose tasks have not ended.

    Args:
        session: Sends the polls.
        timeout: Seconds to wait for one task. After that its item is unknown.
        ended: Called with each item and its outcome when its task has ended.
    """

    def __init__(
        self,
        session: Session,
        *,
        timeout: float,
        ended: Callable[[ItemWork[ItemT, ResultT], Outcome[ItemT, ResultT]], Awaitable[None]],
    ) -> None:
        self._session = session
        self._timeout = timeout
        self._ended = ended
        self._awaited: list[_Awaited[ItemT, ResultT]] = []
        self._changed = anyio.Event()
        self._one_ended = anyio.Event()
        self._finished = False
        self._stopped = False
        # Average duration of the run's tasks in seconds, smoothed.
        self._typical = FIRST_POLL

    def __repr__(self) -> str:
        return f"<TaskWait {len(self._awaited)} tasks>"

    async def add(self, work: ItemWork[ItemT, ResultT], outcome: Outcome[ItemT, ResultT]) -> None:
        """Add an item. Returns at once, unless MOST_TASKS tasks have not ended."""
        assert outcome.task is not None  # noqa: S101 - checked by the caller
        now = asyncio.get_running_loop().time()
        pause = min(max(self._typical, FIRST_POLL), LONGEST_PAUSE)
        self._awaited.append(_Awaited(work, outcome, outcome.task, now, now + pause, pause))
        self._wake()
        while len(self._awaited) >= MOST_TASKS and not self._stopped:
            await self._one_ended.wait()

    def finish(self) -> None:
        """End when the last task has ended. Called when no worker is left to add an item."""
        self._finished = True
        self._wake()

    def more(self) -> None:
        """Undo `finish`, because another worker has started, which may add items."""
        self._finished = False

    def stop(self) -> None:
        """Stop waiting. The items whose tasks have not ended are unknown."""
        self._stopped = True
        for awaited in self._awaited:
            awaited.work.stopping = True
        self._one_ended.set()
        self._wake()

    def left(self) -> Iterator[tuple[ItemWork[ItemT, ResultT], Outcome[ItemT, ResultT]]]:
        """Yield the items whose tasks have not ended, as unknown."""
        while self._awaited:
            awaited = self._awaited.pop()
            yield awaited.work, self._late(awaited, "the run ended early")

    async def run(self) -> None:
        """Poll until no task is left and no worker can queue another one."""
        loop = asyncio.get_running_loop()
        while True:
            if self._stopped:
                await self._give_up()
            if self._finished and not self._awaited:
                return
            self._changed = anyio.Event()
            next_poll = min((awaited.poll_at for awaited in self._awaited), default=None)
            pause = None if next_poll is None else next_poll - loop.time()
            with anyio.move_on_after(pause):
                await self._changed.wait()
            if not self._stopped:
                due = [awaited for awaited in self._awaited if awaited.poll_at <= loop.time()]
                await self._poll_all(due)

    async def _poll_all(self, due: list[_Awaited[ItemT, ResultT]]) -> None:
        """Poll these tasks, the oldest first, a few at a time."""
        if not due:
            return
        queue = iter(sorted(due, key=lambda awaited: awaited.since))

        async def poll_next() -> None:
            for awaited in queue:
                if self._stopped:
                    return
                await self._poll(awaited)

        async with anyio.create_task_group() as group:
            for _ in range(min(MOST_POLLS, len(due))):
                group.start_soon(poll_next)

    async def _poll(self, awaited: _Awaited[ItemT, ResultT]) -> None:
        query = [("task[id]", awaited.task.id)]
        now = asyncio.get_running_loop().time
        try:
            answer = await self._session.request(
                GET_TASK, query=query, priority=Priority.LOW, meter=awaited.work
            )
            awaited.task = answer.task
        except RunStopped:
            return
        except KatapultError as error:
            if error.stops_run or isinstance(error, NotFound):
                await self._end(awaited, _with(awaited, OutcomeStatus.UNKNOWN, error))
                return
        if awaited.task.status is TaskStatus.COMPLETED:
            self._typical = (3 * self._typical + now() - awaited.since) / 4
            await self._end(awaited, _with(awaited, awaited.outcome.status, None))
        elif awaited.task.status is TaskStatus.FAILED:
            failure = TaskFailed(f"the task {awaited.task.id} has failed", task=awaited.task)
            await self._end(awaited, _with(awaited, OutcomeStatus.FAILED, failure))
        elif now() - awaited.since >= self._timeout:
            late = self._late(awaited, f"it has not ended in {self._timeout:g} s")
            await self._end(awaited, late)
        else:
            awaited.pause = min(awaited.pause * 1.5, LONGEST_PAUSE)
            awaited.poll_at = min(now() + awaited.pause, awaited.since + self._timeout)

    async def _give_up(self) -> None:
        while self._awaited:
            awaited = self._awaited[0]
            await self._end(awaited, self._late(awaited, "the run was stopped"))

    async def _end(self, awaited: _Awaited[ItemT, ResultT], outcome: Outcome[ItemT, ResultT]) -> None:
        self._awaited.remove(awaited)
        self._one_ended.set()
        self._one_ended = anyio.Event()
        await self._ended(awaited.work, outcome)

    def _late(self, awaited: _Awaited[ItemT, ResultT], why: str) -> Outcome[ItemT, ResultT]:
        late = TaskTimeout(f"the task {awaited.task.id} was queued, and its end is not known: {why}")
        return _with(awaited, OutcomeStatus.UNKNOWN, late)

    def _wake(self) -> None:
        self._changed.set()


def _with(
    awaited: _Awaited[ItemT, ResultT], status: OutcomeStatus, error: KatapultError | None
) -> Outcome[ItemT, ResultT]:
    """Return the item's outcome with the current state of its task."""
    return msgspec.structs.replace(
        awaited.outcome, status=status, task=awaited.task, error=error, finished_at=time.time()
    )
