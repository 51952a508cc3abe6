"""List the journals in a folder. A journal that cannot be read is listed with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from katapult_async.jobs.errors import JournalError
from katapult_async.jobs.journal import Journal
from katapult_async.jobs.journal.file import SIDE_FILES
from katapult_async.jobs.journal.lock import lock_path
from katapult_async.jobs.journal.records import LineStatus
from katapult_async.jobs.journal.schema import APPLICATION_ID
from katapult_async.safe_text import for_terminal

from .documents import ListedRun, iso

#: The endings of names of journals. Such a file is listed even if its content is damaged.
_NAMES = (".run", ".rollback")
#: Where SQLite keeps a file's application ID, and how long it is (bytes).
_ID_AT, _ID_LENGTH = 68, 4


def listed_runs(folder: Path) -> list[tuple[ListedRun, float | None]]:
    """Return the runs of a folder, the oldest first.

    Each comes with the time when it was last active, in Unix seconds. None if it was never
    executed, or cannot be read.

    Args:
        folder: The folder. Its subfolders are not searched.

    Raises:
        OSError: The folder cannot be read.
    """
    found = [_listed(path) for path in journals_in(folder)]
    return sorted(found, key=lambda entry: (entry[0].created_at or "", entry[0].journal))


def journals_in(folder: Path) -> Iterator[Path]:
    """Yield the files that are journals by name or by content. Raises OSError."""
    for path in sorted(folder.iterdir()):
        if path.name.endswith((*SIDE_FILES, ".lock")) or path.name.startswith("."):
            continue
        if path.is_file() and (path.name.endswith(_NAMES) or _is_journal(path)):
            yield path


def _is_journal(path: Path) -> bool:
    if lock_path(path).exists():
        # A process executes this run. If it is this process, closing the file here would release
        # SQLite's locks.
        return True
    try:
        with path.open("rb") as file:
            header = file.read(_ID_AT + _ID_LENGTH)
    except OSError:
        return False
    return header[_ID_AT:] == APPLICATION_ID.to_bytes(_ID_LENGTH, "big")


def _listed(path: Path) -> tuple[ListedRun, float | None]:
    name = for_terminal(path.name)
    try:
        with Journal.read(path) as journal, journal.snapshot():
            summary = journal.summary()
    except (JournalError, OSError) as exc:
        return ListedRun(journal=name, problem=for_terminal(str(exc))), None
    active_at = summary.sessions[-1].active_until if summary.sessions else None
    run = ListedRun(
        journal=name,
        run_id=summary.info.run_id,
        kind=summary.info.kind,
        state=summary.state,
        manifest=summary.info.manifest,
        created_at=iso(summary.info.created_at),
        active_at=iso(active_at),
        lines=summary.info.lines,
        done=sum(number for status, number in summary.counts.items() if status.ok),
        failed=summary.counts.get(LineStatus.FAILED, 0),
        unknown=summary.counts.get(LineStatus.UNKNOWN, 0),
        waiting=summary.counts.get(LineStatus.WAITING, 0),
        rollback_running=summary.rollback is not None and summary.rollback.locked_by is not None,
    )
    return run, active_at
