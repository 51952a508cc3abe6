"""Execute the steps of a run in one session: first one step for all open lines, then the next step.

`transitions` decides what follows the step of a line. `run` creates a run and opens its journal.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from typing import Any, Protocol

import anyio

from katapult_async.budget import SharedGate
from katapult_async.bulk import Outcome, Outcomes, OutcomeStatus, Recorder
from katapult_async.client import Client
from katapult_async.errors import KatapultError, NoAnswer
from katapult_async.jobs.journal.group_commit import Writer
from katapult_async.jobs.journal.queries_lines import (
    count_busy,
    count_open,
    machines_to_attach_to,
    record_listed,
    record_not_running,
)
from katapult_async.jobs.journal.records import RunInfo, RunKind, Step
from katapult_async.jobs.journal.session import SessionRecorder
from katapult_async.jobs.preflight.snapshot import each
from katapult_async.logs import package_logger
from katapult_async.models import AttachmentState, VirtualMachineState
from katapult_async.observer import Observer, OutcomeEvent, StepEvent
from katapult_async.resources.actions import action_named
from katapult_async.words import counted

from .busy_machines import BusyMachines
from .recorder import ActionRecorder, StepRecorder
from .tasks import TaskWait
from .transitions import BUSY, STEPS

log = package_logger("jobs")

#: A disk of a machine that is not running is attached when the machine starts (attach_on_boot).
NOT_RUNNING = frozenset(
    (
        VirtualMachineState.STOPPED,
        VirtualMachineState.STOPPING,
        VirtualMachineState.SHUTTING_DOWN,
        VirtualMachineState.FAILED,
        VirtualMachineState.ALLOCATED,
        VirtualMachineState.ORPHANED,
    )
)
#: Seconds until the run tries busy machines again: the first pause, and the longest one.
BUSY_PAUSE, LONGEST_BUSY_PAUSE = 2.0, 30.0
#: The most passes of a rollback through its steps. A later pass detaches disks that another client
#: attached after the run.
MOST_PASSES = 3


def held_back(limit: int | None) -> str:
    """Return the reason of a session that sent only its first lines."""
    return f"only the first {counted(limit or 0, 'line')} should be sent"


class FirstLines:
    """Admits a limited number of lines to a session. An admitted line may run all its steps.

    Args:
        limit: The number of lines. None for all.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self._admitted: set[int] = set()
        #: Whether a line was not admitted. A later session executes it.
        self.held_back = False

    def admits(self, number: int) -> bool:
        """Return whether this line may be executed now."""
        if self.limit is None or number in self._admitted:
            return True
        if len(self._admitted) >= self.limit:
            self.held_back = True
            return False
        self._admitted.add(number)
        return True


class _Failures(Observer):
    """Counts lines that failed or are unknown, and stops the session when there are too many.

    The recorder reports outcomes of requests. Observer events report the ends of tasks.
    """

    def __init__(self, most: int, stop: Callable[[], None]) -> None:
        self.count = 0
        self.most = most
        self._stop = stop

    @property
    def too_many(self) -> bool:
        return self.count > self.most

    def count_outcome(self, outcome: Outcome[Any, Any]) -> None:
        self._count(outcome.status.value)

    def on_outcome(self, event: OutcomeEvent) -> None:
        if event.action == "wait":
            self._count(event.status)

    def _count(self, status: str) -> None:
        self.count += status in (OutcomeStatus.FAILED.value, OutcomeStatus.UNKNOWN.value)
        if self.too_many:
            self._stop()


