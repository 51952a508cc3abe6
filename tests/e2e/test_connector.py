"""Unusable connections and unsolicited bytes: no wire returns them as a response, or gives up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from yarl import URL

from katapult_async import Client, ConnectError, RetryPolicy, SessionPool, Timeout
from katapult_async.errors import Execution
from katapult_async.transport.aiohttp_wire import AiohttpWire
from katapult_async.transport.connector import TRIES, Connector
from katapult_async.transport.fast.pool import FastPool
from katapult_async.transport.fast.wire import FastWire
from katapult_async.transport.wire import Exchange
from tests.opened import opened
from tests.raw_server import DISK, http, raw_server, read_request

ONCE = RetryPolicy(attempts=1)
BUSY = http(b"", status="503 Busy")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunked(body: bytes) -> bytes:
    return CHUNKED + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"


class _Late(aiohttp.TCPConnector):
    """Connects slowly: whatever a server does at once has happened by then."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        try:
            await asyncio.sleep(0.05)
        except BaseException:
            connection.close()
            raise
        return connection


class _LateConnector(Connector, _Late):
    """The connector under test, based on the slow one."""


@asynccontextmanager
async def wire_over(connector: Connector, way: str, connect: float = 5) -> AsyncIterator[Exchange]:
    limits = Timeout(connect=connect, total=5)
    try:
        plain = AiohttpWire(connector, headers={}, timeout=limits, max_body=1000, trust_env=False)
        pool = FastPool(connector, max_body=1000)
        wire = FastWire(pool, plain, headers={}, timeout=limits) if way == "fast" else plain
        try:
            yield wire
        finally:
            await wire.close()
            pool.close()
    finally:
        await connector.close()


class Moody:
    """Greets or closes a given number of new connections, and serves the others."""

    def __init__(self, mood: bytes | None, times: int) -> None:
        self.connections = 0
        self.times = times
        self._mood = mood

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.connections <= self.times:
            if self._mood is not None:
                writer.write(self._mood)
                await reader.read()
            return
        while True:
            await read_request(reader)
            writer.write(http(DISK))


# -- kept connections ------------------------------------------------------------------------------


class SayingMore:
    """Responds with the number of the request, and sends more bytes without a request."""

    def __init__(self, response: bytes, more: bytes, pause: float) -> None:
        self.requests = self.times_sent = 0
        self._response, self._more, self._pause = response, more, pause

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            self.requests += 1
            writer.write(self._response.replace(b"disk_1", b"disk_%d" % self.requests))
            await asyncio.sleep(self._pause)
            writer.write(self._more)
            self.times_sent += 1

    async def has_sent(self, times: int) -> None:
        while self.times_sent < times:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)  # and the bytes have arrived


@pytest.mark.parametrize("response", [http(DISK), chunked(DISK)])
@pytest.mark.parametrize("more", [http(DISK.replace(b"disk_1", b"stale!")), http(b"", status="408 Late")])
@pytest.mark.parametrize("pause", [0.0, 0.02])
async def test_unsolicited_bytes_are_not_a_response(
    way: str, response: bytes, more: bytes, pause: float
) -> None:
    """A server may send an unsolicited 408 before it hangs up."""
    server = SayingMore(response, more, pause)
    async with raw_server(server) as url, SessionPool() as pool:
        client = await opened(Client("token", base_url=url, pool=pool, retry=ONCE))
        for expected in range(1, 5):
            assert (await client.disks.get("disk_x")).id == f"disk_{expected}"
            await server.has_sent(expected)
        assert ("FastPool" in repr(pool)) is (way == "fast")


async def test_unsolicited_bytes_do_not_end_the_fast_path() -> None:
    server = SayingMore(chunked(DISK), BUSY, 0.01)
    async with raw_server(server) as url, wire_over(Connector(), "fast") as wire:
        for expected in range(1, 4):
            assert (await wire.exchange("GET", URL(url), None)).status == 200
            await server.has_sent(expected)
        assert "given up" not in repr(wire)


