"""Clients of one pool with the same token: one rate window, and settings of each client's own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from katapult_async import Client, SessionPool
from katapult_async.testing import KatapultEmulator
from katapult_async.transport.address import is_same_base_url
from tests.opened import opened


@pytest.fixture
async def emulator() -> AsyncIterator[KatapultEmulator]:
    async with KatapultEmulator(disks=1, limit=100_000) as running:
        yield running


async def seconds_for(requests: int, client: Client, disk: str) -> float:
    began = time.monotonic()
    await asyncio.gather(*(client.disks.get(disk) for _ in range(requests)))
    return time.monotonic() - began


@pytest.mark.parametrize("first", ["with", "without"])
async def test_max_per_second_applies_to_its_own_client_only(emulator: KatapultEmulator, first: str) -> None:
    disk = emulator.disk_ids[0]
    async with SessionPool() as pool:
        ceilings = [None, 50.0] if first == "without" else [50.0, None]
        clients = [
            await opened(Client("token", base_url=emulator.url, pool=pool, max_per_second=ceiling))
            for ceiling in ceilings
        ]
        limited, unlimited = reversed(clients) if first == "without" else clients
        assert limited.session.gate is unlimited.session.gate
        slow = asyncio.create_task(seconds_for(26, limited, disk))
        fast = await seconds_for(26, unlimited, disk)
        assert not slow.done()
        assert await slow >= max(0.49, fast)


async def test_each_client_of_a_token_has_its_own_ceiling(emulator: KatapultEmulator) -> None:
    disk = emulator.disk_ids[0]
    async with SessionPool() as pool:
        one = await opened(Client("token", base_url=emulator.url, pool=pool, max_per_second=100))
        two = await opened(Client("token", base_url=emulator.url, pool=pool, max_per_second=50))
        took = await asyncio.gather(seconds_for(26, one, disk), seconds_for(26, two, disk))
    assert 0.23 <= took[0] < took[1]
    assert took[1] >= 0.49


async def test_settings_that_contradict_the_shared_window_are_refused(emulator: KatapultEmulator) -> None:
    async with SessionPool() as pool:
        first = await opened(Client("token", base_url=emulator.url, pool=pool, total_permitted=1000))
        with pytest.raises(ValueError, match=r"total_permitted=500 contradicts total_permitted=1000 "):
            await opened(Client("token", base_url=emulator.url, pool=pool, total_permitted=500))
        with pytest.raises(ValueError, match=r"rate_window=30 contradicts rate_window=60 "):
            await opened(Client("token", base_url=emulator.url, pool=pool, rate_window=30))
        same = await opened(
            Client("token", base_url=emulator.url, pool=pool, total_permitted=1000, rate_window=60)
        )
        silent = await opened(Client("token", base_url=emulator.url, pool=pool))
        other = await opened(
            Client("other", base_url=emulator.url, pool=pool, total_permitted=500, rate_window=30)
        )
        assert first.session.gate is same.session.gate is silent.session.gate is not other.session.gate


async def test_a_later_total_permitted_is_adopted_while_none_is_known(emulator: KatapultEmulator) -> None:
    async with SessionPool() as pool:
        first = await opened(Client("token", base_url=emulator.url, pool=pool))
        await opened(Client("token", base_url=emulator.url, pool=pool, total_permitted=700))
        assert first.session.gate.limit == 700
        with pytest.raises(ValueError, match=r"total_permitted=800 contradicts total_permitted=700 "):
            await opened(Client("token", base_url=emulator.url, pool=pool, total_permitted=800))


async def test_a_later_total_permitted_must_agree_with_what_the_server_has_said(
    emulator: KatapultEmulator,
) -> None:
    async with SessionPool() as pool:
        first = await opened(Client("token", base_url=emulator.url, pool=pool))
        await first.disks.get(emulator.disk_ids[0])
        with pytest.raises(ValueError, match=r"total_permitted=500 contradicts the limit of 100000 "):
            await opened(Client("token", base_url=emulator.url, pool=pool, total_permitted=500))
        await opened(Client("token", base_url=emulator.url, pool=pool, total_permitted=100_000))


async def test_a_client_is_opened_again_although_the_server_has_corrected_its_total_permitted(
    emulator: KatapultEmulator,
) -> None:
    async with SessionPool() as pool:
        client = Client("token", base_url=emulator.url, pool=pool, total_permitted=500)
        async with client:
            await client.disks.get(emulator.disk_ids[0])
        assert client.session.gate.limit == 100_000
        async with client:
            await client.disks.get(emulator.disk_ids[0])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://localhost/core/v1", "HTTP://LocalHost:80/core/v1/"),
        ("https://api.example/core/v1", "HTTPS://API.example:443/core/v1//"),
        ("http://127.0.0.1:8080/core/v1", "hTTp://127.0.0.1:08080/core/v1"),
        ("http://[::1]/", "http://[::1]:80"),
    ],
)
async def test_different_spellings_of_a_base_url_share_one_window(one: str, other: str) -> None:
    async with SessionPool() as pool:
        first = await opened(Client("token", base_url=one, pool=pool))
        second = await opened(Client("token", base_url=other, pool=pool))
        assert first.session.gate is second.session.gate
        assert first.base_url == second.base_url


@pytest.mark.parametrize(
    "other",
    [
        "http://api.example/core/v1",
        "https://api.example:80/core/v1",
        "https://api.example/Core/v1",
        "https://www.api.example/core/v1",
    ],
)
async def test_different_base_urls_have_separate_windows(other: str) -> None:
    async with SessionPool(allow_http=True) as pool:
        first = await opened(Client("token", base_url="https://api.example/core/v1", pool=pool))
        second = await opened(Client("token", base_url=other, pool=pool, allow_http=True))
        assert first.session.gate is not second.session.gate


@pytest.mark.parametrize("url", ["https://api.example:port/", "https://api.example:70000/", "https://[::1/"])
def test_an_unreadable_base_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="the base URL must look like"):
        Client("token", base_url=url)


@pytest.mark.parametrize("wanted", ["HTTP://LocalHost:80/core/v1/", "http://localhost/core/v1"])
def test_different_spellings_of_a_base_url_name_one_installation(wanted: str) -> None:
    assert is_same_base_url(wanted, "http://localhost/core/v1")
    assert not is_same_base_url(wanted, "http://localhost/core/v2")
    assert not is_same_base_url("not a URL", wanted)
