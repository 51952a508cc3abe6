"""The abilities of a stream or terminal: escape codes, colors, width and hidden keys.

Decided only here, because rich and typer write escape codes to a pipe if FORCE_COLOR or a variable
of a CI system is set.
"""

from __future__ import annotations

import contextlib
import os
import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import TextIO

try:
    import termios
except ModuleNotFoundError:  # pragma: no cover - Windows
    termios = None  # type: ignore[assignment]


def is_plain(stream: TextIO | None, environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether `stream` accepts plain lines only."""
    if stream is None or not stream.isatty():
        return True
    return environment.get("TERM", "").lower() in {"dumb", "unknown"}


def has_colors(stream: TextIO | None, environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether `stream` accepts colors (see no-color.org)."""
    return not (is_plain(stream, environment) or environment.get("NO_COLOR"))


def width_of(stream: TextIO) -> int:
    """Return the current columns of the terminal behind `stream`. 80 without a terminal.

    All uses of the width of a terminal:

    - `wrapped`: sentences of preflight.py.
    - `Live` in live.py: counts the rows of the painted lines, and passes the width to the functions
      that return the live lines, in progress.py, watch.py, budget.py and load_progress.py.

    No table depends on it. Reports have 79 columns (`WIDTH` in jobs/report/text.py). Other tables
    are as wide as their content. Help has at most 80 columns (`max_content_width` in program.py).
    """
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        columns = 0
    return columns or 80


def wrapped(text: str, stream: TextIO) -> str:
    """Break text between words at the width of the terminal behind `stream`, if it is one."""
    if is_plain(stream):
        return text
    return textwrap.fill(text, width_of(stream), break_long_words=False, break_on_hyphens=False)


def open_terminal() -> int | None:
    """Open the terminal of the user.

    This is the terminal of standard input, else the controlling terminal if this process is in its
    foreground.

    Returns:
        A descriptor that the caller must close. None without a terminal.
    """
    if termios is None:  # pragma: no cover - Windows
        return None
    if sys.stdin is not None:
        with contextlib.suppress(OSError, ValueError):
            if sys.stdin.isatty():
                return os.open(os.ttyname(sys.stdin.fileno()), os.O_RDWR | os.O_NOCTTY)
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return None
    if _in_foreground(terminal):
        return terminal
    os.close(terminal)
    return None


@contextlib.contextmanager
def hidden_keys(stream: TextIO) -> Iterator[None]:
    """Hide typed keys on the terminal behind `stream` while the block runs. Ctrl-C still works."""
    if termios is None:  # pragma: no cover - Windows
        yield
        return
    if not stream.isatty() or not _in_foreground(stream.fileno()):
        yield
        return
    number = stream.fileno()
    before = termios.tcgetattr(number)
    hidden = [*before]
    hidden[3] &= ~termios.ECHO
    termios.tcsetattr(number, termios.TCSADRAIN, hidden)
    try:
        yield
    finally:
        if _in_foreground(number):
            termios.tcsetattr(number, termios.TCSADRAIN, before)


def discard_typed(terminal: int) -> None:
    """Discard typed keys that were not read yet."""
    if termios is not None:
        with contextlib.suppress(termios.error):
            termios.tcflush(terminal, termios.TCIFLUSH)


def _in_foreground(terminal: int) -> bool:
    # The system stops a background process that reads from the terminal or changes its settings.
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return os.isatty(terminal)  # not the controlling terminal: no process has the foreground
