"""`per_virtual_machine` counts machines, not names: an ID and an FQDN of one machine are the same machine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from katapult_async import Assignment, Client
from katapult_async.testing import KatapultEmulator
from tests.e2e.test_bulk import client_for

Look = Callable[[Client, KatapultEmulator], Awaitable[None]]


def names_of(emulator: KatapultEmulator) -> list[str]:
    """The ID and the FQDN of the one machine. (The emulator knows a FQDN in one spelling only.)"""
    [machine] = emulator.virtual_machine_ids
    fqdn = emulator.world.virtual_machines[machine].fqdn
    return [machine, fqdn]


def items_of(emulator: KatapultEmulator, names: list[str]) -> list[Assignment]:
    return [Assignment(disk, names[number % len(names)]) for number, disk in enumerate(emulator.disk_ids)]


@pytest.mark.parametrize("per_machine", [1, 2])
async def test_all_names_of_a_machine_are_one_machine_once_a_response_has_shown_it(per_machine: int) -> None:
    async with KatapultEmulator(disks=41, virtual_machines=1, limit=100_000, latency=0.005) as emulator:
        items = items_of(emulator, names_of(emulator))
        async with client_for(emulator, concurrency=8, per_virtual_machine=per_machine) as client:
            first = await client.disks.assign_many(items[:1])
            report = await client.disks.assign_many(items[1:])
        assert first.ok
        assert report.ok
        assert emulator.ledger.max_in_flight_per_virtual_machine <= per_machine


async def test_a_pair_that_is_learnt_in_mid_run_counts_from_then_on() -> None:
    async with KatapultEmulator(disks=60, virtual_machines=1, limit=100_000, latency=0.005) as emulator:
        items = items_of(emulator, names_of(emulator))
        async with client_for(emulator, concurrency=8) as client:
            assert (await client.disks.assign_many(items)).ok
        arrivals = emulator.ledger.arrivals
        # Two items were started before anything was known. The order is kept, and nothing overlaps after those.
        assert [arrival.disk for arrival in arrivals[2:]] == [item.disk for item in items[2:]]
        applied = [change.disk for change in emulator.ledger.applied]
        assert applied[2:] == [item.disk for item in items[2:]]


async def _list_machines(client: Client, emulator: KatapultEmulator) -> None:
    organization = emulator.world.organization.id
    assert [each async for each in client.virtual_machines.list(organization=organization)]


async def _get_machine(client: Client, emulator: KatapultEmulator) -> None:
    await client.virtual_machines.get(emulator.virtual_machine_ids[0])


@pytest.mark.parametrize("look", [_list_machines, _get_machine])
async def test_pairs_are_learnt_from_lists(look: Look) -> None:
    async with KatapultEmulator(disks=40, virtual_machines=1, limit=100_000, latency=0.005) as emulator:
        items = items_of(emulator, names_of(emulator))
        async with client_for(emulator, concurrency=8) as client:
            await look(client, emulator)
            assert (await client.disks.assign_many(items)).ok
        assert emulator.ledger.max_in_flight_per_virtual_machine == 1
