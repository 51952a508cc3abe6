"""A client of a pool and a client with a pool of its own open and close in the same way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from katapult_async import BulkError, Client, ConnectError, SessionPool, send_with
from katapult_async.models import Disk
from katapult_async.resources.disks import GET
from katapult_async.testing import KatapultEmulator

NOT_OPEN = r"^the Client is not open: use it inside 'async with'$"


@pytest.fixture
async def emulator() -> AsyncIterator[KatapultEmulator]:
    async with KatapultEmulator(disks=1) as emulator:
        yield emulator


@pytest.fixture(params=["alone", "of a pool"])
async def client(request: pytest.FixtureRequest, emulator: KatapultEmulator) -> AsyncIterator[Client]:
    if request.param == "alone":
        yield Client("token", base_url=emulator.url)
        return
    async with SessionPool() as pool:
        yield Client("token", base_url=emulator.url, pool=pool)


@pytest.mark.parametrize("endpoint", ["disks", "virtual_machines", "tasks", "io_profiles", "session"])
async def test_a_client_that_is_not_open_says_to_use_async_with(client: Client, endpoint: str) -> None:
    with pytest.raises(RuntimeError, match=NOT_OPEN):
        getattr(client, endpoint)
    assert "None" in repr(client)


async def test_nothing_is_sent_by_a_client_that_is_not_open(
    client: Client, emulator: KatapultEmulator
) -> None:
    action: Any = send_with
    with pytest.raises(RuntimeError, match=NOT_OPEN):
        await client.request(GET)
    with pytest.raises(RuntimeError, match=NOT_OPEN):
        await client.bulk(action, [])
    with pytest.raises(RuntimeError, match=NOT_OPEN):
        client.bulk_each(action, [])
    assert emulator.ledger.total == 0


async def test_a_client_is_entered_once_at_a_time(client: Client, emulator: KatapultEmulator) -> None:
    for _ in range(2):
        async with client as entered:
            assert entered is client
            with pytest.raises(RuntimeError, match="this Client is already open: enter it once"):
                await client.__aenter__()
            assert (await client.disks.get(emulator.disk_ids[0])).id == emulator.disk_ids[0]
    assert emulator.ledger.total == 2


async def test_a_closed_client_says_so(client: Client, emulator: KatapultEmulator) -> None:
    async with client:
        disk: Disk = await client.disks.get(emulator.disk_ids[0])
    for _ in range(2):
        with pytest.raises(ConnectError, match="the client is closed: nothing was sent"):
            await client.disks.get(disk.id)
    report = await client.disks.assign_many([(disk.id, "vm_1")])
    with pytest.raises(BulkError, match="the client is closed"):
        report.raise_for_failures()
    assert emulator.ledger.total == 1


async def test_closing_twice_or_before_opening_does_nothing(
    client: Client, emulator: KatapultEmulator
) -> None:
    await client.__aexit__(None, None, None)
    await client.__aenter__()
    await client.__aexit__(None, None, None)
    await client.__aexit__(None, None, None)
    with pytest.raises(ConnectError, match="the client is closed"):
        await client.disks.get("disk_1")
    async with client:
        assert (await client.disks.get(emulator.disk_ids[0])).id
