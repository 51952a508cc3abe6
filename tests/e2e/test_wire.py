"""Connections and responses of every shape, with both wires."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
import trustme

from katapult_async import (
    Client,
    ConnectionLost,
    KatapultError,
    ProtocolError,
    RequestTimeout,
    RetryPolicy,
    SessionPool,
    Timeout,
)
from tests.opened import opened
from tests.raw_server import DISK, Handler, answering, http, raw_server, read_request

pytestmark = pytest.mark.usefixtures("way")

ONCE = RetryPolicy(attempts=1)


class Counted:
    """Serves a handler, and counts requests and connections (opened, and closed by the client)."""

    def __init__(self, *pieces: bytes, pause: float = 0.0, requests: int = 1000) -> None:
        self.connections = self.closed = self.requests = 0
        self._pieces = pieces
        self._pause = pause
        self._most = requests

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            for _ in range(self._most):
                await read_request(reader)
                self.requests += 1
                for piece in self._pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(self._pause)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed += 1


@asynccontextmanager
async def client_of(
    handler: Handler, *, limits: Timeout | None = None, tls: bool = False
) -> AsyncIterator[Client]:
    trusting, serving = contexts() if tls else (None, None)
    async with raw_server(handler, tls=serving) as url, SessionPool(ssl_context=trusting) as pool:
        yield await opened(Client("token", base_url=url, pool=pool, retry=ONCE, timeout=limits))


def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(serving)  # pyright: ignore[reportUnknownMemberType]
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)  # pyright: ignore[reportUnknownMemberType]
    return trusting, serving


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(5):
        while not condition():
            await asyncio.sleep(0.005)


# -- connections -----------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True])
async def test_consecutive_requests_share_a_connection(*, tls: bool) -> None:
    server = Counted(http(DISK))
    async with client_of(server, tls=tls) as client:
        for _ in range(20):
            assert (await client.disks.get("disk_1")).id == "disk_1"
    assert (server.connections, server.requests) == (1, 20)


@pytest.mark.parametrize("tls", [False, True])
async def test_each_request_in_flight_has_a_connection_and_none_stays_open(*, tls: bool) -> None:
    server = Counted(http(DISK), pause=0.001)
    trusting, serving = contexts() if tls else (None, None)
    async with raw_server(server, tls=serving) as url:
        async with SessionPool(ssl_context=trusting) as pool:
            client = await opened(Client("token", base_url=url, pool=pool, retry=ONCE))
            await client.disks.get("disk_1")
            for _ in range(2):
                await asyncio.gather(*(client.disks.get("disk_1") for _ in range(8)))
            assert 1 < server.connections <= 8
            assert server.closed == 0
        await until(lambda: server.closed == server.connections)


async def test_clients_of_one_pool_share_connections() -> None:
    server = Counted(http(DISK))
    async with raw_server(server) as url, SessionPool() as pool:
        for token in ("one", "two"):
            await (await opened(Client(token, base_url=url, pool=pool))).disks.get("disk_1")
    assert server.connections == 1


@pytest.mark.parametrize(
    "response",
    [
        http(DISK, "Connection: close"),
        http(DISK, "Connection: Close"),
        b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(DISK) + DISK,
        b"HTTP/1.1 200 OK\r\n\r\n" + DISK,
    ],
)
async def test_a_connection_that_the_server_will_close_is_not_used_again(response: bytes) -> None:
    server = Counted(response, requests=1)
    async with client_of(server) as client:
        for _ in range(5):
            assert (await client.disks.get("disk_1")).id == "disk_1"
    assert (server.connections, server.requests) == (5, 5)


async def test_a_free_connection_that_the_server_has_closed_is_not_used_again() -> None:
    server = Counted(http(DISK), requests=1)
    async with client_of(server) as client:
        for _ in range(3):
            assert (await client.disks.get("disk_1")).id == "disk_1"
            await asyncio.sleep(0.02)
    assert (server.connections, server.requests) == (3, 3)


async def test_cancelling_closes_the_connection_and_leaves_no_task(no_tasks_left: None) -> None:
    server = Counted(pause=0)
    async with client_of(server) as client:
        with anyio.move_on_after(0.05):
            await client.disks.get("disk_1")
        await until(lambda: server.closed == 1)
        task = asyncio.create_task(client.disks.get("disk_1"))
        await until(lambda: server.requests == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: server.closed == 2)
    assert (server.connections, server.requests) == (2, 2)


async def test_a_late_response_is_not_returned_for_the_next_request() -> None:
    number = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal number
        while True:
            await read_request(reader)
            number += 1
            response = http(DISK.replace(b"disk_1", b"disk_%d" % number))
            await asyncio.sleep(0.3 if number == 1 else 0)
            writer.write(response)

    async with client_of(handler, limits=Timeout(total=0.2)) as client:
        with pytest.raises(RequestTimeout):
            await client.disks.get("disk_1")
        for expected in range(2, 5):
            assert (await client.disks.get("disk_x")).id == f"disk_{expected}"
            await asyncio.sleep(0.06)


async def test_each_request_keeps_its_own_time_out() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while b"disk_0" in await read_request(reader):
            writer.write(http(DISK))
        await reader.read()

    async def one(client: Client, after: float) -> float:
        await asyncio.sleep(after)
        began = time.monotonic()
        with pytest.raises(RequestTimeout):
            await client.disks.get("disk_1")
        return time.monotonic() - began

    async with raw_server(silent) as url, SessionPool() as pool:
        short = await opened(Client("one", base_url=url, pool=pool, timeout=Timeout(total=0.2), retry=ONCE))
        long = await opened(Client("two", base_url=url, pool=pool, timeout=Timeout(total=0.5), retry=ONCE))
        for client in (short, long):
            await client.disks.get("disk_0")  # nothing else is sent before the first response
        took = await asyncio.gather(*(one(client, n / 20) for n in range(5) for client in (long, short)))
        assert all(0.19 <= seconds < 0.45 for seconds in took[1::2])
        assert all(0.49 <= seconds < 0.75 for seconds in took[::2])


@pytest.mark.parametrize(
    "pieces", [(b"HTTP/1.1 200 OK\r\nContent-", b"Le"), (http(DISK, length=500),), (b"",)]
)
async def test_a_time_out_applies_to_a_partial_response(pieces: tuple[bytes, ...]) -> None:
    async with client_of(Counted(*pieces), limits=Timeout(total=0.2)) as client:
        with anyio.fail_after(2), pytest.raises(RequestTimeout):
            await client.disks.get("disk_1")


async def test_a_time_out_applies_to_a_slow_chunked_body() -> None:
    async def trickling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1\r\n \r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with client_of(trickling, limits=Timeout(total=0.2)) as client:
        with anyio.fail_after(2), pytest.raises(RequestTimeout):
            await client.disks.get("disk_1")


async def test_a_request_in_flight_ends_when_the_pool_closes() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_server(silent) as url:
        async with SessionPool() as pool:
            client = await opened(Client("token", base_url=url, pool=pool, retry=ONCE))
            task = asyncio.create_task(client.disks.get("disk_1"))
            await asyncio.sleep(0.05)
        with pytest.raises(ConnectionLost):
            await task


async def test_a_large_request_reaches_a_slow_server_whole() -> None:
    heard = b""

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        await asyncio.sleep(0.1)
        heard = await read_request(reader)
        writer.write(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(DISK)
            + DISK
            + b"\r\n0\r\n\r\n"
        )

    name = "x" * 900_000
    async with client_of(slow) as client:
        assert (await client.disks.update("disk_1", name=name)).id == "disk_1"
    assert name.encode() in heard


# -- responses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "response",
    [
        http(DISK),
        http(DISK, "Set-Cookie: a=b", "Set-Cookie: c=d"),
        http(DISK, "X-Blank:", "X-Tight:1", "X-Wide:   2  ", "X-Accent: \u00e9"),
        http(DISK, "connection: keep-alive, x-more"),
        b"HTTP/1.1 100 Continue\r\n\r\n" + http(DISK),
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + http(DISK),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(DISK) + DISK + b"\r\n0\r\n\r\n",
    ],
)
@pytest.mark.parametrize("size", [None, 1, 7, 40])
async def test_a_response_in_pieces_is_read_whole(response: bytes, size: int | None) -> None:
    step = size or len(response)
    pieces = [response[at : at + step] for at in range(0, len(response), step)]
    server = Counted(*pieces, pause=0 if size is None else 0.0005)
    async with client_of(server) as client:
        assert (await client.disks.get("disk_1")).id == "disk_1"
        assert (await client.disks.get("disk_1")).id == "disk_1"
    assert (server.connections, server.requests) == (1, 2)


async def test_a_large_response_is_read_whole() -> None:
    body = DISK + b" " * 3_000_000
    async with client_of(Counted(http(body))) as client:
        assert (await client.disks.get("disk_1")).id == "disk_1"
        assert (await client.disks.get("disk_1")).id == "disk_1"


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n" + DISK, ProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + DISK, ProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n" + DISK, ProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + DISK, ProtocolError),
        (b"HTTP/1.1 200 OK\r\nBad Name: 5\r\nContent-Length: 5\r\n\r\n" + DISK, ProtocolError),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\nContent-Length: 5\r\n\r\n" + DISK, ProtocolError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", ProtocolError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", ConnectionLost),
        (b"HTTP/1.1 200 OK\r\nContent-", ConnectionLost),
        (b"\x15\x03\x01\x00\x02\x02\x46", ProtocolError),
    ],
)
async def test_an_invalid_response_is_an_error_and_closes_the_connection(
    response: bytes, error: type[KatapultError]
) -> None:
    server = Counted(response, requests=1)
    async with client_of(server) as client:
        for expected in (1, 2):
            with pytest.raises(error):
                await client.disks.get("disk_1")
            assert server.requests == expected


@pytest.mark.parametrize("length", [b"", b"Content-Length: 0\r\n"])
async def test_a_response_without_a_body_is_an_error(length: bytes) -> None:
    server = Counted(b"HTTP/1.1 204 No Content\r\n" + length + b"\r\n")
    async with client_of(server) as client:
        for _ in range(2):
            with pytest.raises(ProtocolError, match="0 bytes"):
                await client.disks.get("disk_1")
    assert server.connections == 1


async def test_a_reset_in_the_middle_of_the_body_is_a_lost_connection() -> None:
    async def resetting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(http(DISK, length=500))
        await asyncio.sleep(0.02)
        writer.transport.abort()

    async with client_of(resetting) as client:
        with pytest.raises(ConnectionLost):
            await client.disks.get("disk_1")


async def test_header_names_are_looked_up_in_any_case() -> None:
    server = answering(
        http(b'{"error":{"code":"disk_not_found"}}', "x-REQUEST-id: req-1", status="404 Not Found")
    )
    async with client_of(server) as client:
        with pytest.raises(KatapultError) as caught:
            await client.disks.get("disk_1")
    assert caught.value.request_id == "req-1"
