"""What the platform has now: reads disks and machines, from lists where that is cheaper.

Reads from the platform, and keeps what it reads in temporary tables of the journal
(`queries_preflight`). What the lines are sorted into is decided there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import anyio
from msgspec import UNSET

from katapult_async.client import Client
from katapult_async.errors import NotFound, ObjectInTrash, PermissionDenied
from katapult_async.jobs.journal import queries_preflight as queries
from katapult_async.jobs.journal.group_commit import Writer
from katapult_async.jobs.journal.queries_preflight import SnapshotDisk, SnapshotMachine
from katapult_async.models import Disk, VirtualMachine, lookups
from katapult_async.resources import disks, virtual_machines
from katapult_async.resources.pages import MOST_PER_PAGE, Page, pages

from .lists import read_while_cheap

#: Single reads of disks or machines that the lists do not show, at most, unless all of them are
#: asked for.
MOST_MISSING = 100
#: Disks to assign, at most, that are read one by one to compare data centres without being asked
#: to.
MOST_COMPARED = 100
#: Machines are read one by one, for their state, up to this many, or up to a tenth of the lines.
MOST_MACHINES = 50
#: Disks whose data centres are read before the journal is asked again.
_AT_A_TIME = 1000


async def read_lists(client: Client, writer: Writer, organization: str, *, thorough: bool) -> None:
    """Read the organization's lists, and singly the wanted disks and machines not in them.

    A list is left where reading the rest singly needs as few requests.

    Args:
        client: The client to read with.
        writer: Of the journal.
        organization: `org_…` or its sub-domain.
        thorough: Whether to read everything that the lists do not show.
    """
    await writer.call(queries.make_tables)
    query = [lookups.organization(organization).query("organization")]
    learn = client.session.machines.learn

    async def keep_disks(page: Page) -> None:
        for disk in page.items:
            bond = disk.virtual_machine_disk
            if bond and bond.virtual_machine.fqdn is not UNSET:
                learn(bond.virtual_machine.fqdn, bond.virtual_machine.id)
        await writer.call(queries.put_disks, [_disk(disk) for disk in page.items])

    async def keep_machines(page: Page) -> None:
        for machine in page.items:
            if machine.fqdn is not UNSET:
                learn(machine.fqdn, machine.id)
        await writer.call(queries.put_machines, [_machine(machine) for machine in page.items])

    async def disks_missing() -> int:
        return await writer.call(queries.count_disks_missing)

    async def machines_missing() -> int:
        return await writer.call(queries.count_machines_missing)

    # The first page of disks is always read: it shows that there is such an organization.
    disk_pages = pages(client.session, disks.LIST, query, MOST_PER_PAGE)
    whole = await read_while_cheap(disk_pages, keep_disks, disks_missing)
    machines_whole = False
    if await machines_missing() > 1:
        machine_pages = pages(client.session, virtual_machines.LIST, query, MOST_PER_PAGE)
        machines_whole = await read_while_cheap(machine_pages, keep_machines, machines_missing)
    # What the lists do not show may be in the trash, or belong to another organization.
    missing = await writer.call(queries.disks_missing, MOST_MISSING if whole and not thorough else None)
    await each(missing, lambda name: _read_disk(client, writer, name))
    missing = await writer.call(
        queries.machines_missing, MOST_MISSING if machines_whole and not thorough else None
    )
    await each(missing, lambda name: _read_machine(client, writer, name))


async def examine_machines(client: Client, writer: Writer) -> int:
    """Read the state of the machines wanted, which the list does not show.

    Return how many were too many to read.
    """
    count = await writer.call(queries.count_state_unknown)
    if count > max(MOST_MACHINES, await writer.call(queries.count_lines) // 10):
        return count
    machines = await writer.call(queries.machines_of_unknown_state)
    await each(machines, lambda name: _read_machine(client, writer, name, is_listed=True))
    return await writer.call(queries.count_state_unknown)


async def compare_data_centers(client: Client, writer: Writer, *, thorough: bool) -> int:
    """Read disks one by one, for their data centres. Return how many were too many to read."""
    count = await writer.call(queries.count_data_center_unknown)
    if count > MOST_COMPARED and not thorough:
        return count
    while names := await writer.call(queries.disks_of_unknown_data_center, _AT_A_TIME):
        before = count
        await each(names, lambda name: _read_disk(client, writer, name, is_listed=True))
        count = await writer.call(queries.count_data_center_unknown)
        if count >= before:
            break  # the rest shows no data centre
    return count


async def _read_disk(client: Client, writer: Writer, name: str, *, is_listed: bool = False) -> None:
    try:
        disk = _disk(await client.disks.get(name))
    except ObjectInTrash:
        if is_listed:
            return  # since a moment ago: assigning will say so
        disk = SnapshotDisk(id=name, trashed=True)
    except (NotFound, PermissionDenied):
        return  # assigning will say so
    await writer.call(queries.put_disks, [disk])


async def _read_machine(client: Client, writer: Writer, name: str, *, is_listed: bool = False) -> None:
    try:
        machine = _machine(await client.virtual_machines.get(name))
    except ObjectInTrash:
        if is_listed:
            return  # since a moment ago: assigning will say so
        machine = SnapshotMachine(id=name, fqdn=name, trashed=True)
    except (NotFound, PermissionDenied):
        return  # assigning will say so
    await writer.call(queries.put_machines, [machine])


def _disk(disk: Disk) -> SnapshotDisk:
    bond = disk.virtual_machine_disk
    machine = bond.virtual_machine if bond else None
    return SnapshotDisk(
        id=disk.id,
        state=str(disk.state) if disk.state is not UNSET else None,
        machine=machine.id if machine is not None else None,
        fqdn=machine.fqdn if machine is not None and machine.fqdn is not UNSET else None,
        data_center=disk.data_center.id if disk.data_center is not UNSET else None,
    )


def _machine(machine: VirtualMachine) -> SnapshotMachine:
    centre = machine.zone.data_center if machine.zone else UNSET
    return SnapshotMachine(
        id=machine.id,
        fqdn=machine.fqdn.lower().rstrip(".") if machine.fqdn is not UNSET else None,
        state=str(machine.state) if machine.state is not UNSET else None,
        data_center=centre.id if centre is not UNSET else None,
    )


async def each(
    names: Iterable[str], work: Callable[[str], Awaitable[None]], *, concurrency: int = 16
) -> None:
    """Do some work for each name, some at a time. The first exception ends it and is raised."""
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
