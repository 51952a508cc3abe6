"""The journal: one SQLite file that knows everything about one run.

Making, opening and reading it. A file that is not a sound journal of a version this package knows is refused and never
written to. Nothing here knows what a run does; durable writing while one is under way is the writer's work.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, TypeVar

import msgspec

from .errors import JournalDamaged, JournalError, JournalExists, JournalWriteError
from .file import (
    cannot_write,
    check_file,
    check_free,
    check_pages,
    check_version,
    connect,
    publish,
    reading_mode,
    reason_of,
    set_pragma,
    side_file,
    sync,
    translate,
)
from .lock import held_by
from .record import LineRecord, LineState, LineStatus, RunInfo, RunKind, RunSummary, Second, Session, Waited
from .schema import APPLICATION_ID, migrate

T = TypeVar("T")

_RECORD = (
    "number, disk, virtual_machine, note, step, state, status, code, detail, attempts, request_id, task, sent_at,"
    " finished_at"
)
# Of a session that was killed, what it sent last is all that is known of its end.
_SESSIONS = """
    SELECT started_at, finished_at, ended, reason, (
        SELECT max(at) + 1.0 FROM second
        WHERE at < coalesce((SELECT min(started_at) FROM session AS later WHERE later.number > session.number), 1e18)
    )
    FROM session ORDER BY number
