"""Unassigning: a run reads each disk first, because the API's response does not show a change."""

from __future__ import annotations

import pytest

from katapult_async import AssignmentConflict, Client, Outcome, OutcomeStatus
from katapult_async.testing import KatapultEmulator

S = OutcomeStatus


async def test_a_disk_on_no_machine_is_not_counted_as_a_change() -> None:
    async with KatapultEmulator(disks=3, virtual_machines=1) as emulator:
        one, *others = emulator.disk_ids
        async with Client("token", base_url=emulator.url) as client:
            await client.disks.assign(one, emulator.virtual_machine_ids[0])
            report = await client.disks.unassign_many(emulator.disk_ids)
        assert report.counts == {S.UNASSIGNED: 1, S.ALREADY_UNASSIGNED: 2}
        assert emulator.ledger.applied_total["unassign"] == 1
        assert emulator.ledger.by_path["/disks/disk/unassign"] == 1
        assert emulator.ledger.by_path["/disks/disk"] == 3
        assert not any(emulator.ledger.applied_count(disk, "unassign") for disk in others)


async def test_without_read_first_no_outcome_is_certain() -> None:
    async with KatapultEmulator(disks=2, virtual_machines=1) as emulator:
        async with Client("token", base_url=emulator.url) as client:
            await client.disks.assign(emulator.disk_ids[0], emulator.virtual_machine_ids[0])
            outcomes = list[Outcome]()
            async with client.disks.unassign_each(emulator.disk_ids, read_first=False) as run:
                outcomes += [outcome async for outcome in run]
        assert {outcome.status for outcome in outcomes} == {S.UNASSIGNED}
        assert not any(outcome.certain for outcome in outcomes)
        assert emulator.ledger.by_path == {"/disks/disk/assign": 1, "/disks/disk/unassign": 2}


async def test_one_disk_is_unassigned_with_one_request() -> None:
    async with KatapultEmulator(disks=1) as emulator:
        async with Client("token", base_url=emulator.url) as client:
            assert (await client.disks.unassign(emulator.disk_ids[0])).virtual_machine_disk is None
        assert emulator.ledger.total == 1


async def test_an_outcome_is_certain_after_a_read() -> None:
    async with KatapultEmulator(disks=1, virtual_machines=1) as emulator:
        async with Client("token", base_url=emulator.url) as client:
            await client.disks.assign(emulator.disk_ids[0], emulator.virtual_machine_ids[0])
            emulator.faults.next("reset_after", applies=True)
            emulator.faults.paths = frozenset({"/disks/disk/unassign"})
            async with client.disks.unassign_each(emulator.disk_ids) as run:
                (outcome,) = [outcome async for outcome in run]
        assert (outcome.status, outcome.certain) == (S.UNASSIGNED, True)
        assert emulator.ledger.applied_total["unassign"] == 1


@pytest.mark.parametrize("boot", [False, True])
async def test_a_boot_disk_or_a_disk_on_another_machine_is_not_unassigned(*, boot: bool) -> None:
    async with KatapultEmulator(disks=1, virtual_machines=2) as emulator:
        one, two = emulator.virtual_machine_ids
        (disk,) = emulator.disk_ids
        async with Client("token", base_url=emulator.url) as client:
            await client.disks.assign(disk, one)
            emulator.world.disks[disk].boot = boot
            report = await client.disks.unassign_many([(disk, one if boot else two)])
        (failure,) = report.failures
        assert isinstance(failure.error, AssignmentConflict)
        assert emulator.world.disks[disk].virtual_machine == one
        assert emulator.ledger.by_path["/disks/disk/unassign"] == 0
