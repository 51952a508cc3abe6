"""A few lines at the bottom of a terminal that are repainted, also after the terminal's resizing.

Terminals rewrap lines when their width changes. So before it overwrites its last lines, the painter
counts the rows that they take at the current width.
"""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, TextIO

from katapult_async.cli.terminal import has_colors, hidden_keys, width_of

#: Seconds between two paintings.
PAINT_EVERY = 0.25
_CODES = {"green": "32", "red": "31", "yellow": "33", "dim": "2", "bold": "1"}


class Part(NamedTuple):
    """A piece of a line.

    Attributes:
        text: The characters.
        style: A color or another style; empty for none.
    """

    text: str
    style: str = ""


#: The parts of one line.
Line = list[Part]


def columns_of(text: str) -> int:
    """Return the columns of a text on a terminal, with wide and combining characters."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def cut(text: str, columns: int) -> str:
    """Return the start of a text that fits into this many columns."""
    while columns_of(text) > columns:
        text = text[: columns if text.isascii() else -1]
    return text


def columns_of_line(line: Line) -> int:
    """Return the columns that a line takes."""
    return sum(columns_of(part.text) for part in line)


def fitted(parts: list[Part], columns: int) -> list[Line]:
    """Join parts with commas into lines of at most `columns`. A wider part is cut."""
    lines: list[Line] = []
    for part in parts:
        if lines and columns_of_line(lines[-1]) + 2 + columns_of(part.text) <= columns:
            lines[-1] += [Part(", "), part]
        else:
            lines.append([Part(cut(part.text, columns), part.style)])
    return lines


class Live:
    """Paints lines until it is closed, and hides typed keys meanwhile.

    Args:
        stream: The terminal.
        lines: Returns the lines for a width in columns. No line may be wider.
    """

    def __init__(self, stream: TextIO, lines: Callable[[int], list[Line]]) -> None:
        self._stream = stream
        self._lines = lines
        self._colors = has_colors(stream)
        self._painted: list[int] = []
        self._keys: contextlib.AbstractContextManager[None] = hidden_keys(stream)

    def __enter__(self) -> Live:
        self._keys.__enter__()
        self._write("\x1b[?25l")  # hides the cursor
        self.paint()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._write(self._back() + "\x1b[?25h")
        self._keys.__exit__(None, None, None)

    def paint(self) -> None:
        """Paint the current lines."""
        # One column stays free, because some terminals move to the next row after a full one.
        lines = self._lines(max(width_of(self._stream) - 1, 20))
        text = self._back() + "\n".join(self._styled(line) for line in lines)
        self._painted = [columns_of_line(line) for line in lines]
        self._write(text)

    def print_above(self, text: str) -> None:
        """Write permanent text above the lines."""
        self._write(f"{self._back()}{text}\n")
        self._painted = []
        self.paint()

    def _back(self) -> str:
        """Return the codes that clear the lines that were painted last."""
        if not self._painted:
            return "\r\x1b[J"
        columns = width_of(self._stream)
        rows = sum(max(-(-length // columns), 1) for length in self._painted)
        up = f"\x1b[{rows - 1}A" if rows > 1 else ""
        return f"\r{up}\x1b[J"

    def _styled(self, line: Line) -> str:
        return "".join(
            f"\x1b[{_CODES[part.style]}m{part.text}\x1b[0m"
            if part.style and part.text and self._colors
            else part.text
            for part in line
        )

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
