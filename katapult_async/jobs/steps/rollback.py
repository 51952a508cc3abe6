"""Create the journal of a rollback from the journal of its run.

A rollback reverts exactly the changes that the run certainly made. This module sends no requests.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from katapult_async.jobs.errors import JournalDamaged, JournalError, JournalMismatch
from katapult_async.jobs.journal import Journal, NewLine, new_info
from katapult_async.jobs.journal.lock import RunLock
from katapult_async.jobs.journal.queries_run import changed_lines, count_changed, perhaps_changed
from katapult_async.jobs.journal.records import Changes, RunKind, Step


class RollbackScope(msgspec.Struct, frozen=True):
    """How many lines of a run a rollback reverts, and how many it leaves alone.

    Attributes:
        lines: Lines that the rollback reverts.
        uncertain_lines: The numbers of the lines that it leaves alone, because their disks may have
            been on their machines before the run. Their requests got no response, and no preflight
            showed those disks on no machine.
    """

    lines: int
    uncertain_lines: tuple[int, ...]

    @property
    def uncertain(self) -> int:
        """How many lines it leaves alone."""
        return len(self.uncertain_lines)


def rollback_scope(parent: Journal) -> RollbackScope:
    """Return how many lines a rollback of this run would revert. Raises JournalDamaged."""
    try:
        return RollbackScope(parent.query(count_changed), tuple(parent.query(perhaps_changed)))
    except sqlite3.DatabaseError as exc:
        raise JournalDamaged(f"{parent.name} cannot be read: {exc}") from exc


def _new_lines(parent: Journal) -> Iterator[NewLine]:
    for line in parent.query(changed_lines):
        yield NewLine(
            number=line.number,
            disk=line.disk,
            virtual_machine=line.virtual_machine,
            machine_id=line.machine_id,
            note=line.note,
            step=(Step.DETACH if line.is_attached else Step.UNASSIGN).value,
            second_step=bool(line.changes & Changes.ASSIGNED) or not line.is_attached,
        )


def make_rollback(of: Path, path: Path) -> tuple[Journal, RunLock]:
    """Create the journal of a rollback in `path`, and lock it. See Run.roll_back."""
    if not of.exists():
        raise JournalError(f"{of} does not exist")
    with RunLock(of), Journal.open(of) as parent:
        before = parent.info()
        if before.kind is RunKind.ACTION:
            raise JournalMismatch(
                f"{of} is a run of {before.action}, which cannot be rolled back: the state before it was not recorded"
            )
        if before.kind is not RunKind.ASSIGN:
            raise JournalMismatch(f"{of} is a rollback itself. Run the manifest again instead")
        count = rollback_scope(parent).lines
        if not count:
            raise JournalMismatch(
                f"there is nothing to roll back: the run {of} has changed nothing, as far as its journal shows"
            )
        info = new_info(
            RunKind.ROLLBACK,
            before.manifest,
            before.digest,
            count,
            parent=before.run_id,
            base_url=before.base_url,
            organization=before.organization,
            confirmed_at=time.time(),
        )
        with contextlib.ExitStack() as stack:
            lock = stack.enter_context(RunLock(path))
            journal = stack.enter_context(Journal.create(path, info, _new_lines(parent)))
            parent.note_rolled_back(path.absolute())
            stack.pop_all()
    return journal, lock
