"""What a closed client or pool leaves behind, and what its requests get."""

from __future__ import annotations

import asyncio
import time

import anyio
import pytest

from katapult_async import (
    Assignment,
    Client,
    ConnectError,
    ConnectionLost,
    Observer,
    RequestEvent,
    RequestTimeout,
    RetryPolicy,
    SessionPool,
    Timeout,
)
from katapult_async.errors import Execution
from katapult_async.testing import Answers, KatapultEmulator
from tests.e2e.test_wire import contexts
from tests.opened import opened
from tests.raw_server import DISK, http, raw_server, read_request

pytestmark = pytest.mark.usefixtures("way")

ONCE = RetryPolicy(attempts=1)
LARGE = 20_000_000


class Listener(Observer):
    def __init__(self) -> None:
        self.requests = 0

    def on_request(self, event: RequestEvent) -> None:  # noqa: ARG002
        self.requests += 1


class Server:
    """Responds to everything, and counts connections and requests."""

    def __init__(self) -> None:
        self.connections = self.requests = 0
        self.responding = asyncio.Event()
        self.responding.set()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            await read_request(reader)
            self.requests += 1
            await self.responding.wait()
            writer.write(http(DISK))


# -- a client of a shared pool ---------------------------------------------------------------------


async def test_closed_clients_leave_nothing_in_a_shared_pool() -> None:
    listener = Listener()
    async with KatapultEmulator(disks=1, limit=100) as emulator, SessionPool() as pool:
        async with Client("token", base_url=emulator.url, pool=pool) as lasting:
            gate = lasting.session.gate
            for _ in range(20):
                async with Client("token", base_url=emulator.url, pool=pool, observer=listener) as client:
                    await client.disks.get(emulator.disk_ids[0])
                    assert client.session.gate is gate
            assert listener.requests == 20
            assert "1 sessions, 1 tokens" in repr(pool)
            assert gate.listeners == []
            # The server counts per token, so the state of the token's window stays in the pool.
            assert gate.limit == 100
            await lasting.disks.get(emulator.disk_ids[0])
            assert listener.requests == 20
        assert "0 sessions, 1 tokens" in repr(pool)
        async with Client("token", base_url=emulator.url, pool=pool) as later:
            assert later.session.gate is gate


async def test_a_request_in_flight_completes_after_its_client_closed() -> None:
    server = Server()
    async with raw_server(server) as url, SessionPool() as pool:
        async with Client("token", base_url=url, pool=pool, retry=ONCE) as client:
            server.responding.clear()
            request = asyncio.create_task(client.disks.get("disk_1"))
            while not server.requests:
                await asyncio.sleep(0.005)
        server.responding.set()
        assert (await request).id == "disk_1"


# -- requests on a closed client -------------------------------------------------------------------


@pytest.mark.parametrize("closed", ["client", "client of a pool", "pool"])
async def test_a_request_on_a_closed_client_is_not_sent_and_says_why(closed: str) -> None:
    server = Server()
    async with raw_server(server) as url:
        if closed == "client":
            async with Client("token", base_url=url) as client:
                await client.disks.get("disk_1")
            await refuses(client)
        else:
            async with SessionPool() as pool:
                client = await opened(Client("token", base_url=url, pool=pool))
                await client.disks.get("disk_1")
                if closed == "client of a pool":
                    await client.__aexit__(None, None, None)
                    await refuses(client)
            await refuses(client)
        assert (server.connections, server.requests) == (1, 1)


async def refuses(client: Client) -> None:
    """With the default retry policy: a closed client must not retry."""
    began = time.monotonic()
    for call in (client.disks.get("disk_1"), client.disks.update("disk_1", name="x")):
        with pytest.raises(ConnectError, match="the client is closed: nothing was sent") as caught:
            await call
        assert not caught.value.sent
        assert caught.value.execution is Execution.NOT_EXECUTED
        assert caught.value.operation in ("GET /disks/disk", "PATCH /disks/disk")
    pairs = [Assignment(f"disk_{n}", "vm_1") for n in range(100)]
    report = await client.disks.assign_many(pairs)
    assert (report.requests, report.ok) == (0, False)
    assert isinstance(report.stopped_by, ConnectError)
    assert client.session.gate.window.in_flight == 0
    assert time.monotonic() - began < 0.4


async def test_closing_a_client_prevents_waiting_requests_from_being_sent() -> None:
    server = Server()
    async with raw_server(server) as url, SessionPool() as pool:
        async with Client("token", base_url=url, pool=pool, max_per_second=10) as client:
            await client.disks.get("disk_1")
            request = asyncio.create_task(client.disks.get("disk_1"))
            await asyncio.sleep(0.01)
            assert client.session.ceiling is not None
            assert client.session.ceiling.waiting == 1
        with pytest.raises(ConnectError, match="closed"):
            await request
        assert client.session.gate.window.in_flight == 0
    assert server.requests == 1