"""
_PROBLEMS = (LineStatus.FAILED, LineStatus.UNKNOWN, LineStatus.WAITING)


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
    ) -> None:
        self.connection = connection
        #: None for one that exists only as long as it is open.
        self.path = path
        # Where the file that is read lies, if it is a copy.
        self._copy = copy

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
        with contextlib.suppress(sqlite3.Error):  # a full disk, which has been complained about before
            self.connection.close()
        if self._copy is not None:
            self._copy.cleanup()

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
        journal = cls.open(path)
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
    def open(cls, path: Path) -> Journal:
        """Open a journal to go on with it; bring it up to date if an older version made it.

        Raises JournalError if there is none, JournalDamaged, JournalWriteError.
        """
        check_file(path)
        # Looked at read-only: closing a connection that may write would write to a damaged file, too.
        with contextlib.closing(connect(path, reading_mode(path))) as connection:
            try:
                check_version(connection, path)
                check_pages(connection, path)
            except sqlite3.Error as exc:
                raise translate(path, exc) from exc
        connection = connect(path, "rw")
        try:
            set_pragma(connection, "synchronous = FULL")  # survives a power cut, too
            migrate(connection)
        except sqlite3.Error as exc:
            connection.close()
            raise translate(path, exc) from exc
        except BaseException:
            connection.close()
            raise
        return cls(connection, path)

    @classmethod
    def read(cls, path: str | Path) -> Journal:
        """Open a journal to look at it only, also while another process executes the run. Raises JournalError."""
        path = Path(path)
        check_file(path)
        # A connection that may write takes away, when it is closed, what SQLite needs beside the file. One that may
        # not leaves it as it was: the remains of a run that was killed are no reader's business.
        connection = connect(path, "ro" if side_file(path, "-wal").exists() else "rw")
        try:
            check_version(connection, path, exactly=True)
            connection.execute("PRAGMA query_only = ON")
        except sqlite3.OperationalError:
            # In a folder of somebody else's SQLite cannot set up its shared memory.
            connection.close()
            return cls._read_a_copy(path)
        except BaseException:
            connection.close()
            raise
        return cls(connection, path)

    @classmethod
    def _read_a_copy(cls, path: Path) -> Journal:
        copy = TemporaryDirectory(prefix="katapult-async-")
        try:
            target = Path(copy.name, "journal")
            shutil.copyfile(path, target)
            if side_file(path, "-wal").exists():
                shutil.copyfile(side_file(path, "-wal"), side_file(target, "-wal"))
            connection = connect(target, "rw")
            try:
                check_version(connection, path, exactly=True)
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
        found = self._rows(
            "SELECT run_id, kind, manifest, digest, created_at, lines, attach, parent, base_url, taken_back_by FROM run",
            _info,
        )
        info = next(found, None)
        if info is None:
            raise JournalDamaged(f"{self.name} is damaged: it does not say what its run is")
        return info

    def summary(self) -> RunSummary:
        """Where the run stands now."""
        # Asked first: a run that ends meanwhile must not look like one that was killed.
        locked_by = held_by(self.path) if self.path is not None else None
        counts = "SELECT status, count(*) FROM line GROUP BY status"
        found = dict(self._rows(counts, lambda row: (LineStatus(row[0]), int(row[1]))))
        requests, refused = next(
            self._rows("SELECT coalesce(sum(requests), 0), coalesce(sum(rate_limited), 0) FROM second", tuple)
        )
        permitted = self._rows(
            "SELECT permitted FROM second WHERE permitted IS NOT NULL ORDER BY at DESC LIMIT 1", tuple
        )
        return RunSummary(
            info=self.info(),
            counts={status: found[status] for status in LineStatus if status in found},
            requests=requests,
            rate_limited=refused,
            total_permitted=next(permitted, (None,))[0],
            sessions=tuple(self.sessions()),
            locked_by=locked_by,
        )

    def lines(self, *, problems_only: bool = False) -> Iterator[LineRecord]:
        """Every line in the order of the manifest, or only those that are not done. Streamed."""
        where = ""
        if problems_only:
            where = f" WHERE status IN ({', '.join(repr(status.value) for status in _PROBLEMS)})"
        return self._rows(f"SELECT {_RECORD} FROM line{where} ORDER BY number", _record)

    def timeline(self) -> list[Second]:
        """The seconds in which requests were sent."""
        return list(
            self._rows(
                "SELECT at, requests, rate_limited, failed, permitted FROM second ORDER BY at", _second
            )
        )

    def waits(self) -> list[Waited]:
        """The times in which requests waited for a permit."""
        return list(self._rows("SELECT since, until, reason FROM wait ORDER BY since", _waited))

    def sessions(self) -> list[Session]:
        """The times in which the run was executed."""
        return list(self._rows(_SESSIONS, _session))

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
        "INSERT INTO line (number, disk, virtual_machine, machine_id, step, further, note) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            (
                line.number,
                line.disk,
                line.virtual_machine,
                line.machine_id,
                line.step,
                line.further,
                line.note,
            )
            for line in lines
        ),
    )
    connection.execute(
        "INSERT INTO run VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
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
        ),
    )
    connection.execute("COMMIT")


def _record(row: tuple[Any, ...]) -> LineRecord:
    return LineRecord(
        number=row[0],
        disk=row[1],
        virtual_machine=row[2],
        note=row[3],
        step=row[4],
        state=LineState(row[5]),
        status=LineStatus(row[6]),
        code=row[7],
        detail=row[8],
        attempts=row[9],
        request_id=row[10],
        task=row[11],
        sent_at=row[12],
        finished_at=row[13],
    )


def _info(row: tuple[Any, ...]) -> RunInfo:
    return RunInfo(
        run_id=row[0],
        kind=RunKind(row[1]),
        manifest=row[2],
        digest=row[3],
        created_at=row[4],
        lines=row[5],
        attach=bool(row[6]),
        parent=row[7],
        base_url=row[8],
        taken_back_by=row[9],
    )


def _second(row: tuple[Any, ...]) -> Second:
    return Second(at=row[0], requests=row[1], rate_limited=row[2], failed=row[3], permitted=row[4])


def _waited(row: tuple[Any, ...]) -> Waited:
    return Waited(since=row[0], until=row[1], reason=row[2])


def _session(row: tuple[Any, ...]) -> Session:
    started, finished, ended, reason, seen = row
    return Session(
        started_at=started,
        finished_at=finished,
        active_until=finished or max(started, seen or 0.0),
        ended=ended,
        reason=reason,
    )
