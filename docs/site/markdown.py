"""Small pieces of Markdown."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


def cell(text: str) -> str:
    """Return a text for a cell of a table. Backticks mark code, other characters are literal."""
    parts = " ".join(text.split()).split("`")
    for number in range(0, len(parts), 2):  # the others are code
        parts[number] = html.escape(parts[number], quote=False)
        for character in "\\*_[]":
            parts[number] = parts[number].replace(character, "\\" + character)
    return "`".join(parts).replace("|", "\\|")


def code(text: str) -> str:
    """Return a text as code for a cell of a table."""
    return f"`{text}`".replace("|", "\\|")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table. The cells are Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
