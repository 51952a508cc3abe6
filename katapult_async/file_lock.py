"""A lock on an open file, released by the operating system when the process ends."""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":  # pragma: no cover - the same with Windows' own call
    import msvcrt

    #: An offset far behind the content, which other processes may still read.
    _LOCK_OFFSET = 1 << 30

    def try_lock(handle: int) -> bool:
        """Take the lock. Return False if another process has it."""
        try:
            os.lseek(handle, _LOCK_OFFSET, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def unlock(handle: int) -> None:
        """Release the lock."""
        os.lseek(handle, _LOCK_OFFSET, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def try_lock(handle: int) -> bool:
        """Take the lock. Return False if another process has it."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(handle: int) -> None:
        """Release the lock."""
        fcntl.flock(handle, fcntl.LOCK_UN)
