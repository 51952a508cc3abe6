"""What a preflight reads: a few lines do not cost the lists of a whole organization. The ledger counts."""

from __future__ import annotations

import pytest

from katapult_async import Client
from katapult_async.errors import NotFound
from katapult_async.jobs import Finding, Manifest
from katapult_async.jobs.preflight.lists import is_rest_dearer
from katapult_async.jobs.preflight.preview import preview
from katapult_async.testing import KatapultEmulator

#: Of an organization of 4,000 disks (20 pages) and 1,000 machines (5 pages).
DISKS, MACHINES = 4000, 1000


async def cost(emulator: KatapultEmulator, numbers: list[int], *, by_fqdn: bool = False) -> dict[str, int]:
    """Requests by the end of their path of a preflight of some lines, which must all be free to assign."""
    disks, machines = emulator.disk_ids, emulator.virtual_machine_ids
    names = [emulator.world.virtual_machines[vm].fqdn if by_fqdn else vm for vm in machines]
    pairs = [(disks[number], names[number % MACHINES]) for number in numbers]
    emulator.ledger.clear()
    async with Client("token", base_url=emulator.url) as client:
        with Manifest.from_items(pairs) as manifest:
            found = await preview(client, manifest, "acme")
    assert found.counts == {Finding.TO_ASSIGN: len(numbers)}
    assert found.requests == emulator.ledger.total
    return {path.rsplit("/", 1)[-1]: count for path, count in emulator.ledger.by_path.items()}


@pytest.mark.parametrize("by_fqdn", [False, True])
async def test_few_lines_are_read_singly(by_fqdn: bool) -> None:
    async with KatapultEmulator(disks=DISKS, virtual_machines=MACHINES, limit=100_000) as emulator:
        # The first page of disks shows that there is such an organization, then the disk and its machine.
        assert sum((await cost(emulator, [3999], by_fqdn=by_fqdn)).values()) == 3
        # Three disks and machines: two first pages at most, and six single reads.
        assert sum((await cost(emulator, [1500, 2500, 3999], by_fqdn=by_fqdn)).values()) <= 8


async def test_many_lines_are_read_in_lists() -> None:
    async with KatapultEmulator(disks=DISKS, virtual_machines=MACHINES, limit=100_000) as emulator:
        requests = await cost(emulator, list(range(0, DISKS, 2)))
        assert requests["disks"] == 20
        assert requests["virtual_machines"] == 5


async def test_an_organization_that_is_not_there_is_still_noticed() -> None:
    async with KatapultEmulator(disks=10, virtual_machines=10) as emulator:
        pair = (emulator.disk_ids[0], emulator.virtual_machine_ids[0])
        async with Client("token", base_url=emulator.url) as client:
            with Manifest.from_items([pair]) as manifest, pytest.raises(NotFound):
                await preview(client, manifest, "nobody")


@pytest.mark.parametrize(
    ("missing", "read", "total", "dearer"),
    [
        (0, 1, 100, True),
        (1, 1, 1, False),
        (1, 1, 2, True),
        (99, 1, 100, True),
        (100, 1, 100, False),
        (1, 1, None, True),
        (2, 1, None, False),
    ],
)
def test_a_list_is_left_where_the_rest_costs_more(
    missing: int, read: int, total: int | None, dearer: bool
) -> None:
    assert is_rest_dearer(missing, read=read, total=total) is dearer