async def test_any_number_of_kept_connections_may_be_unusable(way: str) -> None:
    count = 3 * TRIES
    connections = 0
    all_there, over = asyncio.Event(), asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await read_request(reader)
        if connections == count:
            all_there.set()
        await all_there.wait()
        writer.write(chunked(DISK))
        if not over.is_set():
            await over.wait()
            writer.write(BUSY)
        await reader.read()

    async with raw_server(handler) as url, wire_over(Connector(), way) as wire:
        await asyncio.gather(*(wire.exchange("GET", URL(url), None) for _ in range(count)))
        over.set()
        await asyncio.sleep(0.05)
        assert (await wire.exchange("GET", URL(url), None)).body == DISK
    assert connections == count + 1


# -- new connections -------------------------------------------------------------------------------


@pytest.mark.parametrize("mood", [BUSY, b"220 mail.example ESMTP\r\n", None])
async def test_an_unusable_new_connection_is_replaced(way: str, mood: bytes | None) -> None:
    server = Moody(mood, TRIES - 1)
    async with raw_server(server) as url, wire_over(_LateConnector(), way) as wire:
        for _ in range(2):
            assert (await wire.exchange("GET", URL(url), None)).body == DISK
        assert "given up" not in repr(wire)
    assert server.connections == TRIES


@pytest.mark.parametrize("mood", [BUSY, None])
async def test_without_a_usable_connection_nothing_is_sent_and_the_next_request_tries_again(
    way: str, mood: bytes | None
) -> None:
    server = Moody(mood, TRIES)
    async with raw_server(server) as url, wire_over(_LateConnector(), way) as wire:
        with pytest.raises(ConnectError, match="3 new connections") as caught:
            await wire.exchange("GET", URL(url), None)
        assert not caught.value.sent
        assert caught.value.execution is Execution.NOT_EXECUTED
        assert not caught.value.stops_run
        assert server.connections == TRIES
        assert (await wire.exchange("GET", URL(url), None)).body == DISK
        assert "given up" not in repr(wire)


def test_a_server_that_sends_first_does_not_end_the_fast_path_on_uvloop() -> None:
    """On uvloop the bytes have been read when `connect` returns. On asyncio they have not."""
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        server = Moody(BUSY, 1)
        async with raw_server(server) as url, wire_over(Connector(), "fast") as wire:
            for _ in range(2):
                assert (await wire.exchange("GET", URL(url), None)).body == DISK
            assert "given up" not in repr(wire)

    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


async def test_all_attempts_to_connect_share_one_time_out() -> None:
    """The server closes each new connection at once."""
    async with raw_server(Moody(None, 1000)) as url, wire_over(_LateConnector(), "fast", 0.12) as wire:
        with pytest.raises(ConnectError, match=r"within 0\.12 s"):
            await wire.exchange("GET", URL(url), None)


async def test_a_connection_that_opens_after_the_pool_closed_is_not_used(way: str) -> None:
    server = Moody(None, 0)
    connector = _WaitingConnector()
    connector.asked, connector.go_on = asyncio.Event(), asyncio.Event()
    async with raw_server(server) as url, wire_over(connector, way) as wire:
        request = asyncio.create_task(wire.exchange("GET", URL(url), None))
        await connector.asked.wait()
        closing = asyncio.create_task(connector.close())
        await asyncio.sleep(0)
        connector.go_on.set()
        with pytest.raises(ConnectError, match="the client is closed") as caught:
            await request
        await closing
    assert not caught.value.sent
    assert caught.value.stops_run


class _Waiting(aiohttp.TCPConnector):
    asked: asyncio.Event
    go_on: asyncio.Event

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,
    ) -> Connection:
        self.asked.set()
        await self.go_on.wait()
        return await super().connect(req, traces, timeout)


class _WaitingConnector(Connector, _Waiting):
    """The connector under test, based on one that waits before it connects."""
