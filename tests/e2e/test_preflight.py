"""The preflight: what it finds, what it costs, and how long it holds."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path

import pytest

from katapult_async import (
    Client,
)
from katapult_async.errors import NotFound
from katapult_async.jobs import (
    Finding,
    Journal,
    JournalDamaged,
    LineStatus,
    Manifest,
    preview,
)
from katapult_async.jobs.preflight.lists import is_rest_dearer
from katapult_async.jobs.report import totals
from katapult_async.testing import KatapultEmulator
from tests.durable_runs import (
    client_for,
    executed,
    plan_of,
    run_of,
)


async def test_the_look_ahead_reads_whole_pages(tmp_path: Path) -> None:
    async with KatapultEmulator(disks=1000, virtual_machines=40, limit=10_000) as emulator:
        wanted = plan_of(emulator)
        async with client_for(emulator) as client:
            with Manifest.from_items(wanted.items()) as manifest:
                preflight = await preview(client, manifest, "acme")
        assert preflight.counts == {Finding.TO_ASSIGN: 1000}
        assert emulator.ledger.by_path["/organizations/organization/disks"] == 5
        assert preflight.requests == emulator.ledger.total == 5 + 1 + 40
        assert preflight.seconds is not None
        assert preflight.seconds < 30  # as long as the connection takes: the limit does not matter
        assert preflight.not_compared == 1000
    assert list(tmp_path.iterdir()) == []


async def test_the_time_of_a_preflight_is_shown_beside_that_of_the_run(tmp_path: Path) -> None:
    """Its requests count in the summary, too."""
    path = tmp_path / "plan.run"
    async with KatapultEmulator(disks=2, virtual_machines=2, latency=0.1) as emulator:
        with run_of(path, plan_of(emulator).items()) as run:
            async with client_for(emulator) as client:
                before = time.monotonic()
                await run.preflight(client, "acme")
                once = run.summary().preflight_elapsed
                await run.preflight(client, "acme")
                twice, took = run.summary().preflight_elapsed, time.monotonic() - before
            # Each reads at least one list of disks, then machines that depend on it.
            assert 0.1 < once < twice - 0.1
            assert twice <= took
            assert run.summary().elapsed == 0.0
            await executed(run, emulator)
            summary = run.summary()
            assert summary.preflight_elapsed == twice
            assert summary.elapsed >= 0.1
            assert summary.requests == emulator.ledger.total
            names = [name for name, _ in totals(summary)]
            assert names[-3:-1] == ["time of preflight", "time without preflight"]
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM preflight_time")
    with pytest.raises(JournalDamaged):
        Journal.read(path)


async def test_a_preflight_of_long_ago_settles_nothing(tmp_path: Path) -> None:
    path = tmp_path / "plan.run"
    async with KatapultEmulator(disks=2, virtual_machines=2) as emulator:
        wanted = plan_of(emulator)
        there, elsewhere = (emulator.world.disks[disk] for disk in wanted)
        there.virtual_machine, elsewhere.virtual_machine = wanted[there.id], wanted[there.id]
        with run_of(path, wanted.items()) as run:
            async with client_for(emulator) as client:
                found = await run.preflight(client, "acme")
                assert found.counts == {Finding.ALREADY_THERE: 1, Finding.CONFLICT: 1}
            run.journal.query(sqlite3.Connection.execute, "UPDATE run SET looked_at = looked_at - 3600")
            there.virtual_machine = elsewhere.virtual_machine = None
            assert await executed(run, emulator) == {LineStatus.ASSIGNED: 2}


async def test_what_the_lists_do_not_show_is_sent_all_the_same(tmp_path: Path) -> None:
    """More than are read one by one: another organization's disks that the token may use."""
    async with KatapultEmulator(disks=260, virtual_machines=20) as emulator:
        wanted = plan_of(emulator)
        hidden = list(emulator.world.disks)[:150]
        emulator.world.unlisted.update(hidden)
        with run_of(tmp_path / "plan.run", wanted.items()) as run:
            async with client_for(emulator) as client:
                found = await run.preflight(client, "acme")
                assert found.counts == {Finding.TO_ASSIGN: 210, Finding.NOT_LISTED: 50}
                assert (await run.preflight(client, "acme", thorough=True)).counts == {Finding.TO_ASSIGN: 260}
            assert await executed(run, emulator) == {LineStatus.ASSIGNED: 260}


#: Of an organization of 4,000 disks (20 pages) and 1,000 machines (5 pages).
DISKS, MACHINES = 4000, 1000


async def cost(emulator: KatapultEmulator, numbers: list[int], *, by_fqdn: bool = False) -> dict[str, int]:
    """Count the requests of a preflight by the end of their path.

    All of its lines must be free to assign.
    """
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
        # The first page of disks shows that the organization exists. Then the disk and its machine
        # are read.
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
