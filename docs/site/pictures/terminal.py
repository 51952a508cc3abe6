"""A terminal without a screen: what a command has written becomes rows of colored characters.

It knows the codes that the commands of this package write, and no others.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

_CODE = re.compile(r"\x1b\[(\??)([\d;]*)([A-Za-z])")
_STYLES = {"": "", "0": "", "1": "bold", "2": "dim", "31": "red", "32": "green", "33": "yellow"}


class Character(NamedTuple):
    """One character with its style: empty, bold, dim, red, green or yellow."""

    text: str
    style: str


Row = list[Character]


class Terminal:
    """Interprets the output of a command.

    Args:
        columns: The width. Longer lines continue in the next row.
    """

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.rows: list[Row] = [[]]
        self._row = 0
        self._column = 0
        self._style = ""

    def write(self, text: str) -> None:
        """Interpret some output.

        Raises:
            ValueError: It has a code that is not known here.
        """
        position = 0
        while position < len(text):
            if (code := _CODE.match(text, position)) is not None:
                self._obey(code[1] + code[3], code[2])
                position = code.end()
                continue
            self._put(text[position])
            position += 1

    def last(self, rows: int) -> list[Row]:
        """Return the last rows, as a screen of this height shows them."""
        return self.rows[-rows:]

    def _put(self, character: str) -> None:
        if character == "\n":
            self._row += 1
            if self._row == len(self.rows):
                self.rows.append([])
        elif character == "\r":
            self._column = 0
        elif character >= " ":
            if self._column == self.columns:
                self._column = 0
                self._put("\n")
            row = self.rows[self._row]
            row += [Character(" ", "")] * (self._column + 1 - len(row))
            row[self._column] = Character(character, self._style)
            self._column += 1
        else:
            raise ValueError(f"unknown control character {character!r}")

    def _obey(self, name: str, arguments: str) -> None:
        commands: dict[str, Callable[[str], None]] = {
            "m": self._set_style,
            "A": self._up,
            "H": self._home,
            "J": self._clear_below,
            "K": self._clear_right,
            "?h": _ignore,  # the cursor, which is not drawn
            "?l": _ignore,
        }
        if name not in commands:
            raise ValueError(f"unknown code {name!r}")
        commands[name](arguments)

    def _set_style(self, arguments: str) -> None:
        self._style = _STYLES[arguments]

    def _up(self, arguments: str) -> None:
        self._row = max(self._row - int(arguments or "1"), 0)

    def _home(self, _arguments: str) -> None:
        self._row = self._column = 0

    def _clear_below(self, _arguments: str) -> None:
        del self.rows[self._row + 1 :]
        self._clear_right("")

    def _clear_right(self, _arguments: str) -> None:
        del self.rows[self._row][self._column :]


def _ignore(_arguments: str) -> None:
    pass
