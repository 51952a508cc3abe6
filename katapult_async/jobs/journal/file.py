"""The file of a journal: refuse wrong files, open a file, give a new file its name.

Of the content, this module reads only the version of the format.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections import Counter
from pathlib import Path
from urllib.parse import quote

from katapult_async.jobs.errors import JournalDamaged, JournalError, JournalExists, JournalWriteError

from .schema import APPLICATION_ID, VERSION
from .statements import pragma

#: No SQLite file is smaller than its header (bytes).
_SMALLEST = 100
#: Suffixes of the files that SQLite creates next to an open file. After a crash they remain, and
#: are part of the journal.
SIDE_FILES = ("-wal", "-shm", "-journal")
_open_here: Counter[tuple[int, int]] = Counter()


def cannot_write(path: Path | None, exc: Exception) -> JournalWriteError:
    """Return the error for a journal that cannot be written to.

    Args:
        path: The file. None for the temporary journal of a preview.
        exc: The cause.
    """
    if path is None:
        return JournalWriteError(
            f"the temporary folder cannot be written to: {reason_of(exc)}. Free some space there, and try again"
        )
    return JournalWriteError(
        f"the journal {path} cannot be written: {reason_of(exc)}. All earlier records are safe. Free some disk space, or get "
        "permission to write there, and resume the run"
    )


def reason_of(exc: Exception) -> str:
    """Return the reason of an error. For an OSError, the message of the operating system."""
    return str(exc.strerror) if isinstance(exc, OSError) and exc.strerror else str(exc)


def sync(path: Path) -> None:
    """Write a file to the disk (fsync)."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def publish(draft: Path, path: Path) -> None:
    """Give a complete draft its name. Raises JournalExists if that file exists."""
    try:
        os.link(draft, path)
    except FileExistsError:
        raise JournalExists(f"{path} exists already. Name another file for this run") from None
    except OSError:  # a file system without hard links
        if path.exists():
            raise JournalExists(f"{path} exists already. Name another file for this run") from None
        draft.rename(path)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def side_file(path: Path, ending: str) -> Path:
    """Return the path of a side file of a journal. Symbolic links of the journal are resolved."""
    real = Path(os.path.realpath(path))
    return real.with_name(real.name + ending)


def check_free(path: Path) -> None:
    """Raise JournalExists if the file or one of its side files exists.

    SQLite would read an old write-ahead log as that of the new journal.
    """
    if path.exists():
        raise JournalExists(f"{path} exists already. Name another file for this run")
    for ending in SIDE_FILES:
        if (left := side_file(path, ending)).exists():
            raise JournalExists(
                f"{left} belongs to the journal {path}, which is missing, and holds its latest records. Put the journal "
                "back, move this file away, or name another file for this run"
            )


def check_file(path: Path) -> None:
    """Raise an error for a file that cannot be a journal, before SQLite opens it.

    This function must not open the file: closing it would release the locks of this process's other
    connections (POSIX).
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        raise JournalError(f"{path} does not exist") from None
    except OSError as exc:
        raise JournalError(f"the journal {path} cannot be read: {exc.strerror}") from exc
    if not stat.S_ISREG(found.st_mode) or found.st_size < _SMALLEST:
        raise JournalDamaged(f"{path} is not the journal of a run, or it is damaged. It was not changed")
    if found.st_nlink > 1:
        raise JournalError(
            f"{path} has a second name (a hard link), and a journal must have one name only. Remove the other one"
        )


def note_open(path: Path, *, more: int) -> None:
    """Count the connections that this process has to a file.

    Args:
        path: The file.
        more: 1 when one is opened, -1 when it is closed.
    """
    with contextlib.suppress(OSError):
        _open_here[_identity(path)] += more


def is_open_here(path: Path) -> bool:
    """Return whether this process has a connection to the file."""
    try:
        return _open_here[_identity(path)] > 0
    except OSError:
        return False


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def state_of(path: Path) -> tuple[object, ...]:
    """Return a value that changes when the file or its write-ahead log is written."""
    return _state_of(path), _state_of(side_file(path, "-wal"))


def _state_of(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def reading_mode(path: Path) -> str:
    """Return the mode to open a file that must not change."""
    # Without a write-ahead log, "ro" alone would create side files.
    return "ro" if side_file(path, "-wal").exists() else "ro&immutable=1"


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open a connection. Raises JournalError.

    Args:
        path: The file.
        mode: The mode in SQLite's URI, such as "rw".
    """
    try:
        return sqlite3.connect(
            f"file:{quote(str(path.absolute()))}?mode={mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=10.0,
        )
    except sqlite3.Error as exc:
        raise translate(path, exc) from exc


def check_version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of a journal's format.

    Raises:
        JournalDamaged: The file is not a journal, or is from a newer version.
        sqlite3.OperationalError: The file cannot be read.
    """
    try:
        application = pragma(connection, "application_id")
        version = pragma(connection, "user_version")
    except sqlite3.OperationalError:
        raise
    except (sqlite3.DatabaseError, UnicodeDecodeError) as exc:
        raise JournalDamaged(
            f"{path} is not the journal of a run, or it is damaged: {exc}. It was not changed"
        ) from exc
    if application != APPLICATION_ID or not isinstance(version, int) or version < 1:
        raise JournalDamaged(f"{path} is an SQLite file, but not the journal of a run. It was not changed")
    if version > VERSION:
        raise JournalDamaged(
            f"{path} was written by a newer version of katapult-async (journal format {version}; this version reads up to "
            f"{VERSION}). Use that version"
        )
    return version


def translate(path: Path, exc: sqlite3.Error) -> JournalError:
    """Return the JournalError for an error of SQLite."""
    if isinstance(exc, sqlite3.OperationalError):
        return cannot_write(path, exc)
    return JournalDamaged(f"{path} is damaged: {exc}. It was not changed")
