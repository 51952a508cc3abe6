"""The lock of a run: one process at a time executes it.

The operating system releases the lock when the process ends.

It lies in a file of its own beside the journal: SQLite's locks on the journal itself would be lost
when any other handle on that file is closed. The file goes away with the lock.
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
            # Far behind the text, which others may then still read.
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
    """The right to execute the run of one journal."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._path = lock_path(journal)
        self._handle: int | None = None

    def __repr__(self) -> str:
        return f"<RunLock {self._path} {'held' if self._handle is not None else 'not held'}>"

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            JournalLocked: Another process has it. The message names the process.
            JournalWriteError: The file of the lock cannot be written.
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
            os.close(handle)  # the one who had it has removed the file meanwhile
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
        """Give it back. Without effect if it is not held."""
        handle, self._handle = self._handle, None
        if handle is None:
            return
        try:
            # While it is held, nobody else takes it. Another file of that name, made after somebody
            # has removed this one, is the lock of another process.
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
    # Whoever asks for the holder takes the lock for an instant, too.
    for _ in range(5):
        if _try_lock(handle):
            return True
        time.sleep(0.02)
    return False


def lock_path(journal: Path) -> Path:
    """Where the lock of a journal lies: beside the file itself, whatever links lead to it."""
    real = Path(os.path.realpath(journal))
    return real.with_name(real.name + ".lock")


def held_by(journal: Path) -> str | None:
    """Who executes this run at this moment, as in "process 4711 on host"; None if nobody does."""
    try:
        handle = os.open(lock_path(journal), os.O_RDONLY)  # somebody else's run may be looked at, too
    except OSError:
        return None
    try:
        if _try_lock(handle):
            return None  # left behind by a process that was killed
        return os.read(handle, 200).decode("utf-8", "replace").strip() or "another process"
    finally:
        os.close(handle)
