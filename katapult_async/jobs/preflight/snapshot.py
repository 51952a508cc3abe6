"""Read the current state of disks and machines: from lists if that is cheaper, else singly.

The result is stored in temporary tables of the journal. `queries_preflight` has these tables, and
decides the finding for each line.
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

#: The most single reads of disks, and of machines, that the lists do not show. `thorough` has no
#: such limit.
MOST_MISSING = 100
#: The most disks to read singly for their data centres. `thorough` has no such limit.
MOST_COMPARED = 100
#: The most machines to read singly for their states, or a tenth of the lines if that is more.
MOST_MACHINES = 50
#: The number of disks to take from the journal at a time, to read their data centres.
_AT_A_TIME = 1000


async def read_lists(client: Client, writer: Writer, organization: str, *, thorough: bool) -> None:
    """Read the organization's lists, then singly the wanted disks and machines not in them.

    Stops reading a list as soon as single reads of the rest cost no more requests.

    Args:
        client: Sends the requests.
        writer: Writes to the journal.
        organization: `org_…` or its sub-domain.
        thorough: Whether to read every disk and machine that the lists do not show.
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

    # Always read the first page of disks, because it shows whether the organization exists.
    disk_pages = pages(client.session, disks.LIST, query, MOST_PER_PAGE)
    whole = await read_while_cheap(disk_pages, keep_disks, disks_missing)
    machines_whole = False
    if await machines_missing() > 1:
        machine_pages = pages(client.session, virtual_machines.LIST, query, MOST_PER_PAGE)
        machines_whole = await read_while_cheap(machine_pages, keep_machines, machines_missing)
    # A disk or machine that no list shows may be in the trash, or belong to another organization.
    missing = await writer.call(queries.disks_missing, MOST_MISSING if whole and not thorough else None)
    await each(missing, lambda name: _read_disk(client, writer, name))
    missing = await writer.call(
        queries.machines_missing, MOST_MISSING if machines_whole and not thorough else None
    )
    await each(missing, lambda name: _read_machine(client, writer, name))


async def examine_machines(client: Client, writer: Writer) -> int:
    """Read the states of the wanted machines, which the list does not show.

    Returns:
        The number of machines whose state was not read.
    """
    count = await writer.call(queries.count_state_unknown)
    if count > max(MOST_MACHINES, await writer.call(queries.count_lines) // 10):
        return count
    machines = await writer.call(queries.machines_of_unknown_state)
    await each(machines, lambda name: _read_machine(client, writer, name, is_listed=True))
    return await writer.call(queries.count_state_unknown)


async def compare_data_centers(client: Client, writer: Writer, *, thorough: bool) -> int:
    """Read disks singly for their data centres.

    Returns:
        The number of disks whose data centre was not read.
    """
    count = await writer.call(queries.count_data_center_unknown)
    if count > MOST_COMPARED and not thorough:
        return count
    while names := await writer.call(queries.disks_of_unknown_data_center, _AT_A_TIME):
        before = count
        await each(names, lambda name: _read_disk(client, writer, name, is_listed=True))
        count = await writer.call(queries.count_data_center_unknown)
        if count >= before:
            break  # the API shows no data centre for the rest
    return count


async def _read_disk(client: Client, writer: Writer, name: str, *, is_listed: bool = False) -> None:
    try:
        disk = _disk(await client.disks.get(name))
    except ObjectInTrash:
        if is_listed:
            return  # trashed just now: the assign request will show it
        disk = SnapshotDisk(id=name, trashed=True)
    except (NotFound, PermissionDenied):
        return  # the assign request will show it
    await writer.call(queries.put_disks, [disk])


async def _read_machine(client: Client, writer: Writer, name: str, *, is_listed: bool = False) -> None:
    try:
        machine = _machine(await client.virtual_machines.get(name))
    except ObjectInTrash:
        if is_listed:
            return  # trashed just now: the assign request will show it
        machine = SnapshotMachine(id=name, fqdn=name, trashed=True)
    except (NotFound, PermissionDenied):
        return  # the assign request will show it
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
    """Call `work` for each name, at most `concurrency` at a time. Raises the first exception."""
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
