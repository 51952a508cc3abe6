"""What the platform has now, beside the lines of a journal: lists in temporary tables, and the lines sorted by them.

Reads from the platform and writes to the journal's temporary tables; what the sorting means is the preflight's.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

import anyio
from msgspec import UNSET

from katapult_async.client import Client
from katapult_async.errors import NotFound, ObjectInTrash, PermissionDenied
from katapult_async.jobs.journal.group_commit import Writer
from katapult_async.models import Disk, VirtualMachine, lookups
from katapult_async.resources import disks, virtual_machines
from katapult_async.resources.pages import MOST_PER_PAGE, Page, pages

from .lists import read_while_cheap

#: Single reads of disks or machines that the lists do not show, at most, unless all of them are asked for.
MOST_MISSING = 100
#: Disks to assign, at most, that are read one by one to compare data centres without being asked to.
MOST_COMPARED = 100
#: Machines are read one by one, for their state, up to this many, or up to a tenth of the lines.
MOST_MACHINES = 50

_TABLES = """
    DROP TABLE IF EXISTS temp.a_disk;
    DROP TABLE IF EXISTS temp.a_machine;
    CREATE TEMP TABLE a_disk (
        id TEXT PRIMARY KEY, state TEXT, machine TEXT, fqdn TEXT, data_center TEXT, trashed INTEGER DEFAULT 0
    ) WITHOUT ROWID;
    CREATE TEMP TABLE a_machine (
        id TEXT PRIMARY KEY, fqdn TEXT, state TEXT, data_center TEXT, trashed INTEGER DEFAULT 0
    ) WITHOUT ROWID;
    CREATE INDEX temp.a_machine_fqdn ON a_machine (fqdn);
    DROP TABLE IF EXISTS temp.not_read;
    CREATE TEMP TABLE not_read (name TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_DISK = "INSERT OR REPLACE INTO temp.a_disk VALUES (?, ?, ?, ?, ?, ?)"
_MACHINE = "INSERT OR REPLACE INTO temp.a_machine VALUES (?, ?, ?, ?, ?)"

# One row for each line that has not been sent: what it is, and why. The transitional states are katapult-api's.
_SORT = """
    DROP TABLE IF EXISTS temp.sorted;
    CREATE TEMP TABLE sorted (number INTEGER PRIMARY KEY, found TEXT, detail TEXT);
    INSERT INTO temp.sorted
    SELECT l.number AS number, CASE
        WHEN m.id IS NULL AND l.virtual_machine IN temp.not_read THEN 'not_listed'
        WHEN d.id IS NULL AND l.disk IN temp.not_read THEN 'not_listed'
        WHEN m.id IS NULL THEN 'virtual_machine_not_found'
        WHEN d.id IS NULL THEN 'disk_not_found'
        WHEN d.trashed OR m.trashed THEN 'in_trash'
        WHEN d.machine = m.id THEN 'already_there'
        WHEN d.machine IS NOT NULL THEN 'assignment_conflict'
        WHEN d.data_center <> m.data_center THEN 'data_centers_differ'
        WHEN d.state <> 'built' THEN 'not_ready'
        WHEN m.state IN ('starting', 'allocating', 'resetting', 'migrating', 'stopping', 'shutting_down',
                         'transferring') THEN 'not_ready'
        ELSE 'to_assign' END AS found,
    CASE
        WHEN m.id IS NULL OR d.id IS NULL THEN NULL
        WHEN d.trashed THEN 'the disk is in the trash'
        WHEN m.trashed THEN 'the virtual machine is in the trash'
        WHEN d.machine = m.id THEN NULL
        WHEN d.machine IS NOT NULL THEN 'it is on ' || d.machine || coalesce(' (' || d.fqdn || ')', '')
        WHEN d.data_center <> m.data_center THEN
            'the disk is in ' || d.data_center || ', the virtual machine in ' || m.data_center
        WHEN d.state <> 'built' THEN 'the disk is ' || d.state
        WHEN m.state IN ('starting', 'allocating', 'resetting', 'migrating', 'stopping', 'shutting_down',
                         'transferring') THEN 'the virtual machine is ' || m.state END AS detail
    FROM line l
    LEFT JOIN temp.a_disk d ON d.id = l.disk
    LEFT JOIN temp.a_machine m ON m.id = coalesce(
        (SELECT x.id FROM temp.a_machine x WHERE x.fqdn = l.virtual_machine), l.virtual_machine)
    WHERE l.step = 'assign' AND l.state = 0;
"""
_TAKE_OVER = """
    BEGIN IMMEDIATE;
    UPDATE line SET found = s.found, detail = s.detail FROM temp.sorted AS s WHERE s.number = line.number;
    UPDATE line SET machine_id = m.id FROM temp.sorted AS s, temp.a_machine AS m
        WHERE s.number = line.number AND m.fqdn = line.virtual_machine AND NOT m.trashed;
    COMMIT;
"""


# A line's machine, by its id or its name.
_RESOLVED = (
    "coalesce((SELECT x.id FROM temp.a_machine x WHERE x.fqdn = l.virtual_machine), l.virtual_machine)"
)
_OPEN = "l.step = 'assign' AND l.state = 0"
# Lines whose disk, or machine, has not been seen.
_DISKS_MISSING = f"FROM line l WHERE {_OPEN} AND NOT EXISTS (SELECT 1 FROM temp.a_disk d WHERE d.id = l.disk)"
_MACHINES_MISSING = (
    f"FROM line l WHERE {_OPEN} AND NOT EXISTS (SELECT 1 FROM temp.a_machine m WHERE m.id = {_RESOLVED})"
)


async def read_lists(client: Client, writer: Writer, organization: str, *, thorough: bool) -> None:
    """What the organization's lists show of the disks and machines wanted; singly what they do not show, all of it if
    thorough. A list is left where reading the rest singly needs as few requests.
    """
    await writer.call(lambda db: db.executescript(_TABLES))
    query = [lookups.organization(organization).query("organization")]
    learn = client.session.machines.learn

    async def keep_disks(page: Page) -> None:
        for disk in page.items:
            bond = disk.virtual_machine_disk
            if bond and bond.virtual_machine.fqdn is not UNSET:
                learn(bond.virtual_machine.fqdn, bond.virtual_machine.id)
        await _put(writer, _DISK, [_disk_row(disk) for disk in page.items])

    async def keep_machines(page: Page) -> None:
        for machine in page.items:
            if machine.fqdn is not UNSET:
                learn(machine.fqdn, machine.id)
        await _put(writer, _MACHINE, [_machine_row(machine) for machine in page.items])

    async def disks_missing() -> int:
        return await _count(writer, f"FROM (SELECT DISTINCT l.disk {_DISKS_MISSING})")

    async def machines_missing() -> int:
        return await _count(writer, f"FROM (SELECT DISTINCT {_RESOLVED} {_MACHINES_MISSING})")

    # The first page of disks is always read: it shows that there is such an organization.
    disk_pages = pages(client.session, disks.LIST, query, MOST_PER_PAGE)
    whole = await read_while_cheap(disk_pages, keep_disks, disks_missing)
    machines_whole = False
    if await machines_missing() > 1:
        machine_pages = pages(client.session, virtual_machines.LIST, query, MOST_PER_PAGE)
        machines_whole = await read_while_cheap(machine_pages, keep_machines, machines_missing)
    await _look_for_missing(
        client,
        writer,
        most_disks=MOST_MISSING if whole and not thorough else None,
        most_machines=MOST_MISSING if machines_whole and not thorough else None,
    )


async def sort_lines(writer: Writer) -> None:
    """Fill the temporary table `sorted`: for each line that has not been sent what it is, and why."""
    await writer.call(lambda db: db.executescript(_SORT))


async def take_over(writer: Writer) -> None:
    """Keep what was found with the lines."""
    await writer.call(lambda db: db.executescript(_TAKE_OVER))
    await writer.call(lambda db: db.execute("UPDATE run SET looked_at = ?", (time.time(),)))


def _disk_row(disk: Disk) -> tuple[object, ...]:
    bond = disk.virtual_machine_disk
    machine = bond.virtual_machine if bond else None
    centre = disk.data_center.id if disk.data_center is not UNSET else None
    state = str(disk.state) if disk.state is not UNSET else None
    return (
        disk.id,
        state,
        machine.id if machine is not None else None,
        machine.fqdn if machine is not None and machine.fqdn is not UNSET else None,
        centre,
        False,
    )


def _machine_row(machine: VirtualMachine) -> tuple[object, ...]:
    centre = machine.zone.data_center if machine.zone else UNSET
    return (
        machine.id,
        machine.fqdn.lower().rstrip(".") if machine.fqdn is not UNSET else None,
        str(machine.state) if machine.state is not UNSET else None,
        centre.id if centre is not UNSET else None,
        False,
    )


async def _put(writer: Writer, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
    await writer.call(lambda db: _insert(db, statement, rows))


def _insert(db: sqlite3.Connection, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
    db.execute("BEGIN")
    db.executemany(statement, rows)
    db.execute("COMMIT")


async def _names(writer: Writer, query: str, *values: object) -> list[str]:
    return await writer.call(lambda db: [row[0] for row in db.execute(query, values)])


async def _count(writer: Writer, rest: str) -> int:
    return await writer.call(lambda db: int(db.execute(f"SELECT count(*) {rest}").fetchone()[0]))


async def _look_for_missing(
    client: Client, writer: Writer, *, most_disks: int | None, most_machines: int | None
) -> None:
    """What the lists do not show may be in the trash, or belong to another organization. most_disks, most_machines: read
    singly; what is left over is noted as not read.
    """

    async def read_disk(name: str) -> None:
        try:
            row = _disk_row(await client.disks.get(name))
        except ObjectInTrash:
            row = (name, None, None, None, None, True)
        except (NotFound, PermissionDenied):
            return
        await _put(writer, _DISK, [row])

    async def read_machine(name: str) -> None:
        try:
            row = _machine_row(await client.virtual_machines.get(name))
        except ObjectInTrash:
            row = (name, name, None, None, True)
        except (NotFound, PermissionDenied):
            return
        await _put(writer, _MACHINE, [row])

    kinds = (
        ("l.disk", _DISKS_MISSING, read_disk, most_disks),
        ("l.virtual_machine", _MACHINES_MISSING, read_machine, most_machines),
    )
    for column, missing, read, most in kinds:
        # What is read singly is taken out here already: a name that is not found at all stays missing.
        await writer.call(partial(_note_missing, column=column, missing=missing))
        names = await _names(writer, "SELECT name FROM temp.missing LIMIT ?", -1 if most is None else most)
        await each(names, read)
        await writer.call(partial(_note_not_read, most=most))


def _note_missing(db: sqlite3.Connection, *, column: str, missing: str) -> None:
    db.executescript(
        "DROP TABLE IF EXISTS temp.missing; CREATE TEMP TABLE missing (place INTEGER PRIMARY KEY, name TEXT);"
        f"INSERT INTO temp.missing (name) SELECT {column} {missing} GROUP BY {column} ORDER BY min(l.number)"
    )


def _note_not_read(db: sqlite3.Connection, *, most: int | None) -> None:
    if most is not None:
        db.execute(
            "INSERT OR IGNORE INTO temp.not_read SELECT name FROM temp.missing WHERE place > ?", (most,)
        )


async def examine_machines(client: Client, writer: Writer) -> int:
    """Read the state of the machines wanted, which the list does not show. How many were left out as too dear."""
    unknown = (
        f"FROM (SELECT DISTINCT {_RESOLVED} AS id FROM line l WHERE {_OPEN}) w"
        " JOIN temp.a_machine m ON m.id = w.id WHERE m.state IS NULL AND NOT m.trashed"
    )
    count = await _count(writer, unknown)
    lines = await _count(writer, f"FROM line l WHERE {_OPEN}")
    if count > max(MOST_MACHINES, lines // 10):
        return count

    async def read(name: str) -> None:
        try:
            row = _machine_row(await client.virtual_machines.get(name))
        except (NotFound, ObjectInTrash, PermissionDenied):
            return  # gone since it was listed: assigning will say so
        await _put(writer, _MACHINE, [row])

    await each(await _names(writer, f"SELECT m.id {unknown}"), read)
    return await _count(writer, unknown)


async def compare_data_centers(client: Client, writer: Writer, *, thorough: bool) -> int:
    """Read disks one by one, for their data centres. How many were left out as too dear."""
    missing = (
        "FROM temp.sorted s JOIN line l ON l.number = s.number JOIN temp.a_disk d ON d.id = l.disk"
        " WHERE s.found IN ('to_assign', 'not_ready') AND d.data_center IS NULL"
    )
    count = await _count(writer, missing)
    if count > MOST_COMPARED and not thorough:
        return count

    async def read(name: str) -> None:
        try:
            row = _disk_row(await client.disks.get(name))
        except (NotFound, ObjectInTrash, PermissionDenied):
            return
        await _put(writer, _DISK, [row])

    while names := await _names(writer, f"SELECT l.disk {missing} LIMIT 1000"):
        before = count
        await each(names, read)
        count = await _count(writer, missing)
        if count >= before:
            break  # the rest shows no data centre
    return count


async def each(
    names: Iterable[str], work: Callable[[str], Awaitable[None]], *, concurrency: int = 16
) -> None:
    """Do some work for each name, so many at a time. The first exception ends it and is raised as it is."""
    waiting = iter(names)
    failures: list[Exception] = []

    async def take() -> None:
        for name in waiting:
            if failures:
                return
            try:
                await work(name)
            except Exception as exc:  # noqa: BLE001 - raised below, without a group around it
                failures.append(exc)

    async with anyio.create_task_group() as group:
        for _ in range(concurrency):
            group.start_soon(take)
    if failures:
        raise failures[0]
