"""The journal: one SQLite file that knows everything about one run.

Making, opening and reading it. A file that is not a sound journal of a version this package knows is refused and never
written to. Nothing here knows what a run does; durable writing while one is under way is the writer's work.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import time
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, TypeVar

import msgspec

from . import rows
from .errors import JournalDamaged, JournalError, JournalExists, JournalRecordsLost, JournalWriteError
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
    set_pragma,
    side_file,
    state_of,
    sync,
    translate,
)
from .integrity import DOUBT_ALL, Tally, begin_writing, check_content, check_ending, check_pages, end_writing
from .latency import Histogram, Latency
from .lock import held_by
from .record import (
    LineRecord,
    LineStatus,
    RollbackProgress,
    RunInfo,
    RunKind,
    RunSummary,
    Second,
    Session,
    Waited,
)
from .schema import APPLICATION_ID, FIRST_TALLY, VERSION, migrate, origin_of

T = TypeVar("T")

#: Times that a reader looks at a journal that seems damaged while its process begins or ends, and seconds between.
_ATTEMPTS, _ATTEMPT_PAUSE = 5, 0.05

_INSERT_RUN = """
    INSERT INTO run (only, run_id, kind, manifest, digest, created_at, lines, attach, parent, base_url, preflight,
        thorough, organization, confirmed_at)
    VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_INSERT_LINE = """
    INSERT INTO line (number, disk, virtual_machine, machine_id, step, further, note, origin)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_CONFIRM = "UPDATE run SET confirmed_at = ?"


class NewLine(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A line as it enters a journal. step: the first thing to do for it. further: whether the second step
    of the run is wanted, too (attaching after assigning, unassigning after detaching).
    """

    number: int
    disk: str
    virtual_machine: str
    step: str
    machine_id: str | None = None
    further: bool = False
    note: str | None = None


