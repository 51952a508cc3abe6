"""The fast path alone: when it is used, when it is not, and its own promises."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import anyio
import pytest
from aiohttp.connector import Connection
from yarl import URL

from katapult_async import (
    Client,
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    RetryPolicy,
    SessionPool,
    Timeout,
)
from katapult_async.transport.aiohttp_wire import AiohttpWire
from katapult_async.transport.connector import Connector
from katapult_async.transport.fast import pool as fast_pool
from katapult_async.transport.fast.pool import FastPool
from katapult_async.transport.fast.wire import FastWire, is_tested
from tests.opened import opened
from tests.raw_server import DISK, answering, http, raw_server, read_request

ONCE = RetryPolicy(attempts=1)


async def test_it_is_used_with_every_supported_version() -> None:
    assert is_tested(aiohttp.__version__)
    assert is_tested("3.12.0")
    assert not is_tested("3.999.1")
    assert not is_tested("4.0.0a1")
    async with raw_server(answering(http(DISK))) as url, SessionPool() as pool:
        client = await opened(Client("token", base_url=url, pool=pool))
        await client.disks.get("disk_1")
        assert "0 busy, 1 free" in repr(pool)


@pytest.mark.parametrize(("fast", "trust_env"), [(False, False), (True, True)])
async def test_it_is_not_used_when_disabled_or_with_proxies(
    monkeypatch: pytest.MonkeyPatch, *, fast: bool, trust_env: bool
) -> None:
    monkeypatch.setenv("NETRC", "/dev/null")
    async with (
        raw_server(answering(http(DISK))) as url,
        SessionPool(fast_path=fast, trust_env=trust_env) as pool,
    ):
        client = await opened(Client("token", base_url=url, pool=pool))
        assert (await client.disks.get("disk_1")).id == "disk_1"
        assert "aiohttp's client" in repr(pool)


async def test_aiohttp_wire_uses_a_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await read_request(reader))
        writer.write(http(DISK))

    async with raw_server(proxy) as url, SessionPool(trust_env=True, allow_http=True) as pool:
        monkeypatch.setenv("NETRC", "/dev/null")
        monkeypatch.setenv("http_proxy", str(URL(url).origin()))
        client = await opened(
            Client("token", base_url="http://api.example/core/v1", pool=pool, retry=ONCE, allow_http=True)
        )
        assert (await client.disks.get("disk_1")).id == "disk_1"
    assert heard[0].startswith(b"GET http://api.example/core/v1/disks/disk?")


@pytest.mark.parametrize("pause", [0.0, 0.02])
async def test_bytes_after_a_response_close_the_connection(pause: float) -> None:
    connections = 0
    response = http(DISK) + http(DISK.replace(b"disk_1", b"disk_2"))

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await read_request(reader)
        writer.write(response[: len(http(DISK)) - 3])
        await asyncio.sleep(0.02)
        writer.write(response[len(http(DISK)) - 3 : len(http(DISK))])
        await asyncio.sleep(pause)
        writer.write(response[len(http(DISK)) :])
        await reader.read()

    async with raw_server(handler) as url, Client("token", base_url=url, retry=ONCE) as client:
        for _ in range(3):
            assert (await client.disks.get("disk_1")).id == "disk_1"
            await asyncio.sleep(2 * pause)
    assert connections == 3


async def test_connections_that_are_idle_for_too_long_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_pool, "KEEP_ALIVE", 0.1)
    ended: list[bool] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(http(DISK))
        ended.append(await reader.read() == b"")

    async with raw_server(handler) as url, SessionPool() as pool:
        client = await opened(Client("token", base_url=url, pool=pool, retry=ONCE))
        for expected in (1, 2):
            await client.disks.get("disk_1")
            await asyncio.sleep(0.3)
            assert len(ended) == expected
            assert "0 busy, 0 free" in repr(pool)


async def test_the_idle_time_counts_from_the_last_response(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fast_pool, "KEEP_ALIVE", 0.2)
    connections = 0
    ended = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            while True:
                await read_request(reader)
                await asyncio.sleep(0.3)
                writer.write(http(DISK))
        finally:
            ended.set()

    async with raw_server(slow) as url, SessionPool() as pool:
        client = await opened(Client("token", base_url=url, pool=pool, retry=ONCE))
        for _ in range(3):
            await client.disks.get("disk_1")
        assert connections == 1
        with anyio.fail_after(10):
            await ended.wait()
        assert "0 busy, 0 free" in repr(pool)


async def test_busy_connections_are_aborted_when_the_pool_closes() -> None:
    arrived = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n")
        arrived.set()
        await reader.read()

    connector = Connector()
    async with raw_server(silent) as url, connector:
        limits = Timeout(total=0.3)
        plain = AiohttpWire(connector, headers={}, timeout=limits, max_body=1000, trust_env=False)
        pool = FastPool(connector, max_body=1000)
        wire = FastWire(pool, plain, headers={}, timeout=limits)
        request = asyncio.create_task(wire.exchange("GET", URL(url), {}, None))
        await arrived.wait()
        pool.close()
        with anyio.fail_after(5), pytest.raises(ConnectionLost):
            await request
        assert "0 busy, 0 free" in repr(pool)
        await wire.close()


class _Odd(Connector):
    """A connector with unexpected arguments, or an unexpected result."""

    returns = False
    asked = 0

    async def connect(self, req: aiohttp.ClientRequest, *rest: Any, **more: Any) -> Connection:
        if req.url.path == "/":
            self.asked += 1
            if not self.returns:
                raise TypeError("connect() takes something else in this version")
            connection = await super().connect(req, *rest, **more)
            connection.release()
            return connection  # without a protocol
        return await super().connect(req, *rest, **more)


@pytest.mark.parametrize("returns", [False, True])
async def test_unexpected_internals_lead_to_aiohttp_wire(*, returns: bool) -> None:
    connector = _Odd()
    connector.returns = returns
    async with raw_server(answering(http(DISK), http(DISK))) as url, connector:
        limits = Timeout()
        plain = AiohttpWire(connector, headers={}, timeout=limits, max_body=1000, trust_env=False)
        pool = FastPool(connector, max_body=1000)
        wire = FastWire(pool, plain, headers={"A": "b"}, timeout=limits)
        for _ in range(2):
            reply = await wire.exchange("GET", URL(url), {}, None)
            assert (reply.status, reply.body) == (200, DISK)
        assert connector.asked == 1
        assert "given up" in repr(wire)
        await wire.close()
        pool.close()


async def test_other_methods_use_aiohttp_wire() -> None:
    async with raw_server(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n")) as url:
        connector = Connector()
        async with connector:
            limits = Timeout()
            plain = AiohttpWire(connector, headers={}, timeout=limits, max_body=1000, trust_env=False)
            pool = FastPool(connector, max_body=1000)
            wire = FastWire(pool, plain, headers={}, timeout=limits)
            assert (await wire.exchange("HEAD", URL(url), {}, None)).body == b""
            assert "0 busy, 0 free" in repr(wire)
            await wire.close()
            pool.close()


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\0", "\u00e9"])
async def test_a_value_cannot_add_a_header(value: str) -> None:
    connector = Connector()
    async with connector:
        limits = Timeout()
        plain = AiohttpWire(connector, headers={}, timeout=limits, max_body=1000, trust_env=False)
        pool = FastPool(connector, max_body=1000)
        with pytest.raises(ValueError, match="header"):
            FastWire(pool, plain, headers={"A": value}, timeout=limits)
        wire = FastWire(pool, plain, headers={}, timeout=limits)
        with pytest.raises(ValueError, match="header"):
            await wire.exchange("GET", URL("http://127.0.0.1:9/"), {"A": value}, None)
        await wire.close()
        pool.close()


async def test_a_path_is_quoted_as_aiohttp_quotes_it() -> None:
    heard: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            heard.append((await read_request(reader)).split(b"\r\n")[0])
            writer.write(http(DISK))

    for fast in (True, False):
        async with raw_server(handler) as url, SessionPool(fast_path=fast) as pool:
            client = await opened(Client("token", base_url=url, pool=pool))
            await client.disks.get("disk_\r\nX: y/\u00e9?&#")
    assert heard[0] == heard[1]
    assert b"X: y" not in heard[0]


async def test_an_unreachable_host() -> None:
    async with SessionPool() as pool:
        client = await opened(Client("token", base_url="http://127.0.0.1:9/core/v1", pool=pool, retry=ONCE))
        with pytest.raises(ConnectError, match=r"no connection to 127\.0\.0\.1:9"):
            await client.disks.get("disk_1")
        assert "0 busy, 0 free" in repr(pool)


async def test_connecting_takes_at_most_the_total_time_out() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_server(silent) as url:
        secure = url.replace("http:", "https:")
        limits = Timeout(connect=30, total=0.2)
        async with Client("token", base_url=secure, retry=ONCE, timeout=limits) as client:
            # AiohttpWire cannot tell that nothing was sent, and raises RequestTimeout.
            with pytest.raises(ConnectTimeout, match=r"within 0\.2 s"):
                await client.disks.get("disk_1")
