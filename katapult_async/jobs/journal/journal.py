"""Create and open the journal of a run: one SQLite file.

A damaged file, or a file of an unknown version, is refused and never changed. While a run is
executed, `group_commit` writes to its journal.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import time
import uuid
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Concatenate, ParamSpec, TypeVar

import msgspec

from katapult_async.jobs.errors import (
    JournalDamaged,
    JournalError,
    JournalExists,
    JournalRecordsLost,
    JournalWriteError,
)

from . import queries_run as queries
from .file import (
    cannot_write,
    check_file,
    check_free,
    check_version,
    connect,
    is_open_here,
    note_open,
    publish,
    reading_mode,
    reason_of,
    side_file,
    state_of,
    sync,
    translate,
)
from .integrity import check_content, check_ending
from .lock import held_by
from .new_run import NewLine
from .queries_integrity import Tally
from .reading import JournalReader
from .records import RunInfo
from .schema import VERSION, migrate
from .statements import pragma
from .summary import RollbackProgress, RunSummary
from .writing_mark import begin_writing, close, close_as_killed

P = ParamSpec("P")
T = TypeVar("T")

#: How often to read a journal that seems damaged while another process opens or closes it, and the
#: seconds between two attempts.
_ATTEMPTS, _ATTEMPT_PAUSE = 5, 0.05


class Journal(JournalReader):
    """An open journal."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path | None,
        *,
        copy: TemporaryDirectory[str] | None = None,
        writing: bool = False,
    ) -> None:
        super().__init__(connection, path)
        self._writing = writing
        # Also closes a journal that is garbage-collected. If SQLite alone closed it, the file would
        # look as if its latest records were lost.
        self._finalizer = weakref.finalize(
            self,
            close,
            connection,
            path if writing else None,
            path if copy is None else None,
            copy,
            os.getpid(),
        )
        if path is not None and copy is None:
            note_open(path, more=1)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Changes that were not committed are lost."""
        self._finalizer()

    def summary(self) -> RunSummary:
        """Return the progress of the run, and of its rollback, if there is one."""
        summary = super().summary()
        if self._writing:
            # The owner of this object has the lock. It reads the summary between executions, so the
            # run is not running.
            summary = msgspec.structs.replace(summary, locked_by=None)
        if summary.info.rolled_back_by is None:
            return summary
        return msgspec.structs.replace(summary, rollback=self._rollback(summary.info.rolled_back_by))

    def _rollback(self, path: str) -> RollbackProgress:
        """Return the progress of the rollback in that journal.

        If the path does not exist, look in the folder of this journal: both files may have been
        moved.
        """
        beside = self.path.with_name(Path(path).name) if self.path is not None else Path(path)
        place = Path(path) if Path(path).exists() else beside
        try:
            with Journal.read(place) as journal:
                summary = journal.summary()
        except JournalError:
            return RollbackProgress(path=path, reachable=False)
        return RollbackProgress(
            path=str(place),
            lines=summary.info.lines,
            done=sum(count for status, count in summary.counts.items() if status.ok),
            finished=summary.finished,
            locked_by=summary.locked_by,
        )

    # -- creating and opening ----------------------------------------------------------------------

    @classmethod
    def create(cls, path: Path, info: RunInfo, lines: Iterable[NewLine]) -> Journal:
        """Create a new journal. After an error the file does not exist.

        Args:
            path: The new file.
            info: The run.
            lines: The lines of the run. An error of this iterable is raised unchanged.

        Raises:
            JournalExists: The file exists already.
            JournalWriteError: The file cannot be written.
        """
        check_free(path)
        draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.new")
        try:
            connection = sqlite3.connect(draft, isolation_level=None)
            try:
                queries.fill(connection, info, lines)
                pragma(connection, "journal_mode = WAL")
            finally:
                connection.close()
            sync(draft)
            publish(draft, path)
        except (sqlite3.Error, OSError) as exc:
            raise JournalWriteError(
                f"the journal {path} cannot be made: {reason_of(exc)}. Nothing was sent. Free some disk space, or name "
                "another place with --run"
            ) from exc
        finally:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
        journal = cls._open(path)
        if journal.info().run_id != info.run_id:
            journal.close()
            raise JournalExists(
                f"{path} is the journal of another run by now. Name another file for this run"
            )
        return journal

    @classmethod
    def temporary(cls, info: RunInfo, lines: Iterable[NewLine]) -> Journal:
        """Create a journal in a temporary file, for a preview. It needs little memory."""
        connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        try:
            pragma(connection, "cache_size = -16000")  # KiB; the rest is in a temporary file
            queries.fill(connection, info, lines)
        except BaseException:
            connection.close()
            raise
        return cls(connection, None)

    @classmethod
    def open(cls, path: Path, *, records_lost: bool = False) -> Journal:
        """Open a journal for writing. A journal of an older version is updated.

        Args:
            path: The file.
            records_lost: Whether to accept that the latest records are lost. Every line that is not
                done then counts as one that may have been sent.

        Raises:
            JournalError: The file does not exist, or cannot be read.
            JournalRecordsLost: The latest records are lost.
            JournalDamaged: The file is not a journal, or is damaged.
            JournalWriteError: The file cannot be written.
        """
        check_file(path)
        lost, in_file = False, None
        try:
            in_file = check_ending(path, indexed=not is_open_here(path))
            _check(path, in_file)
        except JournalRecordsLost:
            if not records_lost:
                raise
            lost = True
            _check(path, None)
        return cls._open(path, first=queries.doubt_all if lost else None)

    @classmethod
    def _open(cls, path: Path, *, first: Callable[[sqlite3.Connection], None] | None = None) -> Journal:
        connection = connect(path, "rw")
        try:
            pragma(connection, "synchronous = FULL")  # survives a power cut, too
            migrate(connection)
            begin_writing(connection, path, first=first)
        except BaseException as exc:
            close_as_killed(connection, path)
            if isinstance(exc, sqlite3.Error):
                raise translate(path, exc) from exc
            raise
        return cls(connection, path, writing=True)

    @classmethod
    def read(cls, path: str | Path) -> Journal:
        """Open a journal for reading, also while another process executes the run.

        Checks the whole journal first.

        Args:
            path: The file.

        Raises:
            JournalError: The file does not exist, or cannot be read.
            JournalRecordsLost: The latest records are lost.
            JournalDamaged: The file is not a journal, or is damaged.
        """
        path = Path(path)
        check_file(path)
        for attempt in range(_ATTEMPTS):
            before, held = state_of(path), held_by(path)
            try:
                return cls._read(path, held=held is not None)
            except JournalDamaged:
                # Another process may have opened or closed the journal between two reads of its
                # files.
                if attempt == _ATTEMPTS - 1 or (before == state_of(path) and held == held_by(path)):
                    raise
            time.sleep(_ATTEMPT_PAUSE)
        raise AssertionError  # the last attempt returns or raises

    @classmethod
    def _read(cls, path: Path, *, held: bool) -> Journal:
        # While a process executes the run, the files are not complete.
        in_file = None if held else check_ending(path, indexed=not is_open_here(path))
        # A connection that may write removes the write-ahead log when it is closed. A reader must
        # leave the log of a killed run there.
        connection = connect(path, "ro" if side_file(path, "-wal").exists() else "rw")
        try:
            current = check_version(connection, path) == VERSION
            pragma(connection, "query_only = ON")
            if current:
                check_content(connection, path, in_file)
        except sqlite3.OperationalError:
            current = False  # the folder is read-only, so SQLite cannot create its shared memory
        except BaseException:
            connection.close()
            raise
        if current:
            return cls(connection, path)
        connection.close()
        return cls._read_a_copy(path, in_file)

    @classmethod
    def _read_a_copy(cls, path: Path, in_file: Tally | None) -> Journal:
        """Open a temporary copy of a file in a read-only folder, or of an older version."""
        copy = TemporaryDirectory(prefix="katapult-async-")
        try:
            target = Path(copy.name, "journal")
            shutil.copyfile(path, target)
            if side_file(path, "-wal").exists():
                shutil.copyfile(side_file(path, "-wal"), side_file(target, "-wal"))
            connection = connect(target, "rw")
            try:
                check_content(connection, path, in_file, check_version(connection, path))
                migrate(connection)
            except BaseException:
                connection.close()
                raise
        except BaseException as exc:
            copy.cleanup()
            if isinstance(exc, (OSError, sqlite3.OperationalError)):
                raise JournalError(f"the journal {path} cannot be read: {reason_of(exc)}") from exc
            raise
        return cls(connection, path, copy=copy)

    # -- changing a run outside its execution ------------------------------------------------------

    def note_rolled_back(self, by: Path) -> None:
        """Record that the run in `by` is rolling this one back. Raises JournalWriteError."""
        self._change(queries.note_rolled_back, str(by))

    def note_confirmed(self, at: float) -> None:
        """Record when the user agreed to the changes, in Unix seconds. Raises JournalWriteError."""
        self._change(queries.note_confirmed, at)

    def reopen_failed(self) -> int:
        """Set failed lines to waiting. Return their number. Raises JournalWriteError."""
        return self._change(queries.reopen_failed)

    def _change(
        self, change: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        try:
            return self.query(change, *args, **kwargs)
        except sqlite3.Error as exc:
            raise cannot_write(self.path, exc) from exc


def _check(path: Path, in_file: Tally | None) -> None:
    """Check the content of a journal.

    Opens the file read-only, because SQLite may change a damaged file when a connection that may
    write is closed.
    """
    mode = reading_mode(path)
    with contextlib.closing(connect(path, mode)) as connection:
        try:
            version = check_version(connection, path)
            check_content(connection, path, in_file, version, logged="immutable" not in mode)
        except sqlite3.Error as exc:
            raise translate(path, exc) from exc
        except ValueError as exc:
            raise JournalDamaged(f"{path} is damaged: {exc}. It was not changed") from exc
