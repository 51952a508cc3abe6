"""The fast way alone: when it is taken, when it is not, and what only it promises."""

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
from tests.raw_server import DISK, answering, http, raw_server, read_request

ONCE = RetryPolicy(attempts=1)


async def test_it_is_taken_with_every_version_that_is_supported() -> None:
    assert is_tested(aiohttp.__version__)
    assert is_tested("3.12.0")
    assert not is_tested("3.999.1")
    assert not is_tested("4.0.0a1")
    async with raw_server(answering(http(DISK))) as url, SessionPool() as pool:
        client = Client("token", base_url=url, pool=pool)
        await client.disks.get("disk_1")
        assert "0 busy, 1 free" in repr(pool)


@pytest.mark.parametrize(("fast", "trust_env"), [(False, False), (True, True)])
async def test_it_is_not_taken_where_it_is_not_wanted_or_a_proxy_may_be(
    monkeypatch: pytest.MonkeyPatch, *, fast: bool, trust_env: bool
) -> None:
    monkeypatch.setenv("NETRC", "/dev/null")
    async with (
        raw_server(answering(http(DISK))) as url,
        SessionPool(fast_path=fast, trust_env=trust_env) as pool,
    ):
        client = Client("token", base_url=url, pool=pool)
        assert (await client.disks.get("disk_1")).id == "disk_1"
        assert "aiohttp's client" in repr(pool)


async def test_a_proxy_of_the_environment_is_used_by_the_plain_way(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await read_request(reader))
        writer.write(http(DISK))

    async with raw_server(proxy) as url, SessionPool(trust_env=True, allow_http=True) as pool:
        monkeypatch.setenv("NETRC", "/dev/null")
        monkeypatch.setenv("http_proxy", str(URL(url).origin()))
        client = Client(
            "token", base_url="http://api.example/core/v1", pool=pool, retry=ONCE, allow_http=True
        )
        assert (await client.disks.get("disk_1")).id == "disk_1"
    assert heard[0].startswith(b"GET http://api.example/core/v1/disks/disk?")


@pytest.mark.parametrize("pause", [0.0, 0.02])
async def test_bytes_after_an_answer_end_the_connection(pause: float) -> None:
    connections = 0
    answer = http(DISK) + http(DISK.replace(b"disk_1", b"disk_2"))

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await read_request(reader)
        writer.write(answer[: len(http(DISK)) - 3])
        await asyncio.sleep(0.02)
        writer.write(answer[len(http(DISK)) - 3 : len(http(DISK))])
        await asyncio.sleep(pause)
        writer.write(answer[len(http(DISK)) :])
        await reader.read()

    async with raw_server(handler) as url, Client("token", base_url=url, retry=ONCE) as client:
        for _ in range(3):
            assert (await client.disks.get("disk_1")).id == "disk_1"
            await asyncio.sleep(2 * pause)
    assert connections == 3


async def test_lines_that_are_idle_for_too_long_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_pool, "KEEP_ALIVE", 0.1)
    ended: list[bool] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(http(DISK))
        ended.append(await reader.read() == b"")

    async with raw_server(handler) as url, SessionPool() as pool:
        client = Client("token", base_url=url, pool=pool, retry=ONCE)
        for expected in (1, 2):
            await client.disks.get("disk_1")
            await asyncio.sleep(0.3)
            assert len(ended) == expected
            assert "0 busy, 0 free" in repr(pool)


async def test_a_line_is_kept_from_its_last_answer_on_however_long_that_took(
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
        client = Client("token", base_url=url, pool=pool, retry=ONCE)
        for _ in range(3):
            await client.disks.get("disk_1")
        assert connections == 1
        with anyio.fail_after(0.4):  # not only when the time-out of the last request would have been
            await ended.wait()
        assert "0 busy, 0 free" in repr(pool)


async def test_what_is_busy_ends_when_the_lines_are_closed_for_no_time_out_is_watched_any_more() -> None:
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
        with anyio.fail_after(0.2), pytest.raises(ConnectionLost):
            await request
        assert "0 busy, 0 free" in repr(pool)
        await wire.close()


class _Odd(Connector):
    """A connector that is not as expected: in what it wants to be told, or in what it returns."""

    returns = False
    asked = 0

    async def connect(self, req: aiohttp.ClientRequest, *rest: Any, **more: Any) -> Connection:
        if req.url.path == "/":
            self.asked += 1
            if not self.returns:
                raise TypeError("connect() takes something else in this version")
            connection = await super().connect(req, *rest, **more)
            connection.release()
            return connection  # one without a protocol
        return await super().connect(req, *rest, **more)


@pytest.mark.parametrize("returns", [False, True])
async def test_what_is_not_as_expected_is_left_to_the_plain_way(*, returns: bool) -> None:
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


async def test_methods_that_the_api_has_not_go_the_plain_way() -> None:
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
async def test_no_header_can_be_smuggled_in(value: str) -> None:
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
            client = Client("token", base_url=url, pool=pool)
            await client.disks.get("disk_\r\nX: y/\u00e9?&#")
    assert heard[0] == heard[1]
    assert b"X: y" not in heard[0]


async def test_a_host_that_is_not_there() -> None:
    async with SessionPool() as pool:
        client = Client("token", base_url="http://127.0.0.1:9/core/v1", pool=pool, retry=ONCE)
        with pytest.raises(ConnectError, match=r"no connection to 127\.0\.0\.1:9"):
            await client.disks.get("disk_1")
        assert "0 busy, 0 free" in repr(pool)


async def test_connecting_ends_with_the_whole_time_at_the_latest() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_server(silent) as url:
        secure = url.replace("http:", "https:")
        limits = Timeout(connect=30, total=0.2)
        async with Client("token", base_url=secure, retry=ONCE, timeout=limits) as client:
            # The plain way cannot tell that nothing was sent yet: there it is a RequestTimeout.
            with pytest.raises(ConnectTimeout, match=r"within 0\.2 s"):
                await client.disks.get("disk_1")
