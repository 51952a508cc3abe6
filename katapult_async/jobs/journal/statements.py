"""Execute statements with named parameters, and return rows as structs.

The members of the enums of `records` are parameters of every statement: `:state_sent`,
`:status_failed`, `:step_attach`, `:found_to_assign`, `:changed_assigned`. SQLite raises an error
for a parameter that does not exist.
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
    """Execute a statement."""
    return db.execute(statement, {**WORDS, **values})


def number(db: sqlite3.Connection, statement: str, **values: object) -> int:
    """Return the number that a statement selects."""
    return int(execute(db, statement, **values).fetchone()[0])


def names(db: sqlite3.Connection, statement: str, **values: object) -> list[str]:
    """Return the first column of the rows that a statement selects."""
    return [row[0] for row in execute(db, statement, **values)]


def rows(db: sqlite3.Connection, kind: type[T], statement: str, **values: object) -> Iterator[T]:
    """Yield a struct for each row. The columns have the names of its fields.

    Raises:
        ValueError: If a value has another type than its field.
    """
    cursor = execute(db, statement, **values)
    columns = [column[0] for column in cursor.description]
    for row in cursor:
        yield msgspec.convert(dict(zip(columns, row, strict=True)), kind, strict=False)


def pragma(db: sqlite3.Connection, text: str) -> Any:
    """Execute a pragma, and return its value, if it has one."""
    answer = db.execute(f"PRAGMA {text}").fetchall()
    return answer[0][0] if answer else None


class BatchStatement(Generic[Row]):
    """A statement for many rows at once.

    The rows are one JSON array, which SQLite reads without the interpreter's lock. One statement
    per row would need the lock each time, and delay the event loop.

    Args:
        row: The type of the rows, with `array_like=True`.
        text: The statement. `{name}` is a field of the row. `{rows}` is the table of all rows.
    """

    def __init__(self, row: type[Row], text: str) -> None:
        fields = {
            name: f"json_extract(r.value, '$[{place}]')" for place, name in enumerate(row.__struct_fields__)
        }
        self._text = text.format(rows="json_each(:rows) AS r", **fields)

    def execute(self, db: sqlite3.Connection, rows: Iterable[Row]) -> None:
        """Execute the statement for these rows."""
        execute(db, self._text, rows=_encode(rows).decode())
