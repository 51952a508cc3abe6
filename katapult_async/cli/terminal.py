"""What a stream or a terminal can do: escape codes, colors, width, and keys that must not show.

Decided here once. Left to themselves, rich and typer believe FORCE_COLOR, or the CI that they run in, more than the pipe
that they write to.
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
    """Return whether only plain lines may be written to `stream`."""
    if stream is None or not stream.isatty():
        return True
    return environment.get("TERM", "").lower() in {"dumb", "unknown"}


def has_colors(stream: TextIO | None, environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether colors may be written to `stream` (see no-color.org)."""
    return not (is_plain(stream, environment) or environment.get("NO_COLOR"))


def width_of(stream: TextIO) -> int:
    """Return the columns of the terminal behind `stream` at this moment."""
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        columns = 0
    return columns or 80


def wrapped(text: str, stream: TextIO) -> str:
    """Break a sentence between words at the width of the terminal behind `stream`. For a file it stays one line."""
    if is_plain(stream):
        return text
    return textwrap.fill(text, width_of(stream), break_long_words=False, break_on_hyphens=False)


def open_terminal() -> int | None:
    """Open the terminal of the person at the keyboard; None if there is none.

    This is the terminal of standard input, wherever the other streams go, or else the controlling terminal while this
    process is in its foreground.

    Returns:
        A descriptor that the caller closes.
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
    """Do not show typed keys on the terminal behind `stream` while the block runs. Ctrl-C keeps its meaning."""
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
    """Forget the keys that were typed and not read yet."""
    if termios is not None:
        with contextlib.suppress(termios.error):
            termios.tcflush(terminal, termios.TCIFLUSH)


def _in_foreground(terminal: int) -> bool:
    # A process in the background is stopped when it reads from the terminal or changes its settings.
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return os.isatty(terminal)  # not the controlling terminal: no process has the foreground
