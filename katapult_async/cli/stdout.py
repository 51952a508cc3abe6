"""Standard output of commands that only print: closed, full or in order, the exit code says so."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable
from typing import TextIO

from katapult_async.cli.bulk import OK, bad_input


def write_out(write: Callable[[TextIO], object], *, instead: str = "") -> int:
    """Write to standard output and return the exit code. A closed pipe is the caller's business.

    Args:
        write: Is called with standard output.
        instead: What the user can do where standard output takes nothing.
    """
    out: TextIO | None = sys.stdout  # None if it was closed before this program began
    if out is None:
        return bad_input(f"standard output is closed{instead}")
    try:
        write(out)
        out.flush()
    except BrokenPipeError:
        raise
    except OSError as exc:
        _give_up(out)
        return bad_input(f"cannot write to standard output: {exc.strerror}{instead}")
    return OK


def print_lines(lines: Iterable[str]) -> int:
    """Print lines and return the exit code."""
    return write_out(lambda out: out.writelines(f"{line}\n" for line in lines))


def _give_up(out: TextIO) -> None:
    # The interpreter writes what is left in the buffer when it ends, and would complain a second time.
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, out.fileno())
        os.close(nowhere)
