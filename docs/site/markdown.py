"""Small pieces of Markdown."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


def cell(text: str) -> str:
    """Return a text for a cell of a table, with the characters of Markdown taken literally."""
    escaped = html.escape(" ".join(text.split()), quote=False)
    for character in "\\|*_[]`":
        escaped = escaped.replace(character, "\\" + character)
    return escaped


def code(text: str) -> str:
    """Return a text as code for a cell of a table."""
    return f"`{text}`".replace("|", "\\|")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table. The cells are Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
