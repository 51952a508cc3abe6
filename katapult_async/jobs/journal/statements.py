"""How statements are carried out: named parameters, the words of the enums, rows as structs.

The words of `records` are parameters of every statement: `:state_sent`, `:status_failed`,
`:step_attach`, `:found_to_assign`, `:changed_assigned`. A word that does not exist is an error of
SQLite. Knows no statement.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any, Generic, TypeVar

import msgspec

from .records import Changes, Finding, LineState, LineStatus, Step

T = TypeVar("T")
Row = TypeVar("Row", bound=msgspec.Struct)

_KINDS: dict[str, type[Enum]] = {
    "changed": Changes,
    "found": Finding,
    "state": LineState,
    "status": LineStatus,
    "step": Step,
}
WORDS: dict[str, object] = {
    f"{prefix}_{name.lower()}": member.value
    for prefix, kind in _KINDS.items()
    for name, member in kind.__members__.items()
}
_encode = msgspec.json.Encoder().encode


def execute(db: sqlite3.Connection, statement: str, **values: object) -> sqlite3.Cursor:
    """Carry out a statement."""
    return db.execute(statement, {**WORDS, **values})


def number(db: sqlite3.Connection, statement: str, **values: object) -> int:
    """Return the number that a statement selects."""
    return int(execute(db, statement, **values).fetchone()[0])


def names(db: sqlite3.Connection, statement: str, **values: object) -> list[str]:
    """Return the first column of what a statement selects."""
    return [row[0] for row in execute(db, statement, **values)]


def rows(db: sqlite3.Connection, kind: type[T], statement: str, **values: object) -> Iterator[T]:
    """Yield a struct for each row, by the names of its columns.

    Raises ValueError for a value of another type.
    """
    cursor = execute(db, statement, **values)
    columns = [column[0] for column in cursor.description]
    for row in cursor:
        yield msgspec.convert(dict(zip(columns, row, strict=True)), kind, strict=False)


def pragma(db: sqlite3.Connection, text: str) -> Any:
    """Carry out a pragma, and return the value that it answers with, if any."""
    answer = db.execute(f"PRAGMA {text}").fetchall()
    return answer[0][0] if answer else None


class BatchStatement(Generic[Row]):
    """A statement for many rows at once.

    The rows are one JSON array, which SQLite works through without the interpreter. Row by row it
    would wait for the interpreter's lock at each one, and make the event loop wait for it.

    Args:
        row: The type of the rows, with `array_like=True`.
        text: The statement. `{name}` stands for a field of the row, `{rows}` for the table of all
            rows.
    """

    def __init__(self, row: type[Row], text: str) -> None:
        fields = {
            name: f"json_extract(r.value, '$[{place}]')" for place, name in enumerate(row.__struct_fields__)
        }
        self._text = text.format(rows="json_each(:rows) AS r", **fields)

    def execute(self, db: sqlite3.Connection, rows: Iterable[Row]) -> None:
        """Carry it out."""
        execute(db, self._text, rows=_encode(rows).decode())
