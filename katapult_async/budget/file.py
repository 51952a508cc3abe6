"""A budget for the processes of one user on one machine: one locked file for each token.

The system releases the lock when its owner dies. The clock is the machine's monotonic clock, which
all processes share. A state from before the last restart of the machine is ignored.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import socket
import stat
import sys
import time
import zlib
from functools import cache
from pathlib import Path

import anyio

from katapult_async.file_lock import try_lock, unlock

from .errors import BudgetError, StoreUnavailable
from .exchange import exchange
from .state import Look, Looked, State
from .store import read_state, write_state

#: Seconds between two checks for a change of the file, while requests wait.
POLL = 0.05
#: Seconds to wait for the lock, and between two attempts. The lock is held for less than 1 ms.
PATIENCE, ATTEMPT = 2.0, 0.001
#: Bytes of the file's header: a counter of signals (8), the length and the checksum of the state (4
#: each), and the identity of the machine's start (16).
HEAD = 32
#: Seconds by which the computed time of the machine's start may differ, because somebody sets the
#: clock. Used only where the system has no boot ID.
SAME_START = 30.0
#: Seconds after which a file from another start of the machine is removed.
FORGOTTEN = 86400.0
#: The period for `read_state` where no process has configured one.
NO_PERIOD = 0.0

_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class FileBudget:
    """A budget in files of this machine, for the processes of one user.

    Args:
        path: The folder. The default is `katapult-async` in the user's cache folder, which is the
            same for a terminal, a cron job and a service of one user. A missing folder is created
            with access for this user only.

    Raises:
        BudgetError: If no path is given and the user has no home folder.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._folder = Path(path) if path is not None else default_folder()

    def __repr__(self) -> str:
        return f"<FileBudget {self._folder}>"

    async def check(self) -> None:
        """Create the folder, and check its owner and permissions.

        Raises:
            BudgetError: If the folder cannot be created or written, belongs to another user, or can
                be written by other users.
        """
        _make(self._folder)
        if not os.access(self._folder, os.W_OK | os.X_OK):
            raise BudgetError(f"{self._folder} cannot be written: give the budget another folder")

    def store(self, key: str) -> FileStore:
        """Return the store of one token. See Budget."""
        return FileStore(self._folder, key)


