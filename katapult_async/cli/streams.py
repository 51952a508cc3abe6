"""Standard streams that fail with one sentence: closed, full, or read by nobody.

Errors of standard output become OutputError, so that no command takes them for an error of another file. Errors of
standard error are ignored, because no place is left to report them.
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
    """Fails once. What is still in buffers then goes nowhere."""

    broken = False

    def write(self, data: Buffer, /) -> int:
        if self.broken:
            return len(memoryview(data))
        try:
            return super().write(data)
        except BrokenPipeError:
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
    """Replace the standard streams, once, before anything is opened.

    A descriptor that the caller has closed is opened on the null device. Otherwise the next file, for example a journal,
    would get its number.

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
    """Send what is left in the buffers nowhere, so that the interpreter's last flush does not fail."""
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
    # Programs that call `main` may have put another object in the place of a stream.
    return isinstance(stream, io.TextIOWrapper)


def _wrapped(raw: io.FileIO, encoding: str, *, write_through: bool) -> TextIO:
    # Text of the API may have characters that an old locale does not have. That must not end a run.
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=raw.isatty() or write_through,
        write_through=write_through,
    )
