"""What a rollback has to take back: exactly what its run has changed, as far as that is known.

Reads the journal of the run that is taken back; makes the lines of the new one. Sends nothing.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from katapult_async.jobs.errors import JournalDamaged, JournalError, JournalMismatch
from katapult_async.jobs.journal.journal import Journal, NewLine, new_info
from katapult_async.jobs.journal.lock import RunLock
from katapult_async.jobs.journal.records import LineState, RunKind

from .transitions import Did, Step

_CHANGED = int(Did.ASSIGNED | Did.ATTACHED)
#: A request that was sent and never answered counts as done, where the disk was seen on no machine before: each disk is
#: read before anything is done to it.
_SENT = f"state = {LineState.SENT.value} AND (step = 'attach' OR found IN ('to_assign', 'not_ready'))"
_DONE_BY_RUN = f"(did & {_CHANGED} OR ({_SENT}))"
#: It is or may be on its machine, and whether the run has put it there is not known.
_PERHAPS = (
    f"(did & {int(Did.PERHAPS_ASSIGNED)} OR (state = {LineState.SENT.value} AND step = 'assign'))"
    f" AND NOT {_DONE_BY_RUN}"
)


class ToTakeBack(msgspec.Struct, frozen=True):
    """Lines of a run by what a rollback does with them. uncertain: left alone, because the disks may have been there
    before the run: their requests were never answered, and no preflight had seen them on no machine.
    """

    lines: int
    uncertain: int


def to_take_back(parent: Journal) -> ToTakeBack:
    """How many lines a rollback of this run would take back. Raises JournalDamaged."""
    return ToTakeBack(_count(parent, _DONE_BY_RUN), _count(parent, _PERHAPS))


def _count(parent: Journal, condition: str) -> int:
    try:
        return int(parent.connection.execute(f"SELECT count(*) FROM line WHERE {condition}").fetchone()[0])
    except sqlite3.DatabaseError as exc:
        raise JournalDamaged(f"{parent.name} cannot be read: {exc}") from exc


def lines_to_take_back(parent: Journal) -> Iterator[NewLine]:
    """The lines of the rollback's journal."""
    rows = parent.connection.execute(
        f"SELECT number, disk, virtual_machine, machine_id, note, did, step, state FROM line WHERE {_DONE_BY_RUN}"
        " ORDER BY number"
    )
    for number, disk, machine, machine_id, note, did, step, state in rows:
        attached = bool(did & Did.ATTACHED) or (step == Step.ATTACH.value and state == LineState.SENT)
        yield NewLine(
            number=number,
            disk=disk,
            virtual_machine=machine,
            machine_id=machine_id,
            note=note,
            step=(Step.DETACH if attached else Step.UNASSIGN).value,
            further=bool(did & Did.ASSIGNED) or not attached,
        )


def make_rollback(of: Path, path: Path) -> tuple[Journal, RunLock]:
    """Make the journal of a rollback in `path`, and lock it. See Run.roll_back."""
    if not of.exists():
        raise JournalError(f"{of} does not exist")
    with RunLock(of), Journal.open(of) as parent:
        before = parent.info()
        if before.kind is not RunKind.ASSIGN:
            raise JournalMismatch(f"{of} is a rollback itself. Run the manifest again instead")
        count = to_take_back(parent).lines
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
            journal = stack.enter_context(Journal.create(path, info, lines_to_take_back(parent)))
            parent.note_taken_back(path.absolute())
            stack.pop_all()
    return journal, lock
