"""Connections that are no good, and bytes that nobody asked for: neither way takes them for an answer, or gives up."""

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
from tests.raw_server import DISK, http, raw_server, read_request

ONCE = RetryPolicy(attempts=1)
BUSY = http(b"", status="503 Busy")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunked(body: bytes) -> bytes:
    return CHUNKED + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"


class _Late(aiohttp.TCPConnector):
    """Takes its time, so that what a server does at once has been done when the connection is there."""

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
    """The connector under test, over one that is late."""


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
    """Greets, or closes, as many new connections as it is told to; serves the others."""

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


# -- connections that were kept ---------------------------------------------------------------------------------------


class SayingMore:
    """Answers with the number of the request, and says more when nobody has asked."""

    def __init__(self, answer: bytes, more: bytes, pause: float) -> None:
        self.requests = self.said = 0
        self._answer, self._more, self._pause = answer, more, pause

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            self.requests += 1
            writer.write(self._answer.replace(b"disk_1", b"disk_%d" % self.requests))
            await asyncio.sleep(self._pause)
            writer.write(self._more)
            self.said += 1

    async def has_said(self, times: int) -> None:
        while self.said < times:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)  # and it has arrived


@pytest.mark.parametrize("answer", [http(DISK), chunked(DISK)])
@pytest.mark.parametrize("more", [http(DISK.replace(b"disk_1", b"stale!")), http(b"", status="408 Late")])
@pytest.mark.parametrize("pause", [0.0, 0.02])
async def test_bytes_that_nobody_asked_for_are_no_answer(
    way: str, answer: bytes, more: bytes, pause: float
) -> None:
    """A server may say 408 to nobody before it hangs up. The next request must not take that for its answer."""
    server = SayingMore(answer, more, pause)
    async with raw_server(server) as url, SessionPool() as pool:
        client = Client("token", base_url=url, pool=pool, retry=ONCE)
        for expected in range(1, 5):
            assert (await client.disks.get("disk_x")).id == f"disk_{expected}"
            await server.has_said(expected)
        assert ("FastPool" in repr(pool)) is (way == "fast")


async def test_what_one_kept_connection_did_is_no_reason_to_leave_the_lean_way() -> None:
    server = SayingMore(chunked(DISK), BUSY, 0.01)
    async with raw_server(server) as url, wire_over(Connector(), "fast") as wire:
        for expected in range(1, 4):
            assert (await wire.exchange("GET", URL(url), {}, None)).status == 200
            await server.has_said(expected)
        assert "given up" not in repr(wire)


async def test_as_many_kept_connections_as_there_are_may_be_no_good(way: str) -> None:
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
        await asyncio.gather(*(wire.exchange("GET", URL(url), {}, None) for _ in range(count)))
        over.set()
        await asyncio.sleep(0.05)
        assert (await wire.exchange("GET", URL(url), {}, None)).body == DISK
    assert connections == count + 1


# -- new connections --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mood", [BUSY, b"220 mail.example ESMTP\r\n", None])
async def test_a_new_connection_that_is_no_good_is_replaced_by_another(way: str, mood: bytes | None) -> None:
    server = Moody(mood, TRIES - 1)
    async with raw_server(server) as url, wire_over(_LateConnector(), way) as wire:
        for _ in range(2):
            assert (await wire.exchange("GET", URL(url), {}, None)).body == DISK
        assert "given up" not in repr(wire)
    assert server.connections == TRIES


@pytest.mark.parametrize("mood", [BUSY, None])
async def test_when_none_is_any_good_nothing_was_sent_and_the_next_request_tries_anew(
    way: str, mood: bytes | None
) -> None:
    server = Moody(mood, TRIES)
    async with raw_server(server) as url, wire_over(_LateConnector(), way) as wire:
        with pytest.raises(ConnectError, match="3 new connections") as caught:
            await wire.exchange("GET", URL(url), {}, None)
        assert not caught.value.sent
        assert caught.value.execution is Execution.NOT_EXECUTED
        assert not caught.value.stops_run
        assert server.connections == TRIES
        assert (await wire.exchange("GET", URL(url), {}, None)).body == DISK
        assert "given up" not in repr(wire)


def test_a_server_that_speaks_first_is_no_reason_to_leave_the_lean_way_on_uvloop() -> None:
    """There its bytes have been read when the connection is there; on asyncio they have not."""
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        server = Moody(BUSY, 1)
        async with raw_server(server) as url, wire_over(Connector(), "fast") as wire:
            for _ in range(2):
                assert (await wire.exchange("GET", URL(url), {}, None)).body == DISK
            assert "given up" not in repr(wire)

    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


async def test_all_tries_together_take_no_longer_than_connecting_may() -> None:
    """Each new connection is dead when it is there."""
    async with raw_server(Moody(None, 1000)) as url, wire_over(_LateConnector(), "fast", 0.12) as wire:
        with pytest.raises(ConnectError, match=r"within 0\.12 s"):
            await wire.exchange("GET", URL(url), {}, None)


async def test_a_connection_that_is_there_when_the_pool_is_closed_is_not_used(way: str) -> None:
    server = Moody(None, 0)
    connector = _WaitingConnector()
    connector.asked, connector.go_on = asyncio.Event(), asyncio.Event()
    async with raw_server(server) as url, wire_over(connector, way) as wire:
        request = asyncio.create_task(wire.exchange("GET", URL(url), {}, None))
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
    """The connector under test, over one that waits before it connects."""
