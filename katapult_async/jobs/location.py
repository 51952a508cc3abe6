"""Find the journal of a manifest, and decide whether it is resumed.

The journal of `plan.csv` is `plan.csv.run`, in the same folder. If that run is finished, the next
one is `plan.csv.2.run`. This module creates and changes no file.
"""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from .errors import JournalExists, JournalLocked, JournalMismatch
from .journal import Journal
from .journal.lock import held_by
from .journal.records import LineStatus, RunKind
from .journal.summary import RollbackProgress, RunSummary
from .manifest import ManifestCheck

#: The first bytes of every SQLite file.
_SQLITE = b"SQLite format 3\0"


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """A journal's file.

    Attributes:
        path: The file.
        begun: Whether the file has an unfinished run, to be resumed.
        unsent: Whether the file has a run that has sent nothing. A new run replaces it.
        failed: The number of failed lines of a finished rollback. They may be tried again.
    """

    path: Path
    begun: bool = False
    unsent: bool = False
    failed: int = 0


def location_for(
    manifest: str, check: ManifestCheck, *, attach: bool = False, run: str | Path | None = None
) -> Location:
    """Return where the journal of a manifest is: its unfinished run, or a new file.

    Args:
        manifest: The path of the manifest. For standard input (`-`) or a pipe, the journal is in
            the current folder, and its name is made from the time.
        check: The check of the manifest.
        attach: Whether the run attaches disks.
        run: The journal that the user has named. It must be new, or the unfinished run of this
            manifest.

    Raises:
        JournalExists: `run` is a finished run.
        JournalMismatch: The journal is the unfinished run of another manifest, or is being rolled
            back.
        JournalDamaged: The journal is damaged.
    """
    if run is not None:
        path = Path(run)
        return _begun(path, check, attach=attach, named=True) or Location(path=path)
    if manifest == "-" or not Path(manifest).is_file():
        return Location(path=Path(time.strftime("katapult-%Y%m%d-%H%M%S.run")))
    number = 1
    while True:
        path = _numbered(manifest, number)
        if not path.exists():
            return Location(path=path)
        location = _begun(path, check, attach=attach, named=False)
        if location is not None:
            return location
        number += 1


def journal_beside(manifest: str | Path) -> Path | None:
    """Return the latest journal next to a manifest, which may be missing itself.

    Args:
        manifest: The path of the manifest.

    Returns:
        None if there is no journal, or if the path is not that of a manifest, but of a folder or a
        journal.

    Raises:
        OSError: The file cannot be read.
    """
    given = Path(manifest)
    if given.exists() and (not given.is_file() or _is_sqlite(given)):
        return None
    number, found = 1, None
    while (path := _numbered(manifest, number)).exists():
        number, found = number + 1, path
    return found


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _numbered(manifest: str | Path, number: int) -> Path:
    return Path(f"{manifest}.run" if number == 1 else f"{manifest}.{number}.run")


def location_for_rollback(of: str | Path, *, run: str | Path | None = None) -> Location:
    """Return where the journal of a run's rollback is.

    Args:
        of: The journal of the run.
        run: The file that the user has named for the rollback.

    Raises:
        JournalLocked: Another process executes the run.
        JournalExists: The run has been rolled back already.
        JournalMismatch: Another rollback of the run is unfinished, or `run` is the rollback of
            another run.
    """
    if (holder := held_by(Path(of))) is not None:
        raise JournalLocked(f"{holder} is executing the run {of}. Stop it there, then roll it back")
    path = Path(run) if run is not None else Path(f"{of}.rollback")
    if not path.exists():
        with Journal.read(of) as parent:
            other = parent.summary().rollback
        if other is not None and other.reachable:
            if other.finished:
                raise JournalExists(
                    f"{of} has been rolled back already. See: katapult-async report {other.shown_path}"
                )
            raise JournalMismatch(rollback_first(Path(of), other))
        return Location(path=path)
    with Journal.read(of) as parent, Journal.read(path) as journal:
        summary = journal.summary()
        if summary.info.kind is not RunKind.ROLLBACK or summary.info.parent != parent.info().run_id:
            raise JournalMismatch(
                f"{path} is the rollback of another run than {of}. Name another file with --run"
            )
    if not summary.sessions:
        return Location(path=path, unsent=True)
    if summary.finished and summary.ok:
        raise JournalExists(f"{of} has been rolled back already. See: katapult-async report {path}")
    return Location(
        path=path, begun=True, failed=summary.counts.get(LineStatus.FAILED, 0) if summary.finished else 0
    )


def _begun(path: Path, check: ManifestCheck, *, attach: bool, named: bool) -> Location | None:
    """Return the unfinished run of this manifest.

    None if there is no such file, or if the run beside the manifest is finished or rolled back.
    """
    if not path.exists():
        return None
    with Journal.read(path) as journal:
        summary = journal.summary()
    if summary.info.kind is RunKind.ROLLBACK:
        raise JournalMismatch(
            f"{path} is the journal of a rollback, not of a manifest. Name another file with --run"
        )
    if not summary.sessions:
        if named:
            _check_same(path, summary, check, attach=attach)
        return Location(path=path, unsent=True)
    if summary.rollback is not None and not summary.rollback.finished:
        raise JournalMismatch(rollback_first(path, summary.rollback))
    if summary.finished or summary.info.rolled_back_by is not None:
        if named:
            how = "a finished run" if summary.info.rolled_back_by is None else "a run that was rolled back"
            raise JournalExists(
                f"{path} is {how}. See: katapult-async report {path}. To run the manifest again, name another file"
            )
        return None
    _check_same(path, summary, check, attach=attach)
    return Location(path=path, begun=True)


def why_not_resumed(path: Path, rollback: RollbackProgress) -> str:
    """Return why a run that has a rollback cannot be resumed, and what to do."""
    if not rollback.finished:
        return rollback_first(path, rollback)
    return f"the run {path} was rolled back by {rollback.shown_path}. To repeat it, run its manifest again"


def rollback_first(path: Path, rollback: RollbackProgress) -> str:
    """Return why a run whose rollback is not finished cannot be executed, and what to do."""
    journal = rollback.shown_path
    if not rollback.reachable:
        return (
            f"the run {path} was rolled back, but how far is not known, because {journal} cannot be read. Put that "
            "file back, or name another file for a new run with --run"
        )
    if rollback.locked_by is not None:
        return (
            f"{rollback.locked_by} is rolling back {path} ({rollback.done:,} of {rollback.lines:,} disks). Watch it: "
            f"katapult-async status {journal} --watch"
        )
    return (
        f"the rollback of {path} is unfinished ({rollback.done:,} of {rollback.lines:,} disks). Finish it first: "
        f"katapult-async resume {journal}"
    )


def _check_same(path: Path, summary: RunSummary, check: ManifestCheck, *, attach: bool) -> None:
    info = summary.info
    if info.digest != check.digest:
        raise JournalMismatch(
            f"{path} is the unfinished run of another manifest ({info.manifest} as it was then). Resume it "
            f"(katapult-async resume {path}), or name another file with --run"
        )
    if info.attach != attach:
        was = "with" if info.attach else "without"
        raise JournalMismatch(
            f"{path} is the unfinished run of this manifest, made {was} --attach. Resume it "
            f"(katapult-async resume {path}), or name another file with --run"
        )
