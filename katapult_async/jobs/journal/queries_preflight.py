"""The statements of the preflight, on temporary tables of a journal.

`snapshot_disk` and `snapshot_machine` have the disks and machines that were read. `sorted` has the
finding for each line that was not sent. `not_read` has the names that were not read, because they
were too many.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import msgspec

from katapult_async.models import DiskState, VirtualMachineState

from .records import Finding, LineFinding
from .schema import SECOND_STEP
from .statements import execute, names, number, rows

# The API's transitional states of a machine.
_NOT_READY = (
    VirtualMachineState.STARTING,
    VirtualMachineState.ALLOCATING,
    VirtualMachineState.RESETTING,
    VirtualMachineState.MIGRATING,
    VirtualMachineState.STOPPING,
    VirtualMachineState.SHUTTING_DOWN,
    VirtualMachineState.TRANSFERRING,
)
_IS_NOT_READY = f"m.state IN ({', '.join(repr(state.value) for state in _NOT_READY)})"
_OPEN = "l.step = :step_assign AND l.state = :state_waiting"
#: A line's machine, by its ID or its name.
_RESOLVED = (
    "coalesce((SELECT x.id FROM temp.snapshot_machine x WHERE x.fqdn = l.virtual_machine), l.virtual_machine)"
)
_DISKS_MISSING = (
    f"FROM line l WHERE {_OPEN} AND NOT EXISTS (SELECT 1 FROM temp.snapshot_disk d WHERE d.id = l.disk)"
)
_MACHINES_MISSING = f"FROM line l WHERE {_OPEN} AND NOT EXISTS (SELECT 1 FROM temp.snapshot_machine m WHERE m.id = {_RESOLVED})"
_STATE_UNKNOWN = f"""
    FROM (SELECT DISTINCT {_RESOLVED} AS id FROM line l WHERE {_OPEN}) w
    JOIN temp.snapshot_machine m ON m.id = w.id WHERE m.state IS NULL AND NOT m.trashed
"""
_DATA_CENTER_UNKNOWN = """
    FROM temp.sorted s JOIN line l ON l.number = s.number JOIN temp.snapshot_disk d ON d.id = l.disk
    WHERE s.found IN (:found_to_assign, :found_not_ready) AND d.data_center IS NULL
