"""Check that a journal has exactly what was recorded: nothing changed, missing or outdated.

SQLite finds a damaged page. It does not find a changed value, and it opens a file whose write-ahead
log is missing. So a journal has redundant data, which is compared when it is opened (the tables are
in `schema`):

- `seal`: a second copy of the columns of each row.
- `origin`: a checksum of each line of the manifest.
- `weight`: a checksum of each row.
- `tally`: one row with the number of lines, the sum of all weights, and whether the file is open
  for writing.

A closed journal is one file, and its tally says that it is closed. If the process was killed, the
latest records are in the write-ahead log (`-wal`), and the tally says that the file is open. If the
log is then missing, or from another run or an earlier time, records are lost.

The log is checked like this:

- SQLite ignores a damaged frame and all frames after it. A request is sent only after its
  transaction is synchronised. So only the last transaction may be incomplete. A frame after a
  damaged transaction proves damage.
- SQLite writes its index of the log (`-shm`) after each commit, and the index survives the process.
  If the log has fewer frames than the index, or is from an earlier cycle, records are lost.
- A damaged frame in the last transaction is a torn write, if the index does not have that
  transaction. It was never synchronised, so nothing was sent after it. Without the index the two
  cases look the same, and the journal is refused.
- While the file is open, the log has a minimum size. So a truncated log is found without the index,
  too.

One case is not found: all files of a journal are replaced together by an earlier copy of them.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from katapult_async.jobs.errors import JournalDamaged, JournalRecordsLost

from . import queries_integrity as queries
from .file import check_version, connect, side_file
from .queries_integrity import Tally
from .schema import MIGRATIONS, VERSION, migrate
from .statements import pragma
from .wal import HEADER, Log, knows_more, read_log

#: What SQLite and Python raise for damaged data. Even the message of SQLite may be undecodable.
_MALFORMED = (sqlite3.DatabaseError, OverflowError, ValueError, TypeError)


# -- the files, before SQLite opens them -----------------------------------------------------------


def check_ending(path: Path, *, indexed: bool = True) -> Tally | None:
    """Check that the latest records of a journal exist, and return the tally of the file itself.

    Args:
        path: The file. No process writes to it.
        indexed: Whether the index may be opened. Closing it releases the locks of this process's
            other connections.

    Returns:
        The tally. None for a journal of the first version, which has no tally.

    Raises:
        JournalRecordsLost: The latest records are lost.
        JournalDamaged: The file is damaged.
    """
    wal = side_file(path, "-wal")
    content = wal.read_bytes() if wal.exists() else None
    log = read_log(content or b"")
    try:
        tally = _tally_of_file(path)
    except JournalDamaged:
        if not log.committed:
            raise
        tally = None  # the page was being written, and the log has a copy of it
    if tally is not None and tally.writing:
        if log.size < HEADER:
            raise _lost(path, f"{wal} is missing" if content is None else f"{wal} is empty")
        _check_length(path, wal, log, tally)
    if log.sound:
        _check_log(path, wal, log, indexed=indexed)
    return tally


def _tally_of_file(path: Path) -> Tally | None:
    """Return the tally in the file itself, without the write-ahead log."""
    with contextlib.closing(connect(path, "ro&immutable=1")) as connection:
        try:
            return read_tally(connection, path) if check_version(connection, path) >= 2 else None
        except _MALFORMED as exc:
            raise _damaged(path, str(exc)) from exc


def _check_length(path: Path, wal: Path, log: Log, tally: Tally) -> None:
    if log.size < tally.reserved:
        raise _lost(path, f"the end of {wal} is missing")
    if not log.sound:
        raise _lost(path, f"{wal} is damaged")


def _check_log(path: Path, wal: Path, log: Log, *, indexed: bool) -> None:
    if log.later:
        raise _lost(path, f"{wal} is damaged")
    shm = side_file(path, "-shm")
    if not indexed:
        return
    if not shm.exists():
        if log.broken:
            raise _lost(path, f"the end of {wal} is damaged")
        return
    if knows_more(shm.read_bytes()[:4096], log):
        raise _lost(path, f"{wal} is damaged or from an earlier time")


def _lost(path: Path, why: str) -> JournalRecordsLost:
    return JournalRecordsLost(
        f"the latest records of {path} are lost: its process was killed, and {why}. Put that file back. If it is lost "
        f"for good, 'katapult-async resume {path} --records-lost' reads every disk before it sends anything"
    )


# -- the content, read by SQLite -------------------------------------------------------------------


def read_tally(connection: sqlite3.Connection, path: Path) -> Tally:
    """Return the tally. Raises JournalDamaged if it was changed, or sqlite3.Error."""
    tally = queries.tally(connection)
    if tally is None:
        raise _damaged(path, "the row that counts its lines was changed")
    return tally


def check_content(
    connection: sqlite3.Connection,
    path: Path,
    in_file: Tally | None = None,
    version: int = VERSION,
    *,
    logged: bool = True,
) -> None:
    """Check the whole content of a journal. The first version has no seals: check its pages only.

    Args:
        connection: The open file.
        path: The path of the file.
        in_file: The tally of the file itself, if it was read.
        version: The version of the file.
        logged: Whether SQLite reads the write-ahead log, too. It does not if the file is opened as
            immutable.

    Raises:
        JournalDamaged: The file is damaged.
    """
    try:
        # An error of the folder or the disk does not show damage: raise it unchanged.
        queries.touch(connection)
    except sqlite3.OperationalError:
        raise
    except _MALFORMED as exc:
        raise _damaged(path, str(exc)) from exc
    try:
        with _snapshot(connection):
            if version < 2:
                _check_pages(connection, path)
                return
            _check_file(connection, path, version, logged=logged)
            _check_tally(read_tally(connection, path), in_file, path)
            _check_rows(connection, path, version)
    except _MALFORMED as exc:
        raise _damaged(path, str(exc)) from exc


@contextlib.contextmanager
def _snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
    finally:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


def _check_pages(connection: sqlite3.Connection, path: Path) -> None:
    """Raise JournalDamaged for a file that SQLite finds damaged. May raise sqlite3.Error."""
    complaint = pragma(connection, "integrity_check(1)")
    if complaint != "ok":
        raise _damaged(path, f"SQLite says: {str(complaint).splitlines()[-1]}")


def _check_file(connection: sqlite3.Connection, path: Path, version: int, *, logged: bool) -> None:
    for setting, value in (("encoding", "UTF-8"), *((("journal_mode", "wal"),) if logged else ())):
        if (found := pragma(connection, setting)) != value:
            raise _damaged(path, f"its {setting} was changed to {found}")
    _check_pages(connection, path)
    if queries.tables(connection) != _tables(version):
        raise _damaged(path, "its tables were changed")


@lru_cache
def _tables(version: int) -> list[tuple[str, ...]]:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, MIGRATIONS[:version])
        return queries.tables(connection)


def _check_tally(tally: Tally, in_file: Tally | None, path: Path) -> None:
    if in_file is None:
        return
    if tally.nonce != in_file.nonce:
        raise _damaged(path, f"{side_file(path, '-wal')} is another run's")
    if (tally.generation, tally.changes) < (in_file.generation, in_file.changes):
        raise _lost(path, f"{side_file(path, '-wal')} is from an earlier time")


def _check_rows(connection: sqlite3.Connection, path: Path, version: int) -> None:
    if not queries.has_all_lines(connection):
        raise _damaged(path, "lines are missing")
    if not queries.has_its_weight(connection, version):
        raise _damaged(path, "some of it is missing or from another time")
    if not queries.is_as_written(connection, version):
        raise _damaged(path, "what it says was changed")


def _damaged(path: Path, why: str) -> JournalDamaged:
    return JournalDamaged(
        f"{path} is damaged: {why}. It was not changed. Use a copy of it, or see with 'katapult-async plan' what is "
        "assigned"
    )
