"""A test suite with the emulator: `pytest` in this folder runs it, without a network."""

from __future__ import annotations

import pytest
from moving import move

from katapult_async import BulkError, Client, RetryPolicy
from katapult_async.testing import FaultKind, KatapultEmulator

pytestmark = pytest.mark.anyio


async def test_disks_are_moved(katapult_emulator: KatapultEmulator) -> None:
    disks = katapult_emulator.disk_ids[:5]
    old, new = katapult_emulator.virtual_machine_ids[:2]
    async with Client("token", base_url=katapult_emulator.url) as client:
        await client.disks.assign_many((disk, old) for disk in disks)
        await move(client, disks, new)
    world = katapult_emulator.world
    assert {world.disks[disk].virtual_machine for disk in disks} == {new}


async def test_a_lost_response_moves_nothing_twice(katapult_emulator: KatapultEmulator) -> None:
    disk, machine = katapult_emulator.disk_ids[0], katapult_emulator.virtual_machine_ids[0]
    retry = RetryPolicy(base=0.01)
    katapult_emulator.faults.script(
        lambda request: FaultKind.RESET_AFTER if request.path == "/disks/disk/assign" else None
    )
    async with Client("token", base_url=katapult_emulator.url, retry=retry) as client:
        await move(client, [disk], machine)
    assert katapult_emulator.ledger.applied_count(disk) == 1


async def test_a_missing_disk_is_an_error(katapult_emulator: KatapultEmulator) -> None:
    machine = katapult_emulator.virtual_machine_ids[0]
    async with Client("token", base_url=katapult_emulator.url) as client:
        with pytest.raises(BulkError, match="disk_not_found"):
            await move(client, ["disk_doesNotExist"], machine)


async def test_a_rate_limit_is_honoured(small_emulator: KatapultEmulator) -> None:
    disks, machine = small_emulator.disk_ids[:15], small_emulator.virtual_machine_ids[0]
    async with Client("token", base_url=small_emulator.url, total_permitted=20, rate_window=1.0) as client:
        await move(client, disks, machine)
    assert small_emulator.ledger.refusals == 0