def _make(folder: Path) -> None:
    """Create the folder unless it exists. Raises BudgetError if this user must not use it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        info = folder.stat()
    except FileExistsError:
        raise BudgetError(f"{folder} is not a folder: give the budget another one") from None
    except OSError as exc:
        raise BudgetError(
            f"the budget's folder {folder} cannot be created ({exc.strerror}): give the budget another one"
        ) from exc
    if sys.platform == "win32":
        return
    if info.st_uid != os.getuid():
        raise BudgetError(f"{folder} belongs to another user: give the budget another folder")
    if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise BudgetError(f"other users can write to {folder}: run chmod 700 on it, or give another folder")


def default_folder() -> Path:
    """Return the folder for budgets if the caller names none.

    This is not the runtime folder, because cron jobs and terminals of one user have different ones.

    Raises:
        BudgetError: If the user has no home folder.
    """
    try:
        if sys.platform == "win32":
            return Path(os.environ.get("LOCALAPPDATA") or Path.home(), "katapult-async")
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches" / "katapult-async"
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "katapult-async")
    except RuntimeError:
        raise BudgetError("this user has no home folder: name one, as in FileBudget('/var/tmp/me')") from None


class FileStore:
    """The state of one token in one file.

    Args:
        folder: The folder of the file.
        key: The name of the token's budget.
    """

    def __init__(self, folder: Path, key: str) -> None:
        # Machines that share a home folder have different clocks, so each has its own file.
        self._path = folder / f"{key}-{_machine()}.budget"
        self._others = f"{key}-*.budget"
        self._file: int | None = None
        self._signals = 0

    def __repr__(self) -> str:
        return f"<FileStore {self._path}>"

    def __str__(self) -> str:
        return str(self._path.parent)

    async def exchange(self, look: Look) -> Looked:
        """See Store."""
        file = await self._lock()
        try:
            state, signals = self._load(file, look.period)
            looked = exchange(state, time.monotonic(), look)
            if looked.seen.others:
                signals += 1
            _save(file, looked.state, signals)
            self._signals = signals
        except OSError as exc:
            raise self._unavailable(exc) from exc
        finally:
            unlock(file)
        return looked

    async def read(self) -> tuple[State | None, float]:
        """See Store."""
        if not self._path.exists():
            return None, time.monotonic()
        file = await self._lock()
        try:
            return self._load(file, NO_PERIOD)[0], time.monotonic()
        except OSError as exc:
            raise self._unavailable(exc) from exc
        finally:
            unlock(file)

    async def changed(self) -> None:
        """See Store."""
        while True:
            await anyio.sleep(POLL)
            try:
                if self._file is None or _number(_read(self._file, 8)) != self._signals:
                    return
            except OSError:
                return

    async def aclose(self) -> None:
        """See Store."""
        self._close()

    def _unavailable(self, exc: OSError) -> StoreUnavailable:
        return StoreUnavailable(f"{self._path}: {exc.strerror or exc}")

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    async def _lock(self) -> int:
        """Return the open file with the lock held."""
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                if self._file is None:
                    self._file = self._open()
                if try_lock(self._file):
                    if self._is_in_place(self._file):
                        return self._file
                    self._close()  # another process has removed or replaced the file
            except OSError as exc:
                self._close()
                raise self._unavailable(exc) from exc
            if time.monotonic() > give_up:
                raise StoreUnavailable(f"another process keeps {self._path} locked")
            await anyio.sleep(ATTEMPT)

    def _open(self) -> int:
        try:
            file = os.open(self._path, _FLAGS, 0o600)
        except FileNotFoundError:
            try:
                _make(self._path.parent)  # the cache folder was cleaned
            except BudgetError as exc:
                raise StoreUnavailable(exc.message) from None
            file = os.open(self._path, _FLAGS, 0o600)
        if os.fstat(file).st_size == 0:
            self._forget_others()
        return file

    def _is_in_place(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), self._path.stat())
        except FileNotFoundError:
            return False

    def _forget_others(self) -> None:
        """Remove files of this token from before the machine was restarted."""
        for path in self._path.parent.glob(self._others):
            with contextlib.suppress(OSError):
                if path != self._path and time.time() - path.stat().st_mtime > FORGOTTEN:
                    path.unlink()

    def _load(self, file: int, period: float) -> tuple[State | None, int]:
        """Return the state and the signal counter. The state is None if it is unusable."""
        info = os.fstat(file)
        data = _read(file, info.st_size)
        if len(data) < HEAD:
            return None, 0
        signals, length, checksum = _number(data[:8]), _number(data[8:12]), _number(data[12:16])
        body = data[HEAD : HEAD + length]
        if not _is_of_this_start(data[16:HEAD]) or zlib.crc32(body) != checksum:
            return None, signals
        return read_state(body, age=time.time() - info.st_mtime, period=period), signals


def _save(file: int, state: State, signals: int) -> None:
    body = write_state(state)
    head = _bytes(signals % (1 << 63), 8) + _bytes(len(body), 4) + _bytes(zlib.crc32(body), 4) + _start()
    os.lseek(file, 0, os.SEEK_SET)
    if os.write(file, head + body) != HEAD + len(body):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@cache
def _boot_id() -> str | None:
    """Return the kernel's boot ID, or None where it has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        return None


@cache
def _machine() -> str:
    return hashlib.blake2b((_boot_id() or socket.gethostname()).encode(), digest_size=4).hexdigest()


def _start() -> bytes:
    """Return the identity of the machine's start, as in the header of the file."""
    boot = _boot_id()
    if boot is not None:
        return hashlib.blake2b(boot.encode(), digest_size=16).digest()
    return f"{time.time() - time.monotonic():16.3f}".encode()[:16]


def _is_of_this_start(start: bytes) -> bool:
    now = _start()
    if start == now or _boot_id() is not None:
        return start == now
    try:
        return abs(float(start) - float(now)) <= SAME_START
    except ValueError:
        return False


def _read(file: int, size: int) -> bytes:
    os.lseek(file, 0, os.SEEK_SET)
    return os.read(file, size)


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _bytes(number: int, size: int) -> bytes:
    return number.to_bytes(size, "little")
