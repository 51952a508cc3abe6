"""Carrying out the steps of a run: all its open lines through one step, then through the next.

Works on the journal through its writer and on the platform through the client. What a session is, how it ends and how
a run is made is said in `run`.
"""

from __future__ import annotations

import sqlite3
import time
from typing import Protocol

import anyio

from katapult_async.client import Client
from katapult_async.errors import KatapultError
from katapult_async.logs import room_logger
from katapult_async.models import AttachmentState, VirtualMachineState
from katapult_async.observer import StepEvent
from katapult_async.scheduler import Items, Outcomes, Recorder

from .record import RunKind
from .recorder import StepRecorder
from .steps import STEPS, Step
from .survey import each
from .waiting import Waiting
from .writer import Writer

log = room_logger("jobs")

#: A disk is not plugged into a machine that is not running: it is attached when the machine starts (attach_on_boot).
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
#: Seconds until a machine that could take no task is asked again.
BUSY_PAUSE = 5.0
_OPEN = "step = ? AND state < 2 AND status = 'waiting'"
_BUSY = "step = ? AND state = 0 AND status = 'waiting' AND code = 'task_queueing_error'"


class Execution:
    """One session of a run. `stop` ends it gently; `refused_by` is the error that ended it, if one did."""

    def __init__(self, client: Client, writer: Writer, kind: RunKind, *, task_timeout: float) -> None:
        self.refused_by: KatapultError | None = None
        self.stopped = False
        self._client = client
        self._writer = writer
        self._kind = kind
        self._task_timeout = task_timeout
        self._began = time.time()
        self._outcomes: Outcomes | None = None
        self._scope: anyio.CancelScope | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more is to be done."""
        return self.stopped or self.refused_by is not None

    def stop(self) -> None:
        """Send nothing new; what is on the wire is waited for."""
        self.stopped = True
        if self._outcomes is not None:
            self._outcomes.stop()
        if self._scope is not None:
            self._scope.cancel()

    async def run(self) -> None:
        """All steps, as far as it gets."""
        for step in STEPS[self._kind]:
            if not self.over:
                await self._carry_out(step)

    async def _carry_out(self, step: Step) -> None:
        if step is Step.ATTACH:
            await self._look_at_machines()
        if step in (Step.ASSIGN, Step.UNASSIGN):
            await self._fan_out(step)
            return
        waiting = Waiting(self._client, self._writer, step, time_out=self._task_timeout, since=self._began)
        busy_before: int | None = None
        while not self.over:
            await self._fan_out(step)
            if self.over:
                return
            with anyio.CancelScope() as self._scope:
                await waiting.run()
                busy = await self._writer.call(lambda db: _count(db, _BUSY, step))
                if not busy:
                    return
                if busy_before is not None and busy >= busy_before:
                    await self._writer.call(lambda db: _give_up_busy(db, step))
                    return
                # A machine that was busy with one task may take the next one now. As long as that helps it goes on.
                busy_before = busy
                await anyio.sleep(BUSY_PAUSE)

    async def _fan_out(self, step: Step) -> None:
        lines = await self._writer.call(lambda db: _count(db, _OPEN, step))
        if not lines:
            return
        log.info("%s: %d lines", step, lines)
        self._client.session.observers.on_step(StepEvent(step=step.value, lines=lines))
        recorder = StepRecorder(self._writer, self._kind, step)
        outcomes = _fan_out_of(self._client, step)(recorder, recorder=recorder)
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

    async def _look_at_machines(self) -> None:
        """Two requests a machine: is it running, and which disks are attached to it already?"""
        client, writer = self._client, self._writer

        async def examine(name: str) -> None:
            try:
                machine = await client.virtual_machines.get(name)
                state = machine.state if isinstance(machine.state, VirtualMachineState) else None
                if state in NOT_RUNNING:
                    await writer.call(lambda db: _settle_not_running(db, name, str(state)))
                    return
                attached = [
                    entry.disk.id
                    async for entry in client.virtual_machines.disks(name)
                    if entry.state is AttachmentState.ATTACHED
                ]
            except KatapultError as error:
                if error.stops_run:
                    raise
                log.info("%s: %s", name, error, request_id=error.request_id)
                return  # attaching will say what is the matter, disk by disk
            await writer.call(lambda db: _settle_attached(db, name, attached))

        names = await writer.call(
            lambda db: [
                row[0]
                for row in db.execute(
                    "SELECT DISTINCT virtual_machine FROM line WHERE step = 'attach' AND state = 0"
                )
            ]
        )
        with anyio.CancelScope() as self._scope:
            await each(names, examine)
        self._scope = None


class _FanOut(Protocol):
    def __call__(self, items: Items, /, *, recorder: Recorder | None = None) -> Outcomes: ...


def _fan_out_of(client: Client, step: Step) -> _FanOut:
    disks = client.disks
    steps: dict[Step, _FanOut] = {
        Step.ASSIGN: disks.assign_each,
        Step.ATTACH: disks.attach_each,
        Step.DETACH: disks.detach_each,
        Step.UNASSIGN: disks.unassign_each,
    }
    return steps[step]


def _count(db: sqlite3.Connection, condition: str, step: Step) -> int:
    return int(db.execute(f"SELECT count(*) FROM line WHERE {condition}", (step.value,)).fetchone()[0])


def _give_up_busy(db: sqlite3.Connection, step: Step) -> None:
    db.execute(
        f"UPDATE line SET state = 3, status = 'failed', finished_at = ? WHERE {_BUSY}",
        (time.time(), step.value),
    )


def _settle_not_running(db: sqlite3.Connection, machine: str, state: str) -> None:
    db.execute(
        "UPDATE line SET state = 3, status = CASE WHEN did & 1 THEN 'assigned' ELSE 'already_assigned' END,"
        " detail = ?, finished_at = ? WHERE virtual_machine = ? AND step = 'attach' AND state = 0",
        (f"the virtual machine is {state}: the disk is attached when it starts", time.time(), machine),
    )


def _settle_attached(db: sqlite3.Connection, machine: str, attached: list[str]) -> None:
    there = set(attached)
    lines = db.execute(
        "SELECT number, disk FROM line WHERE virtual_machine = ? AND step = 'attach' AND state = 0",
        (machine,),
    ).fetchall()
    db.execute("BEGIN IMMEDIATE")
    db.executemany(
        "UPDATE line SET state = 3, status = 'attached', finished_at = ? WHERE number = ?",
        [(time.time(), number) for number, disk in lines if disk in there],
    )
    db.execute("COMMIT")