class Journal:
    """An open journal. `connection` is for the rooms of a run; everything else reads through the methods."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path | None,
        *,
        copy: TemporaryDirectory[str] | None = None,
        writing: bool = False,
    ) -> None:
        self.connection = connection
        #: None for one that exists only as long as it is open.
        self.path = path
        # Also when nobody closes it: what SQLite itself would do would leave a file that looks as if its end were lost.
        self._finalizer = weakref.finalize(
            self,
            _close,
            connection,
            path if writing else None,
            path if copy is None else None,
            copy,
            os.getpid(),
        )
        if path is not None and copy is None:
            note_open(path, more=1)

    def __repr__(self) -> str:
        return f"<Journal {self.name}>"

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return str(self.path) if self.path is not None else "<temporary journal>"

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
        """Close the file. What was not committed is not in it."""
        self._finalizer()

    # -- making and opening -----------------------------------------------------------------------------------------

    @classmethod
    def create(cls, path: Path, info: RunInfo, lines: Iterable[NewLine]) -> Journal:
        """Make a new journal, whole or not at all. Raises JournalExists, JournalWriteError, and what `lines` raises."""
        check_free(path)
        draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.new")
        try:
            connection = sqlite3.connect(draft, isolation_level=None)
            try:
                _fill(connection, info, lines)
                set_pragma(connection, "journal_mode = WAL")
            finally:
                connection.close()
            sync(draft)
            publish(draft, path)
        except (sqlite3.Error, OSError) as exc:
            raise JournalWriteError(
                f"the journal {path} cannot be made: {reason_of(exc)}; nothing was sent: make room, or name another place"
            ) from exc
        finally:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
        journal = cls._open(path)
        if journal.info().run_id != info.run_id:
            journal.close()
            raise JournalExists(f"{path} is another run's by now: name another file for this run")
        return journal

    @classmethod
    def temporary(cls, info: RunInfo, lines: Iterable[NewLine]) -> Journal:
        """A journal without a file of its own, for looking ahead. It keeps little in memory."""
        connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA cache_size = -16000")  # KiB; the rest lies in a temporary file
            _fill(connection, info, lines)
        except BaseException:
            connection.close()
            raise
        return cls(connection, None)

    @classmethod
    def open(cls, path: Path, *, records_lost: bool = False) -> Journal:
        """Open a journal to go on with it; bring it up to date if an older version made it.

        Args:
            path: The file.
            records_lost: Accept that its latest records are gone. Every line that is not done then counts as one that
                may have been sent.

        Raises:
            JournalError: There is no such file, or it cannot be read.
            JournalRecordsLost: Its latest records are gone.
            JournalDamaged: It is not a journal, or not as it was written.
            JournalWriteError: It cannot be written to.
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
        journal = cls._open(path)
        if lost:
            journal.doubt_all()
        return journal

    @classmethod
    def _open(cls, path: Path) -> Journal:
        connection = connect(path, "rw")
        try:
            set_pragma(connection, "synchronous = FULL")  # survives a power cut, too
            migrate(connection)
            begin_writing(connection, path)
        except sqlite3.Error as exc:
            connection.close()
            raise translate(path, exc) from exc
        except BaseException:
            connection.close()
            raise
        return cls(connection, path, writing=True)

    @classmethod
    def read(cls, path: str | Path) -> Journal:
        """Open a journal to look at it only, also while another process executes the run. It is checked as a whole.

        Raises JournalError; JournalRecordsLost and JournalDamaged before anything of it can be read.
        """
        path = Path(path)
        check_file(path)
        for attempt in range(_ATTEMPTS):
            before, held = state_of(path), held_by(path)
            try:
                return cls._read(path, held=held is not None)
            except JournalDamaged:
                # A run may have begun or ended just now, between one look at the files and the next.
                if attempt == _ATTEMPTS - 1 or (before == state_of(path) and held == held_by(path)):
                    raise
            time.sleep(_ATTEMPT_PAUSE)
        raise AssertionError  # the last attempt returns or raises

    @classmethod
    def _read(cls, path: Path, *, held: bool) -> Journal:
        # A process that executes the run has the end of it in memory.
        in_file = None if held else check_ending(path, indexed=not is_open_here(path))
        # A connection that may write takes away, when it is closed, what SQLite needs beside the file. One that may
        # not leaves it as it was: the remains of a run that was killed are no reader's business.
        connection = connect(path, "ro" if side_file(path, "-wal").exists() else "rw")
        try:
            current = check_version(connection, path) == VERSION
            connection.execute("PRAGMA query_only = ON")
            if current:
                check_content(connection, path, in_file)
        except sqlite3.OperationalError:
            current = False  # SQLite cannot set up its shared memory in a folder of somebody else's
        except BaseException:
            connection.close()
            raise
        if current:
            return cls(connection, path)
        connection.close()
        return cls._read_a_copy(path, in_file)

    @classmethod
    def _read_a_copy(cls, path: Path, in_file: Tally | None) -> Journal:
        """Read a copy: of a file in a folder that cannot be written to, or of an older version's, brought up to date."""
        copy = TemporaryDirectory(prefix="katapult-async-")
        try:
            target = Path(copy.name, "journal")
            shutil.copyfile(path, target)
            if side_file(path, "-wal").exists():
                shutil.copyfile(side_file(path, "-wal"), side_file(target, "-wal"))
            connection = connect(target, "rw")
            try:
                if check_version(connection, path) == VERSION:
                    check_content(connection, path, in_file)
                else:
                    check_pages(connection, path)
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

    # -- changing what is not a line's progress -----------------------------------------------------------------------

    def note_taken_back(self, by: Path) -> None:
        """This run is being taken back by the one in `by`. Raises JournalWriteError."""
        self._change("UPDATE run SET taken_back_by = ?", (str(by),))

    def note_confirmed(self, at: float) -> None:
        """Record that the user agreed to the changes. at: unix seconds. Raises JournalWriteError."""
        self._change(_CONFIRM, (at,))

    def doubt_all(self) -> None:
        """Let every line that is not done count as one that may have been sent. Raises JournalWriteError."""
        self._change(DOUBT_ALL)

    def reopen_failed(self) -> int:
        """Let the lines that have failed wait again; how many they are. Raises JournalWriteError."""
        return self._change(
            "UPDATE line SET state = 0, status = 'waiting', code = NULL, detail = NULL, finished_at = NULL, found = NULL,"
            " look = 1 WHERE status = 'failed'"
        )

    def _change(self, statement: str, values: tuple[object, ...] = ()) -> int:
        try:
            return self.connection.execute(statement, values).rowcount
        except sqlite3.Error as exc:
            raise cannot_write(self.path, exc) from exc

    # -- reading ----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """While this is open everything that is read is of one moment, whatever another process records meanwhile. One
        inside another changes nothing. Not for the journal that a run is being executed through: that could not record
        anything meanwhile. Open it a second time with `read`.
        """
        if self.connection.in_transaction:
            yield
            return
        list(self._rows("BEGIN", tuple))
        try:
            yield
        finally:
            with contextlib.suppress(sqlite3.Error):  # closed before this was left
                self.connection.execute("ROLLBACK")

    def info(self) -> RunInfo:
        """What the run is."""
        info = next(self._rows(rows.INFO, rows.info), None)
        if info is None:
            raise JournalDamaged(f"{self.name} is damaged: it does not say what its run is")
        return info

    def summary(self) -> RunSummary:
        """Where the run stands now."""
        # Asked first: a run that ends meanwhile must not look like one that was killed.
        locked_by = held_by(self.path) if self.path is not None else None
        found = dict(self._rows(rows.COUNTS, lambda row: (LineStatus(row[0]), int(row[1]))))
        requests, refused = next(self._rows(rows.REQUESTS, tuple))
        permitted = self._rows(rows.PERMITTED, tuple)
        info = self.info()
        return RunSummary(
            info=info,
            counts={status: found[status] for status in LineStatus if status in found},
            requests=requests,
            rate_limited=refused,
            total_permitted=next(permitted, (None,))[0],
            sessions=tuple(self.sessions()),
            locked_by=locked_by,
            rollback=self._rollback(info.taken_back_by) if info.taken_back_by is not None else None,
        )

    def _rollback(self, path: str) -> RollbackProgress:
        """How far the rollback in that journal is, or in the one of that name beside this one: both may have moved."""
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
        )

    def lines(self, *, problems_only: bool = False) -> Iterator[LineRecord]:
        """Every line in the order of the manifest, or only those that are not done. Streamed."""
        return self._rows(rows.OPEN_LINES if problems_only else rows.LINES, rows.record)

    def timeline(self) -> list[Second]:
        """The seconds in which requests were sent."""
        return list(self._rows(rows.TIMELINE, rows.second))

    def waits(self) -> list[Waited]:
        """The times in which requests waited for a permit."""
        return list(self._rows(rows.WAITS, rows.waited))

    def latency(self) -> Latency:
        """How long the requests of all sessions took, and how long they waited for permits."""
        histogram, waited = Histogram(), 0.0
        for buckets, seconds in self._rows(rows.LATENCY, rows.latency):
            histogram.add(buckets)
            waited += seconds
        return Latency.of(histogram, waited)

    def sessions(self) -> list[Session]:
        """The times in which the run was executed."""
        return list(self._rows(rows.SESSIONS, rows.session))

    def _rows(self, statement: str, make: Callable[[tuple[Any, ...]], T]) -> Iterator[T]:
        """What is made of each row. A damaged file is often noticed in the middle only, by SQLite or by what it says."""
        try:
            for row in self.connection.execute(statement):
                yield make(row)
        except (sqlite3.DatabaseError, ValueError, TypeError) as exc:
            raise JournalDamaged(f"{self.name} cannot be read: {exc}") from exc


def new_info(kind: RunKind, manifest: str, digest: str, lines: int, **more: object) -> RunInfo:
    """A run that begins its life now."""
    known = {"run_id": uuid.uuid4().hex[:12], "kind": kind, "created_at": time.time()}
    return msgspec.convert({**known, "manifest": manifest, "digest": digest, "lines": lines, **more}, RunInfo)


def _fill(connection: sqlite3.Connection, info: RunInfo, lines: Iterable[NewLine]) -> None:
    connection.execute("PRAGMA journal_mode = OFF")  # nobody sees the file before it is whole
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    migrate(connection)
    connection.execute("BEGIN")
    connection.executemany(
        _INSERT_LINE,
        (
            (
                line.number,
                line.disk,
                line.virtual_machine,
                line.machine_id,
                line.step,
                line.further,
                line.note,
                origin_of(line.number, line.disk, line.virtual_machine, line.further, line.note),
            )
            for line in lines
        ),
    )
    connection.execute(
        _INSERT_RUN,
        (
            info.run_id,
            info.kind.value,
            info.manifest,
            info.digest,
            info.created_at,
            info.lines,
            info.attach,
            info.parent,
            info.base_url,
            info.preflight,
            info.thorough,
            info.organization,
            info.confirmed_at,
        ),
    )
    connection.execute(FIRST_TALLY)
    connection.execute("COMMIT")


def _check(path: Path, in_file: Tally | None) -> None:
    """Check what a journal says. It is opened so that nothing can be written to it: closing a connection that may
    write would write to a damaged file, too.
    """
    mode = reading_mode(path)
    with contextlib.closing(connect(path, mode)) as connection:
        try:
            if check_version(connection, path) == VERSION:
                check_content(connection, path, in_file, logged="immutable" not in mode)
            else:
                check_pages(connection, path)
        except sqlite3.Error as exc:
            raise translate(path, exc) from exc
        except ValueError as exc:
            raise JournalDamaged(f"{path} is damaged and is left as it is: {exc}") from exc


def _close(
    connection: sqlite3.Connection,
    written: Path | None,
    counted: Path | None,
    copy: TemporaryDirectory[str] | None,
    process: int,
) -> None:
    """Close a journal's file. written: it, if it was open for writing. process: the one that opened it."""
    if os.getpid() != process:
        return  # SQLite's connections do not survive a fork
    try:
        if written is not None:
            end_writing(connection)
    except sqlite3.Error:
        _close_as_killed(connection, written)  # a full disk, which has been complained about before
    else:
        connection.close()
    if counted is not None:
        note_open(counted, more=-1)
    if copy is not None:
        copy.cleanup()


def _close_as_killed(connection: sqlite3.Connection, path: Path | None) -> None:
    """Leave the write-ahead log where it is, as the file says that it is open: another connection keeps SQLite from
    taking it away.
    """
    with contextlib.suppress(sqlite3.Error, JournalError), contextlib.ExitStack() as stack:
        if path is not None:
            other = stack.enter_context(contextlib.closing(connect(path, "ro")))
            other.execute(rows.INFO).fetchall()
        connection.close()
    with contextlib.suppress(sqlite3.Error):
        connection.close()
