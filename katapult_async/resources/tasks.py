"""The typed methods of the task endpoint."""

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
    """`client.tasks`: background work of the platform."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def get(self, task: str, *, priority: Priority = Priority.NORMAL) -> Task:
        """Return one task (GET /tasks/task).

        The token needs the scope `tasks` or `tasks:read`.

        Args:
            task: ID (`task_…`).
            priority: LOW for polling: it never takes a permit that other work waits for.

        Returns:
            The task.

        Raises:
            NotFound: If the task does not exist.
            ScopeNotGranted: If the token has neither scope.
        """
        query = [("task[id]", task)]
        return (await self._session.request(GET, query=query, priority=priority)).task

    async def wait(self, task: str, *, interval: float = 1.0, longest_interval: float = 10.0) -> Task:
        """Poll until a task has ended (GET /tasks/task).

        Polling never takes a permit that other work waits for. It has no time-out: use
        `anyio.fail_after`.

        Args:
            task: ID (`task_…`).
            interval: Seconds before the first request. Each later pause is half as long again.
            longest_interval: The longest pause in seconds.

        Returns:
            The completed or failed task.

        Raises:
            NotFound: If the task does not exist.
        """
        while True:
            await asyncio.sleep(interval)
            seen = await self.get(task, priority=Priority.LOW)
            if seen.status in _ENDS:
                return seen
            interval = min(interval * 1.5, longest_interval)


async def wait_for(session: Session, task: Task) -> Task:
    """Poll until a queued task has ended, and return it. Raises TaskFailed."""
    ended = task if task.status in _ENDS else await Tasks(session).wait(task.id)
    if ended.status is TaskStatus.FAILED:
        raise TaskFailed(f"the task {ended.id} has failed", task=ended)
    return ended
