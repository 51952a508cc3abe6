"""The statements that check a journal, and that mark its file as open for writing."""

from __future__ import annotations

import sqlite3

import msgspec

from .schema import SEALS, SECOND_STEP, origin_of, tallied, weight_of
from .statements import execute, number, pragma, rows


class Tally(msgspec.Struct, frozen=True):
    """The row of the table `tally`: checksums of all other rows. See the table in `schema`."""

    nonce: int
    lines: int
    weight: int
    changes: int
    generation: int
    writing: int
    reserved: int


def tally(db: sqlite3.Connection) -> Tally | None:
    """Return the tally. None if its seal does not match what it says."""
    if execute(db, f"SELECT count(*), total(seal = {SEALS['tally']}) FROM tally").fetchone() != (1, 1.0):
        return None
    statement = "SELECT nonce, lines, weight, changes, generation, writing, reserved FROM tally"
    return next(rows(db, Tally, statement))


def has_all_lines(db: sqlite3.Connection) -> bool:
    """Return whether the number of lines equals the numbers in the run and in the tally."""
    counts = execute(
        db, "SELECT count(*), (SELECT lines FROM run), (SELECT lines FROM tally) FROM line"
    ).fetchone()
    return len(set(counts)) == 1


def has_its_weight(db: sqlite3.Connection, version: int) -> bool:
    """Return whether the weights of all rows of a file of this version add up to the tally."""
    statement = f"SELECT {weight_of(version)}, (SELECT weight FROM tally)"
    found, expected = execute(db, statement).fetchone()
    return bool(found == expected)


def is_as_written(db: sqlite3.Connection, version: int) -> bool:
    """Return whether no row of a file of this version was changed after it was written."""
    changed = (f"SELECT count(*) FROM {table} WHERE seal IS NOT {SEALS[table]}" for table in tallied(version))
    if any(number(db, statement) for statement in changed):
        return False
    db.create_function("origin_of", -1, origin_of, deterministic=True)
    item = "item" if version >= 3 else "NULL"
    origin = f"origin_of(number, disk, virtual_machine, {SECOND_STEP}, note, {item})"
    # An empty note and no note have the same checksum, but no writer stores an empty note.
    return not number(db, f"SELECT count(*) FROM line WHERE origin IS NOT {origin} OR note = ''")


def tables(db: sqlite3.Connection) -> list[tuple[str, ...]]:
    """Return the definitions of all tables, indexes and triggers."""
    return execute(db, "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name").fetchall()


def touch(db: sqlite3.Connection) -> None:
    """Read something, so that SQLite opens the file, its write-ahead log and its index."""
    execute(db, "SELECT count(*) FROM sqlite_master").fetchall()


def begin_writing(db: sqlite3.Connection, reserved: int) -> None:
    """Record that the file is open for writing.

    Args:
        db: The journal.
        reserved: The smallest size of its write-ahead log while it is open, in bytes.
    """
    execute(
        db,
        "UPDATE tally SET writing = 1, generation = generation + 1, reserved = :reserved",
        reserved=reserved,
    )


def end_writing(db: sqlite3.Connection) -> None:
    """Record that the file is closed, and move the whole write-ahead log to the file."""
    execute(db, "UPDATE tally SET writing = 0 WHERE writing")
    pragma(db, "wal_checkpoint(TRUNCATE)")
