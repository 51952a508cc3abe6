"""Wait for the tasks that attach and detach disks.

One request shows all disks of a machine, so a machine with several tasks is polled instead of each
task. Polls have low priority: they never take a permit that other work waits for. They become less
and less frequent.

A line whose task fails is failed. A line whose task does not end in time is unknown, and a resumed
run polls its task again.
"""

from __future__ import annotations

import time

import anyio

from katapult_async.client import Client
from katapult_async.errors import AssignmentConflict, KatapultError, NotFound, ObjectInTrash
from katapult_async.jobs.journal.group_commit import Writer
from katapult_async.jobs.journal.queries_lines import (
    LineWithTask,
    count_tasks,
    lines_with_tasks,
    machines_with_tasks,
)
from katapult_async.jobs.journal.records import LineStatus, Step
from katapult_async.jobs.preflight.snapshot import each
from katapult_async.logs import package_logger
from katapult_async.models import AttachmentState, TaskStatus
from katapult_async.observer import OutcomeEvent, StepEvent
from katapult_async.ratelimit import Priority
from katapult_async.resources.disks import is_on

from .recorder import record_outcome
from .transitions import Transition, reached

log = package_logger("jobs")

#: Seconds before the first poll, and the longest pause between two rounds of polls.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 10.0


class TaskWait:
    """Waits for all tasks of one step.

    Args:
        client: Sends the polls.
        writer: Writes to the journal of the run.
        step: The step.
        time_out: Seconds for each task, from the moment when it was queued. If an earlier session
            queued it, from the start of this session.
        since: When the session began, in Unix seconds.
    """

    def __init__(self, client: Client, writer: Writer, step: Step, *, time_out: float, since: float) -> None:
        self._client = client
        self._writer = writer
        self._step = step
        self._time_out = time_out
        self._since = since
        self._rounds = 0
        if step is Step.ATTACH:
            self._wanted, self._before = AttachmentState.ATTACHED, AttachmentState.DETACHED
        else:
            self._wanted, self._before = AttachmentState.DETACHED, AttachmentState.ATTACHED

    async def run(self) -> int:
        """Wait until no line has a task that runs.

        Returns:
            The number of lines that had a task at the start.

        Raises:
            KatapultError: The API refuses the whole run, for example its token.
        """
        lines = await self._writer.call(count_tasks, self._step)
        if lines:
            self._client.session.observers.on_step(StepEvent(step="wait", lines=lines))
        pause = FIRST_PAUSE
        while machines := await self._writer.call(machines_with_tasks, self._step):
            log.debug("waiting for tasks on %d machines", len(machines))
            await anyio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
            await each(machines, self._poll_machine)
            self._rounds += 1
        return lines

    async def _poll_machine(self, machine: str) -> None:
        lines = await self._writer.call(lines_with_tasks, self._step, machine)
        try:
            several = len(lines) > 1 or lines[0].task is None
            states = await self._states(machine) if several else None
        except KatapultError as error:
            self._consider(machine, error)
            for line in lines:
                await self._conclude(line, None)
            return
        for line in lines:
            try:
                transition = await self._poll(line, states)
            except KatapultError as error:
                self._consider(line.disk, error)
                transition = None
            await self._conclude(line, transition)

    async def _states(self, machine: str) -> dict[str, object]:
        """Return the attachment states of a machine's disks. Empty if there is no such machine."""
        try:
            listed = self._client.virtual_machines.disks(machine, priority=Priority.LOW)
            return {entry.disk.id: entry.state async for entry in listed}
        except (NotFound, ObjectInTrash):
            return {}

    def _consider(self, name: str, error: KatapultError) -> None:
        """Raise an error that ends the run. Log any other: the next round polls again."""
        if error.stops_run:
            raise error
        log.info("%s: %s", name, error, request_id=error.request_id)

    async def _poll(self, line: LineWithTask, states: dict[str, object] | None) -> Transition | None:
        """Return the new state of a line. None if its task has not ended.

        Args:
            line: The line.
            states: The attachment states of its machine's disks. None if they were not read.
        """
        if states is not None:
            state = states.get(line.disk)
            if state is self._wanted:
                return self._reached(line)
            if state in (AttachmentState.ATTACHING, AttachmentState.DETACHING):
                return None
            if state is None or line.task is None:
                return await self._read_disk(line)
            if state is self._before and self._rounds % 3 != 2:
                return None  # the task has probably not begun: every third round polls the task itself
        if line.task is None:
            return await self._read_disk(line)
        try:
            task = await self._client.tasks.get(line.task, priority=Priority.LOW)
        except NotFound:
            return await self._read_disk(line)  # the API deletes old tasks
        if task.status is TaskStatus.COMPLETED:
            return self._reached(line)
        return Transition.task_failed(self._step, line.task) if task.status is TaskStatus.FAILED else None

    async def _read_disk(self, line: LineWithTask) -> Transition | None:
        try:
            disk = await self._client.disks.get(line.disk)
        except (NotFound, ObjectInTrash) as gone:
            return Transition.gone(
                self._step, gone.code or "disk_not_found", "the disk is gone", task=line.task
            )
        bond = disk.virtual_machine_disk
        if not bond:
            if self._step is Step.DETACH:
                return self._reached(line)
            return Transition.gone(
                self._step, AssignmentConflict.code, "the disk is on no machine any more", task=line.task
            )
        if not is_on(disk, line.virtual_machine):
            return Transition.moved(self._step, bond.virtual_machine.id, task=line.task)
        if bond.state in (AttachmentState.ATTACHING, AttachmentState.DETACHING):
            return None
        if bond.state is self._wanted:
            return self._reached(line)
        return Transition.task_failed(self._step, line.task)

    def _reached(self, line: LineWithTask) -> Transition:
        return reached(self._step, second_step=line.second_step)

    async def _conclude(self, line: LineWithTask, transition: Transition | None) -> None:
        now = time.time()
        if transition is None:
            if now < max(line.queued_at, self._since) + self._time_out:
                return
            transition = Transition.task_timed_out(self._step, line.task, self._time_out)
        at = line.queued_at if transition.status is LineStatus.UNKNOWN else now
        await record_outcome(self._writer, line.number, transition, at, line.attempts)
        observers = self._client.session.observers
        if observers.hears_outcomes:
            observers.on_outcome(_event(line, transition, now))


def _event(line: LineWithTask, transition: Transition, now: float) -> OutcomeEvent:
    failed = transition.status in (LineStatus.FAILED, LineStatus.UNKNOWN)
    return OutcomeEvent(
        action="wait",
        disk=line.disk,
        virtual_machine=line.virtual_machine,
        # The line of a detached disk may still wait for its next step. Its task has ended.
        status=transition.status.value if transition.status is not LineStatus.WAITING else "detached",
        ok=not failed,
        code=transition.code,
        started_at=line.queued_at,
        finished_at=now,
    )
