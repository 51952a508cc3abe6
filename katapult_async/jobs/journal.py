"""The journal: one SQLite file that knows everything about one run.

Making, opening and reading it. A file that is not a sound journal of a version this package knows is refused and never
written to. Nothing here knows what a run does; durable writing while one is under way is the writer's work.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from .errors import JournalDamaged, JournalError, JournalExists, JournalWriteError
from .lock import held_by
from .record import LineRecord, LineState, LineStatus, RunInfo, RunKind, RunSummary, Second, Session, Waited
from .schema import APPLICATION_ID, VERSION, migrate

T = TypeVar("T")

_MAGIC = b"SQLite format 3\x00"
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
    further: bool = False
    note: str | None = None
    did: int = 0


class Journal:
    """An open journal. `connection` is for the rooms of a run; everything else reads through the methods."""

    def __init__(self, connection: sqlite3.Connection, path: Path | None) -> None:
        self.connection = connection
        #: None for one that exists only as long as it is open.
        self.path = path

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

    # -- making and opening -----------------------------------------------------------------------------------------

    @classmethod
    def create(cls, path: Path, info: RunInfo, lines: Iterable[NewLine]) -> Journal:
        """Make a new journal, whole or not at all. Raises JournalExists, JournalWriteError, and what `lines` raises."""
        if path.exists():
            raise JournalExists(f"{path} exists already: name another file for this run")
        draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.new")
        try:
            connection = sqlite3.connect(draft, isolation_level=None)
            try:
                _fill(connection, info, lines)
                _checked_pragma(connection, "journal_mode = WAL")
            finally:
                connection.close()
            _sync(draft)
            _publish(draft, path)
        except (sqlite3.Error, OSError) as exc:
            raise JournalWriteError(
                f"the journal {path} cannot be made: {_reason(exc)}; nothing was sent: make room, or name another place"
            ) from exc
        finally:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
        return cls.open(path)

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
        _check_header(path)
        connection = _connect(path, "rw")
        try:
            _check_version(connection, path)
            _check_pages(connection, path)
            _checked_pragma(connection, "synchronous = FULL")  # survives a power cut, too
            migrate(connection)
        except sqlite3.Error as exc:
            connection.close()
            raise _translate(path, exc) from exc
        except BaseException:
            connection.close()
            raise
        return cls(connection, path)

    @classmethod
    def read(cls, path: str | Path) -> Journal:
        """Open a journal to look at it only, also while another process executes the run. Raises JournalError."""
        path = Path(path)
        _check_header(path)
        # Not "ro": such a connection leaves SQLite's side files behind when it is the last one.
        connection = _connect(path, "rw")
        try:
            _check_version(connection, path, exactly=True)
            connection.execute("PRAGMA query_only = ON")
        except sqlite3.OperationalError:
            # In a folder that may not be written to SQLite cannot set up its shared memory: read the file alone.
            connection.close()
            connection = _connect(path, "ro&immutable=1")
            try:
                _check_version(connection, path, exactly=True)
            except BaseException:
                connection.close()
                raise
        except BaseException:
            connection.close()
            raise
        return cls(connection, path)

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
            "SELECT run_id, kind, manifest, digest, created_at, lines, attach, parent, base_url FROM run",
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


def cannot_write(path: Path | None, exc: Exception) -> JournalWriteError:
    """The error for a journal that cannot be written to."""
    return JournalWriteError(
        f"the journal {path} cannot be written: {_reason(exc)}. What it holds is safe; make room (or get the right to write "
        f"there), then: katapult-async resume {path}"
    )


def _reason(exc: Exception) -> str:
    return str(exc.strerror) if isinstance(exc, OSError) and exc.strerror else str(exc)


def _fill(connection: sqlite3.Connection, info: RunInfo, lines: Iterable[NewLine]) -> None:
    connection.execute("PRAGMA journal_mode = OFF")  # nobody sees the file before it is whole
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    migrate(connection)
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO line (number, disk, virtual_machine, step, further, note, did) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            (line.number, line.disk, line.virtual_machine, line.step, line.further, line.note, line.did)
            for line in lines
        ),
    )
    connection.execute(
        "INSERT INTO run VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _publish(draft: Path, path: Path) -> None:
    """Give the finished file its name, unless there is something of that name."""
    try:
        os.link(draft, path)
    except FileExistsError:
        raise JournalExists(f"{path} exists already: name another file for this run") from None
    except OSError:  # a file system without hard links
        if path.exists():
            raise JournalExists(f"{path} exists already: name another file for this run") from None
        draft.rename(path)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _check_header(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(len(_MAGIC))
    except FileNotFoundError:
        raise JournalError(f"there is no journal {path}") from None
    except OSError as exc:
        raise JournalError(f"the journal {path} cannot be read: {exc.strerror}") from exc
    if start != _MAGIC:
        raise JournalDamaged(f"{path} is no journal of a run, or it is damaged; it is left as it is")


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    try:
        return sqlite3.connect(
            f"file:{quote(str(path.absolute()))}?mode={mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=10.0,
        )
    except sqlite3.Error as exc:
        raise _translate(path, exc) from exc


def _check_version(connection: sqlite3.Connection, path: Path, *, exactly: bool = False) -> None:
    try:
        application = _only(connection, "PRAGMA application_id")
        version = _only(connection, "PRAGMA user_version")
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as exc:
        raise JournalDamaged(f"{path} is damaged and is left as it is: {exc}") from exc
    if application != APPLICATION_ID or not isinstance(version, int) or version < 1:
        raise JournalDamaged(f"{path} is an SQLite file, but no journal of a run; it is left as it is")
    if version > VERSION:
        raise JournalDamaged(
            f"{path} was written by a newer version of katapult-async (its format is {version}, this one knows "
            f"{VERSION}): use that version"
        )
    if exactly and version < VERSION:
        raise JournalError(f"{path} was written by an older version: resume it once to bring it up to date")


def _check_pages(connection: sqlite3.Connection, path: Path) -> None:
    complaint = _only(connection, "PRAGMA quick_check(1)")
    if complaint != "ok":
        raise JournalDamaged(f"{path} is damaged and is left as it is: {complaint}")


def _only(connection: sqlite3.Connection, statement: str) -> object:
    row = connection.execute(statement).fetchone()
    return row[0] if row else None


def _checked_pragma(connection: sqlite3.Connection, pragma: str) -> None:
    connection.execute(f"PRAGMA {pragma}").fetchall()


def _translate(path: Path, exc: sqlite3.Error) -> JournalError:
    if isinstance(exc, sqlite3.OperationalError):
        return cannot_write(path, exc)
    return JournalDamaged(f"{path} is damaged and is left as it is: {exc}")


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
