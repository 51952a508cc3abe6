"""A budget for the processes of one user on one machine: a file for each token, under a lock that dies with its owner.

The clock is the machine's monotonic one, which all processes share. A state from before the machine was restarted is
not believed.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
import zlib
from pathlib import Path

import anyio

from katapult_async.file_lock import try_lock, unlock

from .state import Look, State, exchange
from .store import BudgetError, Looked, StoreUnavailable, read_state, write_state

#: Seconds between two looks at whether the file has changed, while something is waited for.
POLL = 0.05
#: Seconds that the lock is waited for, and between two attempts. It is held for less than a millisecond.
PATIENCE, ATTEMPT = 2.0, 0.001
#: The head of the file: a counter of signals (8 bytes), the length and the checksum of the rest (4 bytes each), and
#: where the machine's clock began (16 bytes).
HEAD = 32
#: Seconds by which the moment when the machine was started may seem to move, because its clock is set.
SAME_START = 30.0


class FileBudget:
    """A budget in files of this machine.

    Args:
        path: The folder; by default `katapult-async` in the user's runtime or cache folder. It is made if there is
            none, for this user alone.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._folder = Path(path) if path is not None else default_folder()

    def __repr__(self) -> str:
        return f"<FileBudget {self._folder}>"

    async def check(self) -> None:
        """Make the folder.

        Raises:
            BudgetError: If it cannot be made, or others may write into it.
        """
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            info = self._folder.stat()
        except OSError as exc:
            raise BudgetError(f"the budget's folder {self._folder} cannot be used: {exc.strerror}") from exc
        if not stat.S_ISDIR(info.st_mode):
            raise BudgetError(f"the budget's folder {self._folder} is not a folder")
        if sys.platform != "win32" and (info.st_uid != os.getuid() or info.st_mode & 0o022):
            raise BudgetError(
                f"the budget's folder {self._folder} can be written by other users: name another one, or chmod 700"
            )

    def store(self, key: str, *, period: float, limit: int | None) -> FileStore:
        """The store of one token. See Budget."""
        return FileStore(self._folder / f"{key}.budget", period=period, limit=limit)


def default_folder() -> Path:
    """Where budgets are kept if nobody says otherwise."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir():
        return Path(runtime, "katapult-async")
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home(), "katapult-async")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "katapult-async"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "katapult-async")


class FileStore:
    """The state of one token in one file.

    Args:
        path: The file.
        period: The length of a window in seconds, for a new state.
        limit: Requests per window if they are known, for a new state.
    """

    def __init__(self, path: Path, *, period: float, limit: int | None) -> None:
        self._path = path
        self._period = period
        self._limit = limit
        self._file: int | None = None
        self._signals = 0

    def __repr__(self) -> str:
        return f"<FileStore {self._path}>"

    async def exchange(self, look: Look) -> Looked:
        """See Store."""
        file = await self._lock()
        try:
            state, signals = self._load(file)
            if state is None:
                state = State.start(self._period, self._limit)
            now = time.monotonic()
            seen = exchange(state, now, look)
            if seen.others:
                signals += 1
            self._signals = signals
            self._save(file, state, signals)
        except OSError as exc:
            raise StoreUnavailable(f"{self._path}: {exc.strerror}") from exc
        finally:
            unlock(file)
        return Looked(seen, state, now)

    async def read(self) -> tuple[State | None, float]:
        """See Store."""
        if not self._path.exists():
            return None, time.monotonic()
        file = await self._lock()
        try:
            return self._load(file)[0], time.monotonic()
        except OSError as exc:
            raise StoreUnavailable(f"{self._path}: {exc.strerror}") from exc
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

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    async def _lock(self) -> int:
        """The open file, locked. Somebody may have removed or replaced it meanwhile."""
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                if self._file is None:
                    flags = (
                        os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
                    )
                    self._file = os.open(self._path, flags, 0o600)
                if try_lock(self._file):
                    if os.path.samestat(os.fstat(self._file), self._path.stat()):
                        return self._file
                    self._close()
                    continue
            except FileNotFoundError:
                self._close()
                if not self._path.parent.is_dir():
                    raise StoreUnavailable(f"{self._path.parent} is gone") from None
                continue
            except OSError as exc:
                self._close()
                raise StoreUnavailable(f"{self._path}: {exc.strerror}") from exc
            if time.monotonic() > give_up:
                raise StoreUnavailable(f"{self._path} is locked by another process")
            await anyio.sleep(ATTEMPT)

    def _load(self, file: int) -> tuple[State | None, int]:
        data = _read(file, os.fstat(file).st_size)
        if len(data) < HEAD:
            return None, 0
        signals, length, checksum = _number(data[:8]), _number(data[8:12]), _number(data[12:16])
        body = data[HEAD : HEAD + length]
        if abs(float(data[16:32]) - _started()) > SAME_START or zlib.crc32(body) != checksum:
            return None, signals  # the machine was restarted since, or somebody was killed while writing
        try:
            return read_state(body), signals
        except ValueError:
            return None, signals

    def _save(self, file: int, state: State, signals: int) -> None:
        body = write_state(state)
        started = f"{_started():16.3f}".encode()[:16]
        head = _bytes(signals, 8) + _bytes(len(body), 4) + _bytes(zlib.crc32(body), 4) + started
        os.lseek(file, 0, os.SEEK_SET)
        if os.write(file, head + body) != HEAD + len(body):
            raise OSError(errno.ENOSPC, "no space left on device")


def _started() -> float:
    """When the machine's monotonic clock was at zero, unix time."""
    return time.time() - time.monotonic()


def _read(file: int, size: int) -> bytes:
    os.lseek(file, 0, os.SEEK_SET)
    return os.read(file, size)


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _bytes(number: int, size: int) -> bytes:
    return number.to_bytes(size, "little")