"""

# -- what the platform has -------------------------------------------------------------------------


class SnapshotDisk(msgspec.Struct, frozen=True, kw_only=True):
    """A disk as it was read. `machine` and `fqdn` are the ID and name of its virtual machine."""

    id: str
    state: str | None = None
    machine: str | None = None
    fqdn: str | None = None
    data_center: str | None = None
    trashed: bool = False


class SnapshotMachine(msgspec.Struct, frozen=True, kw_only=True):
    """A virtual machine as it was read."""

    id: str
    fqdn: str | None = None
    state: str | None = None
    data_center: str | None = None
    trashed: bool = False


def make_tables(db: sqlite3.Connection) -> None:
    """Create the temporary tables, empty."""
    db.executescript("""
        DROP TABLE IF EXISTS temp.snapshot_disk;
        DROP TABLE IF EXISTS temp.snapshot_machine;
        DROP TABLE IF EXISTS temp.not_read;
        CREATE TEMP TABLE snapshot_disk (
            id TEXT PRIMARY KEY, state TEXT, machine TEXT, fqdn TEXT, data_center TEXT, trashed INTEGER
        ) WITHOUT ROWID;
        CREATE TEMP TABLE snapshot_machine (
            id TEXT PRIMARY KEY, fqdn TEXT, state TEXT, data_center TEXT, trashed INTEGER
        ) WITHOUT ROWID;
        CREATE INDEX temp.snapshot_machine_fqdn ON snapshot_machine (fqdn);
        CREATE TEMP TABLE not_read (name TEXT PRIMARY KEY) WITHOUT ROWID;
    """)


def put_disks(db: sqlite3.Connection, disks: Iterable[SnapshotDisk]) -> None:
    """Store some disks."""
    statement = """
        INSERT OR REPLACE INTO temp.snapshot_disk (id, state, machine, fqdn, data_center, trashed)
        VALUES (:id, :state, :machine, :fqdn, :data_center, :trashed)
    """
    _put(db, statement, disks)


def put_machines(db: sqlite3.Connection, machines: Iterable[SnapshotMachine]) -> None:
    """Store some virtual machines."""
    statement = """
        INSERT OR REPLACE INTO temp.snapshot_machine (id, fqdn, state, data_center, trashed)
        VALUES (:id, :fqdn, :state, :data_center, :trashed)
    """
    _put(db, statement, machines)


def _put(db: sqlite3.Connection, statement: str, values: Iterable[msgspec.Struct]) -> None:
    db.execute("BEGIN")
    db.executemany(statement, map(msgspec.structs.asdict, values))
    db.execute("COMMIT")


# -- what is not read yet --------------------------------------------------------------------------


def count_lines(db: sqlite3.Connection) -> int:
    """Return the number of lines that have not been sent."""
    return number(db, f"SELECT count(*) FROM line l WHERE {_OPEN}")


def count_disks_missing(db: sqlite3.Connection) -> int:
    """Return the number of disks of the lines that were not read."""
    return number(db, f"SELECT count(DISTINCT l.disk) {_DISKS_MISSING}")


def count_machines_missing(db: sqlite3.Connection) -> int:
    """Return the number of virtual machines of the lines that were not read."""
    return number(db, f"SELECT count(DISTINCT {_RESOLVED}) {_MACHINES_MISSING}")


def disks_missing(db: sqlite3.Connection, most: int | None) -> list[str]:
    """Return at most `most` disks that were not read. Note the others in `not_read`."""
    return _missing(db, "l.disk", _DISKS_MISSING, most)


def machines_missing(db: sqlite3.Connection, most: int | None) -> list[str]:
    """Return at most `most` machines that were not read. Note the others in `not_read`."""
    return _missing(db, "l.virtual_machine", _MACHINES_MISSING, most)


def _missing(db: sqlite3.Connection, column: str, missing: str, most: int | None) -> list[str]:
    wanted = f"SELECT {column} AS name {missing} GROUP BY {column} ORDER BY min(l.number)"
    limit = -1 if most is None else most
    found = names(db, f"{wanted} LIMIT :limit", limit=limit)
    if most is not None:
        execute(
            db, f"INSERT OR IGNORE INTO temp.not_read (name) {wanted} LIMIT -1 OFFSET :limit", limit=limit
        )
    return found


def count_state_unknown(db: sqlite3.Connection) -> int:
    """Return the number of virtual machines of the lines whose state is not known."""
    return number(db, f"SELECT count(*) {_STATE_UNKNOWN}")


def machines_of_unknown_state(db: sqlite3.Connection) -> list[str]:
    """Return these virtual machines."""
    return names(db, f"SELECT m.id {_STATE_UNKNOWN}")


def count_data_center_unknown(db: sqlite3.Connection) -> int:
    """Return the number of disks to assign whose data centre is not known."""
    return number(db, f"SELECT count(*) {_DATA_CENTER_UNKNOWN}")


def disks_of_unknown_data_center(db: sqlite3.Connection, most: int) -> list[str]:
    """Return the first disks to assign whose data centre is not known, at most `most`."""
    return names(db, f"SELECT l.disk {_DATA_CENTER_UNKNOWN} LIMIT :most", most=most)


# -- the finding for each line ---------------------------------------------------------------------


def sort_lines(db: sqlite3.Connection) -> None:
    """Fill `sorted` with the finding for each line that was not sent, and its detail."""
    db.executescript("""
        DROP TABLE IF EXISTS temp.sorted;
        CREATE TEMP TABLE sorted (number INTEGER PRIMARY KEY, found TEXT, detail TEXT);
    """)
    statement = f"""
        INSERT INTO temp.sorted (number, found, detail)
        SELECT l.number, CASE
            WHEN m.id IS NULL AND l.virtual_machine IN temp.not_read THEN :found_not_listed
            WHEN d.id IS NULL AND l.disk IN temp.not_read THEN :found_not_listed
            WHEN m.id IS NULL THEN :found_machine_not_found
            WHEN d.id IS NULL THEN :found_disk_not_found
            WHEN d.trashed OR m.trashed THEN :found_in_trash
            WHEN d.machine = m.id THEN :found_already_there
            WHEN d.machine IS NOT NULL THEN :found_conflict
            WHEN d.data_center <> m.data_center THEN :found_data_centers_differ
            WHEN d.state <> :built OR {_IS_NOT_READY} THEN :found_not_ready
            ELSE :found_to_assign END,
        CASE
            WHEN m.id IS NULL OR d.id IS NULL THEN NULL
            WHEN d.trashed THEN 'the disk is in the trash'
            WHEN m.trashed THEN 'the virtual machine is in the trash'
            WHEN d.machine = m.id THEN NULL
            WHEN d.machine IS NOT NULL THEN 'it is on ' || d.machine || coalesce(' (' || d.fqdn || ')', '')
            WHEN d.data_center <> m.data_center THEN
                'the disk is in ' || d.data_center || ', the virtual machine in ' || m.data_center
            WHEN d.state <> :built THEN 'the disk is ' || d.state
            WHEN {_IS_NOT_READY} THEN 'the virtual machine is ' || m.state END
        FROM line l
        LEFT JOIN temp.snapshot_disk d ON d.id = l.disk
        LEFT JOIN temp.snapshot_machine m ON m.id = {_RESOLVED}
        WHERE {_OPEN}
    """
    execute(db, statement, built=DiskState.BUILT.value)


def keep_findings(db: sqlite3.Connection, now: float) -> None:
    """Copy the findings to the lines, and record the time of the preflight.

    Args:
        db: The journal.
        now: Unix time in seconds.
    """
    db.execute("BEGIN IMMEDIATE")
    db.execute(
        "UPDATE line SET found = s.found, detail = s.detail FROM temp.sorted AS s WHERE s.number = line.number"
    )
    db.execute("""
        UPDATE line SET machine_id = m.id FROM temp.sorted AS s, temp.snapshot_machine AS m
        WHERE s.number = line.number AND m.fqdn = line.virtual_machine AND NOT m.trashed
    """)
    execute(db, "UPDATE run SET looked_at = :now", now=now)
    db.execute("COMMIT")


def finding_counts(db: sqlite3.Connection) -> dict[Finding, int]:
    """Return the number of lines of each finding that occurs."""
    counted = dict(execute(db, "SELECT found, count(*) FROM temp.sorted GROUP BY found").fetchall())
    return {found: counted[found.value] for found in Finding if found.value in counted}


def first_findings(db: sqlite3.Connection, found: Finding, most: int) -> tuple[LineFinding, ...]:
    """Return the first lines of a finding."""
    statement = """
        SELECT l.number, l.disk, l.virtual_machine, s.found, s.detail
        FROM temp.sorted s JOIN line l ON l.number = s.number WHERE s.found = :found ORDER BY l.number LIMIT :most
    """
    return tuple(rows(db, LineFinding, statement, found=found.value, most=most))


def attach_counts(db: sqlite3.Connection) -> tuple[int, int]:
    """Return the number of lines to attach, and the number of their virtual machines."""
    statement = f"""
        SELECT count(*), count(DISTINCT l.virtual_machine) FROM temp.sorted s JOIN line l ON l.number = s.number
        WHERE l.{SECOND_STEP}
            AND s.found IN (:found_to_assign, :found_not_ready, :found_not_listed, :found_already_there)
    """
    lines, machines = execute(db, statement).fetchone()
    return int(lines), int(machines)
