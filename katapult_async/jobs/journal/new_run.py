"""What a new journal is filled with: its run and its lines. Knows nothing of files."""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Iterable

import msgspec

from .records import RunInfo, RunKind
from .schema import APPLICATION_ID, FIRST_TALLY, migrate, origin_of

_INSERT_RUN = """
    INSERT INTO run (only, run_id, kind, manifest, digest, created_at, lines, attach, parent, base_url, preflight,
        thorough, organization, confirmed_at)
    VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_INSERT_LINE = """
    INSERT INTO line (number, disk, virtual_machine, machine_id, step, further, note, origin)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""


class NewLine(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A line as it enters a journal. step: the first thing to do for it. further: whether the second step
    of the run is wanted, too (attaching after assigning, unassigning after detaching).
    """

    number: int
    disk: str
    virtual_machine: str
    step: str
    machine_id: str | None = None
    further: bool = False
    note: str | None = None


def new_info(kind: RunKind, manifest: str, digest: str, lines: int, **more: object) -> RunInfo:
    """A run that begins its life now."""
    known = {"run_id": uuid.uuid4().hex[:12], "kind": kind, "created_at": time.time()}
    return msgspec.convert({**known, "manifest": manifest, "digest": digest, "lines": lines, **more}, RunInfo)


def fill(connection: sqlite3.Connection, info: RunInfo, lines: Iterable[NewLine]) -> None:
    connection.execute("PRAGMA journal_mode = OFF")  # nobody sees the file before it is whole
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    migrate(connection)
    connection.execute("BEGIN")
    connection.executemany(
        _INSERT_LINE,
        (
            (
                line.number,
                line.disk,
                line.virtual_machine,
                line.machine_id,
                line.step,
                line.further,
                line.note,
                origin_of(line.number, line.disk, line.virtual_machine, line.further, line.note),
            )
            for line in lines
        ),
    )
    connection.execute(
        _INSERT_RUN,
        (
            info.run_id,
            info.kind.value,
            info.manifest,
            info.digest,
            info.created_at,
            info.lines,
            info.attach,
            info.parent,
            info.base_url,
            info.preflight,
            info.thorough,
            info.organization,
            info.confirmed_at,
        ),
    )
    connection.execute(FIRST_TALLY)
    connection.execute("COMMIT")