@pytest.mark.parametrize("what", ["window", "ceiling"])
async def test_closing_a_client_ends_only_its_own_waits(what: str) -> None:
    # Without headers, because with headers the last permit of a window is used at its end.
    async with (
        KatapultEmulator(disks=8, virtual_machines=8, limit=2, answers=Answers(headers=False)) as emulator,
        SessionPool() as pool,
    ):
        settings = {"base_url": emulator.url, "pool": pool, "total_permitted": 2}
        async with Client("token", **settings) as lasting:  # type: ignore[arg-type]
            slow = 0.01 if what == "ceiling" else None
            async with Client("token", max_per_second=slow, **settings) as client:  # type: ignore[arg-type]
                pairs = zip(emulator.disk_ids, emulator.virtual_machine_ids, strict=True)
                run = asyncio.create_task(client.disks.assign_many(pairs))
                single = asyncio.create_task(client.disks.get(emulator.disk_ids[0]))
                while emulator.ledger.total < (2 if what == "window" else 1):
                    await asyncio.sleep(0.005)
                await asyncio.sleep(0.05)
                assert not run.done()
                other = asyncio.create_task(lasting.disks.get(emulator.disk_ids[0]))
                await asyncio.sleep(0.05)
                sent = emulator.ledger.total
            with anyio.fail_after(5):
                report = await run
                await asyncio.wait([single])
            assert "the client is closed" in str(report.stopped_by)
            if single.exception() is not None:
                assert isinstance(single.exception(), ConnectError)
            assert emulator.ledger.total == sent
            assert other.done() == (what == "ceiling")
            assert lasting.session.gate.window.in_flight == 0
            other.cancel()


# -- a peer that does not read ---------------------------------------------------------------------


class Deaf:
    """Reads nothing of a request until a test says so, and then everything."""

    def __init__(self) -> None:
        self.connections = 0
        self.reads = asyncio.Event()
        self.heard = 0
        self.ended = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self.reads.wait()
            while some := await reader.read(1_000_000):
                self.heard += len(some)
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()  # on Python 3.10 TLS does not report that the client has gone
        self.ended.set()


#: aiohttp prefers a file for bodies of this size. The API has no such requests, but none may block.
large_body = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")


@large_body
@pytest.mark.parametrize("tls", [False, True])
async def test_closing_a_pool_does_not_wait_for_a_peer_that_does_not_read(*, tls: bool) -> None:
    server = Deaf()
    trusting, serving = contexts() if tls else (None, None)
    async with raw_server(server, tls=serving) as url:
        with anyio.fail_after(3):
            async with SessionPool(ssl_context=trusting) as pool:
                client = await opened(Client("token", base_url=url, pool=pool, retry=ONCE))
                request = asyncio.create_task(client.disks.update("disk_1", name="x" * LARGE))
                while not server.connections:
                    await asyncio.sleep(0.005)
                await asyncio.sleep(0.05)
            with pytest.raises(ConnectionLost):
                await request


@large_body
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("cancelled", [False, True])
async def test_an_abandoned_request_is_not_written_further(way: str, *, cancelled: bool, tls: bool) -> None:
    """After a time-out or a cancellation the rest must not be sent when the peer finally reads."""
    if tls and way == "plain":
        pytest.skip("aiohttp says goodbye in TLS, for which asyncio takes 30 s at most")
    server = Deaf()
    limits = Timeout(total=60 if cancelled else 0.3)
    trusting, serving = contexts() if tls else (None, None)
    async with raw_server(server, tls=serving) as url, SessionPool(ssl_context=trusting) as pool:
        client = await opened(Client("token", base_url=url, pool=pool, retry=ONCE, timeout=limits))
        if cancelled:
            with anyio.move_on_after(0.3):
                await client.disks.update("disk_1", name="x" * LARGE)
        else:
            with pytest.raises(RequestTimeout):
                await client.disks.update("disk_1", name="x" * LARGE)
        server.reads.set()
        with anyio.fail_after(3):
            await server.ended.wait()
        assert server.heard < LARGE


async def test_all_requests_in_flight_end_when_their_pool_closes() -> None:
    server = Server()
    server.responding.clear()
    async with raw_server(server) as url:
        async with SessionPool() as pool:
            clients = [
                await opened(Client(f"token-{n}", base_url=url, pool=pool, retry=ONCE)) for n in range(5)
            ]
            requests = [asyncio.create_task(client.disks.get("disk_1")) for client in clients]
            while server.requests < 5:
                await asyncio.sleep(0.005)
        with anyio.fail_after(2):
            ended = await asyncio.gather(*requests, return_exceptions=True)
    assert all(isinstance(error, ConnectionLost) for error in ended)
