"""A lock on an open file that the operating system takes back when its process ends."""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":  # pragma: no cover - the same with Windows' own call
    import msvcrt

    #: Far behind what the file contains, which others may then still read.
    _PLACE = 1 << 30

    def try_lock(handle: int) -> bool:
        """Take the lock, unless another process has it."""
        try:
            os.lseek(handle, _PLACE, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def unlock(handle: int) -> None:
        """Give it back."""
        os.lseek(handle, _PLACE, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def try_lock(handle: int) -> bool:
        """Take the lock, unless another process has it."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(handle: int) -> None:
        """Give it back."""
        fcntl.flock(handle, fcntl.LOCK_UN)