class StepRunner:
    """Executes the steps of a run in one session.

    `refused_by` is the error that ended the session, or None.

    Args:
        client: Sends the requests.
        writer: Writes to the journal of the run.
        info: The run. Its kind determines the steps.
        task_timeout: Seconds that a task may take.
        limit_lines: The most lines to send. None for all.
        max_failures: The session stops when more lines than this have failed or are unknown. None
            for no limit.
    """

    def __init__(
        self,
        client: Client,
        writer: Writer,
        info: RunInfo,
        *,
        task_timeout: float,
        limit_lines: int | None = None,
        max_failures: int | None = None,
    ) -> None:
        self.refused_by: KatapultError | None = None
        self.stopped = False
        self._failures = _Failures(max_failures, self.stop) if max_failures is not None else None
        self._lines = FirstLines(limit_lines)
        self._client = client
        self._writer = writer
        self._run_id, self._kind, self._action = info.run_id, info.kind, info.action
        self._task_timeout = task_timeout
        self._began = time.time()
        self._outcomes: Outcomes[Any, Any] | None = None
        self._scope: anyio.CancelScope | None = None

    @property
    def over(self) -> bool:
        """Whether the session has to end."""
        return self.stopped or self.refused_by is not None

    @property
    def patience_left(self) -> float | None:
        """Seconds until the run gives up on an API that does not respond. None if it responds."""
        return self._outcomes.patience_left if self._outcomes is not None else None

    def stop(self) -> None:
        """Send no new requests. `run` returns after the requests in flight."""
        self.stopped = True
        if self._outcomes is not None:
            self._outcomes.stop()
        if self._scope is not None:
            self._scope.cancel()

    async def run(self) -> None:
        """Execute the steps until the run is done or the session stops. Record the session."""
        recorder, gate = SessionRecorder(self._writer, self._run_id), self._client.session.gate
        budget = gate.watchers.place if isinstance(gate, SharedGate) else None
        await recorder.begin(gate.window.period, budget)
        error: BaseException | None = None
        try:
            with contextlib.ExitStack() as stack:
                for observer in filter(None, (recorder, self._failures)):
                    stack.enter_context(self._client.session.watching(observer))
                await self._run()
        except BaseException as exc:
            error = exc
            if not isinstance(exc, KatapultError) or not exc.stops_run:
                raise
            self.refused_by = exc
        finally:
            ended, reason = self._ending(error)
            log.info("the session has ended: %s", ended)
            recorder.end(ended, reason)

    def _ending(self, error: BaseException | None) -> tuple[str, str | None]:
        """Return `ended` and `reason` of RunSession."""
        if self.refused_by is not None:
            ended = "no_answer" if isinstance(self.refused_by, NoAnswer) else "refused"
            return ended, self.refused_by.message
        if self._failures is not None and self._failures.too_many:
            return "stopped_early", f"more than {counted(self._failures.most, 'line')} failed"
        if error is not None:
            if isinstance(error, Exception):
                return "failed", str(error) or None
            return "interrupted", None  # cancelled: the text is anyio's or asyncio's own
        if self.stopped:
            return "interrupted", None
        if self._lines.held_back:
            return "stopped_early", held_back(self._lines.limit)
        return "finished", None

    async def _run(self) -> None:
        first, *_ = steps = STEPS[self._kind]
        for _ in range(MOST_PASSES):
            for step in steps:
                if not self.over:
                    await self._carry_out(step)
            # A rollback that finds a disk attached sends its line back to the first step, detach.
            if self._kind is not RunKind.ROLLBACK or self.over:
                return
            if not await self._writer.call(count_open, first):
                return

    async def _carry_out(self, step: Step) -> None:
        if step is Step.ATTACH:
            await self._read_machines()
        if step in (Step.ASSIGN, Step.UNASSIGN, Step.ACTION):
            await self._fan_out(step)
        else:
            await self._queue_tasks(step)

    async def _queue_tasks(self, step: Step) -> None:
        """Attach or detach in rounds: send what the machines accept, then wait for the tasks.

        Ends when no line waits for a busy machine. Also ends if no line was accepted for
        `task_timeout` seconds. A resumed run then tries the rest.
        """
        task_wait = TaskWait(self._client, self._writer, step, time_out=self._task_timeout, since=self._began)
        machines = BusyMachines()
        fewest, since, pause = math.inf, time.monotonic(), BUSY_PAUSE
        while not self.over:
            await self._fan_out(step, machines)
            if self.over:
                return
            with anyio.CancelScope() as self._scope:
                waited = await task_wait.run()
                busy = await self._writer.call(count_busy, step, BUSY)
                now = time.monotonic()
                if busy < fewest:
                    fewest, since, pause = busy, now, BUSY_PAUSE
                if not busy or now - since >= self._task_timeout:
                    return
                if not waited:
                    await anyio.sleep(pause)
                    pause = min(pause * 1.5, LONGEST_BUSY_PAUSE)
                machines.next_round()

    async def _fan_out(self, step: Step, machines: BusyMachines | None = None) -> None:
        lines = await self._writer.call(count_open, step)
        if not lines:
            return
        name = self._action or step.value
        log.info("%s: %d lines", name, lines)
        self._client.session.observers.on_step(StepEvent(step=name, lines=lines))
        recorder, outcomes = self._outcomes_of(step, machines)
        outcomes.only_count = True  # the journal has them
        try:
            async with outcomes:
                self._outcomes = outcomes
                if self.stopped:
                    outcomes.stop()
                async for _ in outcomes:
                    pass
        finally:
            self._outcomes = None
            recorder.close()
        self.refused_by = outcomes.report.stopped_by

    def _outcomes_of(
        self, step: Step, machines: BusyMachines | None
    ) -> tuple[StepRecorder, Outcomes[Any, Any]]:
        on_outcome = self._failures.count_outcome if self._failures is not None else None
        if self._action is None:
            recorder = StepRecorder(
                self._writer, self._kind, step, machines, admits=self._lines.admits, on_outcome=on_outcome
            )
            return recorder, _fan_out_of(self._client, step)(recorder, recorder=recorder)
        items = ActionRecorder(self._writer, admits=self._lines.admits, on_outcome=on_outcome)
        items.action = action = action_named(self._action, items.sent_at)
        return items, self._client.bulk_each(
            action, items, recorder=items, wait=True, task_timeout=self._task_timeout
        )

    async def _read_machines(self) -> None:
        """Read each machine and its disks before attaching: two requests for each machine.

        A disk that its machine does not list is read singly before the attach request, because the
        API attaches a disk on whatever machine it is.
        """
        client, writer = self._client, self._writer

        async def examine(name: str) -> None:
            try:
                machine = await client.virtual_machines.get(name)
                state = machine.state if isinstance(machine.state, VirtualMachineState) else None
                states: dict[str, object] = {}
                if state not in NOT_RUNNING:
                    states = {
                        entry.disk.id: entry.state async for entry in client.virtual_machines.disks(name)
                    }
            except KatapultError as error:
                if error.stops_run:
                    raise
                log.info("%s: %s", name, error, request_id=error.request_id)
                return  # the attach request of each disk shows the reason
            if state in NOT_RUNNING:
                detail = f"the virtual machine is {state}: the disk is attached when it starts"
                await writer.call(record_not_running, name, detail, time.time())
            else:
                attached = [disk for disk, state in states.items() if state is AttachmentState.ATTACHED]
                await writer.call(record_listed, name, list(states), attached, time.time())

        names = await writer.call(machines_to_attach_to)
        with anyio.CancelScope() as self._scope:
            if self.over:
                return
            await each(names, examine)
        self._scope = None


class _FanOut(Protocol):
    def __call__(self, items: Any, /, *, recorder: Recorder | None = None) -> Outcomes: ...


def _fan_out_of(client: Client, step: Step) -> _FanOut:
    disks = client.disks
    steps: dict[Step, _FanOut] = {
        Step.ASSIGN: disks.assign_each,
        Step.ATTACH: disks.attach_each,
        Step.DETACH: disks.detach_each,
        Step.UNASSIGN: disks.unassign_each,
    }
    return steps[step]
