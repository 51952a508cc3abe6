"""The task endpoint."""

from __future__ import annotations

import asyncio

from katapult_async.errors import TaskFailed
from katapult_async.models import Task, TaskStatus
from katapult_async.models.responses import TaskResponse
from katapult_async.ratelimit import Priority
from katapult_async.transport import Operation, Session

GET = Operation("GET", "/tasks/task", TaskResponse)
_ENDS = (TaskStatus.COMPLETED, TaskStatus.FAILED)


class Tasks:
    """`client.tasks`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def get(self, task: str, *, priority: Priority = Priority.NORMAL) -> Task:
        """One task (GET /tasks/task). Raises NotFound.

        The token needs the scope `tasks` or `tasks:read`.

        priority: LOW for polling, which takes no permit that other work waits for.
        """
        query = [("task[id]", task)]
        return (await self._session.request(GET, query=query, priority=priority)).task

    async def wait(self, task: str, *, interval: float = 1.0, longest_interval: float = 10.0) -> Task:
        """Poll until the task is completed or failed, and return it.

        interval: seconds before the first look; each further one comes half as late again, at most longest_interval.
        Polling never takes a permit that other work waits for. It has no time-out of its own: use
        `anyio.fail_after`.
        """
        while True:
            await asyncio.sleep(interval)
            seen = await self.get(task, priority=Priority.LOW)
            if seen.status in _ENDS:
                return seen
            interval = min(interval * 1.5, longest_interval)


async def wait_for(session: Session, task: Task) -> Task:
    """Poll until a task that was queued has ended, and return it. Raises TaskFailed."""
    ended = task if task.status in _ENDS else await Tasks(session).wait(task.id)
    if ended.status is TaskStatus.FAILED:
        raise TaskFailed(f"the task {ended.id} has failed", task=ended)
    return ended
