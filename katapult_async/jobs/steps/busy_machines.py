"""Which machines take no further task at the moment, so that no request is wasted on asking them.

A machine that has refused a task (406 task_queueing_error) is left alone until the next round. One
that has refused it while a task of this run was under way there takes one at a time: from then on
it gets one in each round. Pure.
"""

from __future__ import annotations

from katapult_async.bulk import Outcome
from katapult_async.errors import TaskQueueingError


class BusyMachines:
    """What the machines of one step have said. `next_round` when tasks have been waited for."""

    def __init__(self) -> None:
        self._refused: set[str] = set()
        self._took_one: set[str] = set()
        self._one_at_a_time: set[str] = set()

    def __repr__(self) -> str:
        return f"<BusyMachines refused={len(self._refused)} one_at_a_time={len(self._one_at_a_time)}>"

    def may_take(self, machine: str) -> bool:
        """Whether asking it for one more task in this round may help."""
        return machine not in self._refused and not (
            machine in self._one_at_a_time and machine in self._took_one
        )

    def note(self, machine: str, outcome: Outcome) -> None:
        """What came of asking."""
        if isinstance(outcome.error, TaskQueueingError):
            self._refused.add(machine)
            if machine in self._took_one:
                self._one_at_a_time.add(machine)
        elif outcome.task is not None:
            self._took_one.add(machine)

    def next_round(self) -> None:
        """The tasks that were under way have ended, as far as can be known."""
        self._refused.clear()
        self._took_one.clear()
