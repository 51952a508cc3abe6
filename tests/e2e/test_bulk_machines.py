"""`per_virtual_machine` applies to a machine, whether items use its ID or its FQDN."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from katapult_async import Assignment, Client
from katapult_async.testing import KatapultEmulator
from tests.e2e.test_bulk import client_for

Look = Callable[[Client, KatapultEmulator], Awaitable[None]]


def names_of(emulator: KatapultEmulator) -> list[str]:
    """Return the ID and the FQDN of the only machine, in the emulator's spelling."""
    [machine] = emulator.virtual_machine_ids
    fqdn = emulator.world.virtual_machines[machine].fqdn
    return [machine, fqdn]


def items_of(emulator: KatapultEmulator, names: list[str]) -> list[Assignment]:
    return [Assignment(disk, names[number % len(names)]) for number, disk in enumerate(emulator.disk_ids)]


@pytest.mark.parametrize("per_machine", [1, 2])
async def test_names_are_one_machine_after_a_response_has_shown_both(per_machine: int) -> None:
    async with KatapultEmulator(disks=41, virtual_machines=1, limit=100_000, latency=0.005) as emulator:
        items = items_of(emulator, names_of(emulator))
        async with client_for(emulator, concurrency=8, per_virtual_machine=per_machine) as client:
            first = await client.disks.assign_many(items[:1])
            report = await client.disks.assign_many(items[1:])
        assert first.ok
        assert report.ok
        assert emulator.ledger.max_in_flight_per_virtual_machine <= per_machine


async def test_names_that_a_run_learns_apply_to_the_rest_of_the_run() -> None:
    async with KatapultEmulator(disks=60, virtual_machines=1, limit=100_000, latency=0.005) as emulator:
        items = items_of(emulator, names_of(emulator))
        async with client_for(emulator, concurrency=8) as client:
            assert (await client.disks.assign_many(items)).ok
        arrivals = emulator.ledger.arrivals
        # Two items started before the names were known. The rest keep their order and do not
        # overlap.
        assert [arrival.disk for arrival in arrivals[2:]] == [item.disk for item in items[2:]]
        applied = [change.disk for change in emulator.ledger.applied]
        assert applied[2:] == [item.disk for item in items[2:]]


async def _list_machines(client: Client, emulator: KatapultEmulator) -> None:
    organization = emulator.world.organization.id
    assert [each async for each in client.virtual_machines.list(organization=organization)]


async def _get_machine(client: Client, emulator: KatapultEmulator) -> None:
    await client.virtual_machines.get(emulator.virtual_machine_ids[0])


@pytest.mark.parametrize("look", [_list_machines, _get_machine])
async def test_lists_and_reads_teach_the_names_of_machines(look: Look) -> None:
    async with KatapultEmulator(disks=40, virtual_machines=1, limit=100_000, latency=0.005) as emulator:
        items = items_of(emulator, names_of(emulator))
        async with client_for(emulator, concurrency=8) as client:
            await look(client, emulator)
            assert (await client.disks.assign_many(items)).ok
        assert emulator.ledger.max_in_flight_per_virtual_machine == 1
