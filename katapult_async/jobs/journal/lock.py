"""The lock of a run: only one process at a time executes it.

The operating system releases the lock when the process ends. The lock is on a file of its own, next
to the journal. On the journal itself, closing any handle of the process would release SQLite's
locks. The lock file is removed when the lock is released.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path
from types import TracebackType

from katapult_async.jobs.errors import JournalLocked, JournalWriteError

if sys.platform == "win32":  # pragma: no cover - the same with Windows' own call
    import msvcrt

    def _try_lock(handle: int) -> bool:
        try:
            # Lock a byte far behind the text, so that other processes can read the text.
            os.lseek(handle, 1 << 20, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class RunLock:
    """The lock of one run. Use it as a context manager, or call `acquire` and `release`."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._path = lock_path(journal)
        self._handle: int | None = None

    def __repr__(self) -> str:
        return f"<RunLock {self._path} {'held' if self._handle is not None else 'not held'}>"

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            JournalLocked: Another process has the lock. The message names the process.
            JournalWriteError: The lock file cannot be written.
        """
        while True:
            try:
                handle = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
            except OSError as exc:
                raise self._not_writable(exc) from exc
            if not _try_for_a_moment(handle):
                os.close(handle)
                holder = held_by(self._journal) or "another process"
                raise JournalLocked(
                    f"{holder} is executing the run {self._journal}. Wait for it, or stop it there"
                )
            if self._is_still_there(handle):
                break
            os.close(handle)  # the previous holder has removed this file
        self._handle = handle
        try:
            os.ftruncate(handle, 0)
            os.lseek(handle, 0, os.SEEK_SET)
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        except OSError as exc:  # the disk is full
            self.release()
            raise self._not_writable(exc) from exc

    def _not_writable(self, exc: OSError) -> JournalWriteError:
        return JournalWriteError(
            f"cannot lock the run {self._journal}: {self._path} cannot be written: {exc.strerror}. Nothing was sent"
        )

    def _is_still_there(self, handle: int) -> bool:
        try:
            return os.path.samestat(os.fstat(handle), self._path.stat())
        except OSError:
            return False

    def release(self) -> None:
        """Release the lock. Without effect if it is not held."""
        handle, self._handle = self._handle, None
        if handle is None:
            return
        try:
            # A different file of that name is the lock of another process: leave it. That happens
            # if somebody has removed this file.
            if self._is_still_there(handle):
                self._path.unlink(missing_ok=True)
        finally:
            os.close(handle)

    def __enter__(self) -> RunLock:
        self.acquire()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


def _try_for_a_moment(handle: int) -> bool:
    # `held_by` of another process takes the lock for an instant, too.
    for _ in range(5):
        if _try_lock(handle):
            return True
        time.sleep(0.02)
    return False


def lock_path(journal: Path) -> Path:
    """Return the path of a journal's lock file. Symbolic links of the journal are resolved."""
    real = Path(os.path.realpath(journal))
    return real.with_name(real.name + ".lock")


def held_by(journal: Path) -> str | None:
    """Return the process that executes a run now, such as "process 4711 on host", or None."""
    try:
        handle = os.open(lock_path(journal), os.O_RDONLY)  # read-only, for runs of other users
    except OSError:
        return None
    try:
        if _try_lock(handle):
            return None  # a killed process has left the file
        return os.read(handle, 200).decode("utf-8", "replace").strip() or "another process"
    finally:
        os.close(handle)
