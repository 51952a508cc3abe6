"""Start bulk runs in memory with the client's settings, and return their reports.

A bulk run keeps nothing on disk. A durable run, with a journal, is `katapult_async.jobs.Run`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable

from katapult_async.bulk import (
    Action,
    BulkError,
    BulkReport,
    ItemT,
    ItemWork,
    Outcome,
    Outcomes,
    Recorder,
    ResultT,
    check_items,
)
from katapult_async.logs import package_logger
from katapult_async.models import Task
from katapult_async.ratelimit.breaker import DEFAULT_PATIENCE
from katapult_async.transport import Session

from .tasks import wait_for

log = package_logger("resources")

#: Seconds to wait for one task with `wait=True`.
TASK_TIMEOUT = 600.0


class BulkRuns:
    """Starts the bulk runs of one client. They are in memory only.

    Args:
        session: Sends the requests.
        concurrency: The most requests in flight.
        per_virtual_machine: The most requests in flight for one machine.
        patience: Seconds that a run waits for an API that does not respond.
    """

    def __init__(
        self,
        session: Session,
        *,
        concurrency: int,
        per_virtual_machine: int,
        patience: float = DEFAULT_PATIENCE,
    ) -> None:
        self.session = session
        self._concurrency = concurrency
        self._per_virtual_machine = per_virtual_machine
        self._patience = patience

    def each(
        self,
        action: Action[ItemT, ResultT],
        items: Iterable[object] | AsyncIterable[object],
        *,
        recorder: Recorder[ItemT, ResultT] | None = None,
        wait: bool = False,
        task_timeout: float = TASK_TIMEOUT,
    ) -> Outcomes[ItemT, ResultT]:
        """Start a run as a stream of outcomes. See `Client.bulk_each`."""
        check_items(items, example=action.example)
        return Outcomes(
            action,
            items,
            self.session,
            concurrency=self._concurrency,
            per_virtual_machine=self._per_virtual_machine,
            recorder=recorder,
            patience=self._patience,
            task_timeout=task_timeout if wait else None,
        )

    async def many(
        self,
        action: Action[ItemT, ResultT],
        items: Iterable[object] | AsyncIterable[object],
        *,
        wait: bool = False,
        task_timeout: float = TASK_TIMEOUT,
    ) -> BulkReport[ItemT, ResultT]:
        """Complete a run and return its report. See `Client.bulk`."""
        return await drain(self.each(action, items, wait=wait, task_timeout=task_timeout))

    async def one(self, action: Action[ItemT, ResultT], item: ItemT) -> Outcome[ItemT, ResultT]:
        """Work on one item. Raise its error unless it is done."""
        outcome = await ItemWork(action, self.session, item).run()
        if not outcome.ok:
            assert outcome.error is not None  # noqa: S101 - only an interrupted item has none
            raise outcome.error
        return outcome

    async def task(self, action: Action[ItemT, ResultT], item: ItemT, *, wait: bool) -> Task | None:
        """Work on one item and return its task. None if the task is not known.

        With `wait`, return the task after it has ended.
        """
        task = (await self.one(action, item)).task
        return task if task is None or not wait else await wait_for(self.session, task)


async def drain(run: Outcomes[ItemT, ResultT]) -> BulkReport[ItemT, ResultT]:
    """Complete a run and return its report.

    If the input fails, the BulkError has the report. If the call is cancelled, the CancelledError
    has it.
    """
    failure: Exception | None = None
    run.only_count = True
    try:
        async with run as outcomes:
            try:
                async for _ in outcomes:
                    pass
            except Exception as error:  # noqa: BLE001 - raised below, when the report is complete
                failure = error
    except asyncio.CancelledError as cancelled:
        log.warning("cancelled: %s", run.report)
        cancelled.report = run.report  # type: ignore[attr-defined]
        raise
    if failure is not None:
        items = "1 item" if run.pulled == 1 else f"{run.pulled} items"
        because = f"the input failed after {items}: {failure}"
        raise BulkError(run.report, because) from failure
    return run.report
