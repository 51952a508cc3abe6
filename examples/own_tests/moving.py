"""The code under test."""

from __future__ import annotations

from collections.abc import Iterable

from katapult_async import BulkReport, Client


async def move(client: Client, disks: Iterable[str], machine: str) -> BulkReport:
    """Unassign disks from their machines, and assign them to another one.

    Raises:
        BulkError: If a disk could not be unassigned or assigned.
    """
    disks = list(disks)
    (await client.disks.unassign_many(disks)).raise_for_failures()
    report = await client.disks.assign_many((disk, machine) for disk in disks)
    report.raise_for_failures()
    return report
