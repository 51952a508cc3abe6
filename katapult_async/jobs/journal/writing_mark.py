"""The mark in a journal's file that it is open for writing.

It is set before the first record, and removed with the last.

What a file with the mark and without its write-ahead log means is judged by `integrity`.
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

#: Frames of the write-ahead log that SQLite writes before it starts again from the beginning,
#: mostly.
RESERVED_FRAMES = 1000


def begin_writing(
    connection: sqlite3.Connection, path: Path, *, first: Callable[[sqlite3.Connection], None] | None = None
) -> None:
    """Record in the file itself that it is open for writing. Raises sqlite3.Error.

    Args:
        connection: The open file.
        path: Its path.
        first: A change that is made in the same transaction.
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
    """Make the log at least so long. It needs no space on most file systems: nothing is written."""
    try:
        with wal.open("rb+") as file:
            if os.fstat(file.fileno()).st_size < size:
                file.truncate(size)
                os.fsync(file.fileno())
    except OSError:
        return False
    return True


def end_writing(connection: sqlite3.Connection) -> None:
    """Record that nothing more comes, and take over the whole log. Raises sqlite3.Error."""
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
        written: Its path, if it was open for writing.
        counted: Its path, if it counts as open.
        copy: The folder of the copy that was read.
        process: The process that opened it.
    """
    if os.getpid() != process:
        return  # SQLite's connections do not survive a fork
    try:
        if written is not None:
            end_writing(connection)
    except sqlite3.Error:
        close_as_killed(connection, written)  # a full disk, which has been complained about before
    else:
        connection.close()
    if counted is not None:
        note_open(counted, more=-1)
    if copy is not None:
        copy.cleanup()


def close_as_killed(connection: sqlite3.Connection, path: Path | None) -> None:
    """Close the file so that it says that it is open, and leave its write-ahead log.

    Another connection keeps SQLite from removing the log.
    """
    with contextlib.suppress(sqlite3.Error, JournalError), contextlib.ExitStack() as stack:
        if path is not None:
            other = stack.enter_context(contextlib.closing(connect(path, "ro")))
            queries.touch(other)
        connection.close()
    with contextlib.suppress(sqlite3.Error):
        connection.close()
