"""Standard streams whose errors end a command with one message.

Errors of standard output become OutputError, so that no command mistakes them for an error of
another file. Errors of standard error are ignored, because they cannot be reported.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from typing_extensions import Buffer  # in collections.abc from Python 3.12 on


class OutputError(OSError):
    """Standard output cannot be written."""


class _Output(io.FileIO):
    """Fails once. Later writes are discarded."""

    broken = False

    def write(self, data: Buffer, /) -> int:
        if self.broken:
            return len(memoryview(data))
        try:
            return super().write(data)
        except BrokenPipeError:
            # From Python 3.14 on, the interpreter reports the error of a stream's last flush.
            self.broken = True
            raise
        except OSError as exc:
            self.broken = True
            raise OutputError(exc.errno, exc.strerror) from None


class _Remarks(io.FileIO):
    def write(self, data: Buffer, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(memoryview(data))


def guard() -> None:
    """Replace the standard streams, once, before any file is opened.

    Opens closed descriptors on the null device. Otherwise the next file, for example a journal,
    would get the number of a standard stream.

    Raises:
        OutputError: If standard output is closed.
    """
    closed = [number for number in (0, 1, 2) if not _is_open(number)]
    for _ in closed:
        os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    if _is_real(sys.stderr):
        sys.stderr = _wrapped(_Remarks(2, "w", closefd=False), sys.stderr.encoding, write_through=True)
    if sys.stdout is None or 1 in closed:
        raise OutputError(9, "it is closed")
    if _is_real(sys.stdout):
        sys.stdout = _wrapped(_Output(1, "w", closefd=False), sys.stdout.encoding, write_through=False)


def give_up_output() -> None:
    """Discard buffered output, so that the interpreter's last flush does not fail."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _is_real(stream: TextIO | None) -> bool:
    # Programs that call `main` may have replaced a stream with another object.
    return isinstance(stream, io.TextIOWrapper)


def _wrapped(raw: io.FileIO, encoding: str, *, write_through: bool) -> TextIO:
    # Characters of the API's text that the locale lacks must not end a run.
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=raw.isatty() or write_through,
        write_through=write_through,
    )
