"""Remember which machines accept no further task, so that a run sends them no request. Pure.

A machine that refused a task (406 task_queueing_error) gets no request until the next round. If a
task of this run was in progress on that machine, it gets only one task per round from then on.
"""

from __future__ import annotations

from katapult_async.bulk import Outcome
from katapult_async.errors import TaskQueueingError


class BusyMachines:
    """The machines of one step. Call `next_round` after waiting for tasks."""

    def __init__(self) -> None:
        self._refused: set[str] = set()
        self._took_one: set[str] = set()
        self._one_at_a_time: set[str] = set()

    def __repr__(self) -> str:
        return f"<BusyMachines refused={len(self._refused)} one_at_a_time={len(self._one_at_a_time)}>"

    def may_take(self, machine: str) -> bool:
        """Return whether the machine may accept another task in this round."""
        return machine not in self._refused and not (
            machine in self._one_at_a_time and machine in self._took_one
        )

    def note(self, machine: str, outcome: Outcome) -> None:
        """Record an outcome of a machine."""
        if isinstance(outcome.error, TaskQueueingError):
            self._refused.add(machine)
            if machine in self._took_one:
                self._one_at_a_time.add(machine)
        elif outcome.task is not None:
            self._took_one.add(machine)

    def next_round(self) -> None:
        """Begin a new round. Call it when the tasks in progress have ended or timed out."""
        self._refused.clear()
        self._took_one.clear()
