"""The mark in a journal's file that shows that it is open for writing (`tally.writing`).

It is set before the first record, and removed when the file is closed. `integrity` decides what a
file with the mark and without its write-ahead log means.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from katapult_async.jobs.errors import JournalError

from . import queries_integrity as queries
from .file import connect, note_open, side_file
from .statements import pragma
from .wal import FRAME_HEADER, HEADER

#: The usual number of frames that SQLite writes before it starts again at the beginning of the log.
RESERVED_FRAMES = 1000


def begin_writing(
    connection: sqlite3.Connection, path: Path, *, first: Callable[[sqlite3.Connection], None] | None = None
) -> None:
    """Record in the file itself that it is open for writing. Raises sqlite3.Error.

    Args:
        connection: The open file.
        path: Its path.
        first: Called in the same transaction, before the mark is set.
    """
    size = HEADER + RESERVED_FRAMES * (FRAME_HEADER + pragma(connection, "page_size"))
    connection.execute("BEGIN IMMEDIATE")
    if first is not None:
        first(connection)
    queries.begin_writing(connection, size)
    connection.execute("COMMIT")
    if not _reserve(side_file(path, "-wal"), size):
        queries.begin_writing(connection, 0)
    pragma(connection, "wal_checkpoint(PASSIVE)")


def _reserve(wal: Path, size: int) -> bool:
    """Extend the log to at least `size` bytes. Most file systems need no space for it (sparse)."""
    try:
        with wal.open("rb+") as file:
            if os.fstat(file.fileno()).st_size < size:
                file.truncate(size)
                os.fsync(file.fileno())
    except OSError:
        return False
    return True


def end_writing(connection: sqlite3.Connection) -> None:
    """Remove the mark, and move the whole log to the file. Raises sqlite3.Error."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")
    queries.end_writing(connection)


def close(
    connection: sqlite3.Connection,
    written: Path | None,
    counted: Path | None,
    copy: TemporaryDirectory[str] | None,
    process: int,
) -> None:
    """Close a journal's file.

    Args:
        connection: The open file.
        written: The path, if the file was open for writing. Else None.
        counted: The path, if `note_open` has counted this connection. Else None.
        copy: The folder of the temporary copy, if the connection reads a copy.
        process: The ID of the process that opened the file.
    """
    if os.getpid() != process:
        return  # a forked process must not use the connections of its parent
    try:
        if written is not None:
            end_writing(connection)
    except sqlite3.Error:
        close_as_killed(connection, written)  # probably a full disk, which an earlier error has reported
    else:
        connection.close()
    if counted is not None:
        note_open(counted, more=-1)
    if copy is not None:
        copy.cleanup()


def close_as_killed(connection: sqlite3.Connection, path: Path | None) -> None:
    """Close the connection and leave the mark and the write-ahead log, as after a kill.

    SQLite does not remove the log while another connection is open.
    """
    with contextlib.suppress(sqlite3.Error, JournalError), contextlib.ExitStack() as stack:
        if path is not None:
            other = stack.enter_context(contextlib.closing(connect(path, "ro")))
            queries.touch(other)
        connection.close()
    with contextlib.suppress(sqlite3.Error):
        connection.close()
