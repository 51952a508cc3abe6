"""The clients that are compared, each as its users write it.

Each client has 32 requests in flight, and reads and decodes every response. A client is an async
context manager around a function. The function returns an awaitable, which sends the given number
of assignments.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from benchmarks.peers import peer
from benchmarks.server import DISK, Server
from katapult_async import Assignment, Client, SessionPool
from katapult_async.jobs import LineStatus, Manifest, Run
from katapult_async.models.responses import DiskResponse

IN_FLIGHT = 32
TOKEN = "benchmark"  # noqa: S105 - nobody checks it
#: Enough machines that none is busy when its turn comes again, with one request per machine at a
#: time.
#: The server's responses do not show the FQDN, so they contradict none of these names.
MACHINES = [f"web-{number:04d}.example.com" for number in range(1000)]
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/json"}

Send = Callable[[int], Awaitable[None]]
Open = Callable[[Server], AbstractAsyncContextManager[Send]]


@dataclass(frozen=True)
class Contender:
    """A client to measure.

    Attributes:
        needs: The client is left out if this module is not installed.
        uvloop: Run on uvloop's event loop instead of asyncio's.
    """

    name: str
    open: Open
    needs: str = "aiohttp"
    uvloop: bool = False


def assignments(n: int) -> Iterator[Assignment]:
    """Yield assignments for the disk of the server's responses.

    The SDK does not accept a response about another disk.
    """
    for number in range(n):
        yield Assignment(DISK, MACHINES[number % len(MACHINES)])


def bodies(n: int) -> Iterator[dict[str, dict[str, str]]]:
    for number in range(n):
        yield {"disk": {"id": DISK}, "virtual_machine": {"fqdn": MACHINES[number % len(MACHINES)]}}


async def in_flight(items: Iterator[Any], one: Callable[[Any], Awaitable[str]]) -> None:
    """As many workers as requests in flight, one iterator."""

    async def worker() -> None:
        for item in items:
            if not (await one(item)).startswith("disk_"):
                raise AssertionError("the answer was not understood")

    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))


# -- this SDK --------------------------------------------------------------------------------------


def sdk(
    *, bare: bool = False, echo: bool = False, fast_path: bool = True, max_per_second: float | None = None
) -> Open:
    """Return `assign_many`, end to end.

    Args:
        bare: The responses have no rate-limit headers.
        echo: The responses show the requested disk.
        fast_path: See docs/fast-path.md.
        max_per_second: Maximum requests per second.
    """

    @asynccontextmanager
    async def opened(server: Server) -> AsyncIterator[Send]:
        async with _client(
            _url(server, bare=bare, echo=echo), fast_path=fast_path, max_per_second=max_per_second
        ) as client:

            async def send(n: int) -> None:
                report = await client.disks.assign_many(assignments(n))
                if not report.ok or report.total != n or report.requests != n:
                    raise AssertionError(f"not all were assigned at the first try: {report}")

            yield send

    return opened


def durable(*, max_per_second: float | None = None) -> Open:
    """Return the same work as a durable run, with its journal on a real disk.

    `send(n)` makes the journal before the clock runs. Awaiting its result executes the run.
    """

    @asynccontextmanager
    async def opened(server: Server) -> AsyncIterator[Send]:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as directory:
            async with _client(server.echo_url, max_per_second=max_per_second) as client:
                numbers = itertools.count()

                def send(n: int) -> Awaitable[None]:
                    return execute(durable_run(Path(directory, f"{next(numbers)}.run"), n), n)

                async def execute(run: Run, n: int) -> None:
                    with run:
                        summary = await run.execute(client)
                    if summary.counts != {LineStatus.ASSIGNED: n} or summary.requests != n:
                        raise AssertionError(f"not all were assigned at the first try: {summary}")

                yield send

    return opened


def durable_run(journal: Path, n: int) -> Run:
    """A run of so many items, with its journal: to be executed, and closed."""
    items = ((f"disk_{number:016d}", MACHINES[number % len(MACHINES)]) for number in range(n))
    with Manifest.from_items(items) as manifest:
        return Run.create(journal, manifest)


def _url(server: Server, *, bare: bool, echo: bool) -> str:
    if bare:
        return server.bare_url
    return server.echo_url if echo else server.url


@asynccontextmanager
async def _client(
    url: str, *, fast_path: bool = True, max_per_second: float | None = None
) -> AsyncIterator[Client]:
    async with (
        SessionPool(fast_path=fast_path) as pool,
        Client(
            TOKEN, base_url=url, pool=pool, concurrency=IN_FLIGHT, max_per_second=max_per_second
        ) as client,
    ):
        yield client


# -- by hand ---------------------------------------------------------------------------------------


def _endpoint(server: Server) -> str:
    return f"{server.url}/disks/disk/assign"


@asynccontextmanager
async def aiohttp_by_hand(server: Server) -> AsyncIterator[Send]:
    """`session.post(url, json=…)`, `raise_for_status`, `.json()`."""
    url = _endpoint(server)
    async with aiohttp.ClientSession(headers=HEADERS) as session:

        async def one(body: dict[str, Any]) -> str:
            async with session.post(url, json=body) as response:
                response.raise_for_status()
                return str((await response.json())["disk"]["id"])

        yield lambda n: in_flight(bodies(n), one)


@asynccontextmanager
async def aiohttp_msgspec(server: Server) -> AsyncIterator[Send]:
    """The same, encoded and decoded by msgspec into the SDK's structs."""
    url = _endpoint(server)
    encode = msgspec.json.Encoder().encode
    decode = msgspec.json.Decoder(DiskResponse).decode
    headers = {**HEADERS, "Content-Type": "application/json"}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def one(body: dict[str, Any]) -> str:
            async with session.post(url, data=encode(body)) as response:
                response.raise_for_status()
                return decode(await response.read()).disk.id

        yield lambda n: in_flight(bodies(n), one)


def httpx_client(module: str = "httpx") -> Open:
    """Return httpx, or its fork httpx2, which has the same interface."""

    @asynccontextmanager
    async def opened(server: Server) -> AsyncIterator[Send]:
        url = _endpoint(server)
        async with peer(module).AsyncClient(headers=HEADERS) as client:

            async def one(body: dict[str, Any]) -> str:
                response = await client.post(url, json=body)
                response.raise_for_status()
                return str(response.json()["disk"]["id"])

            yield lambda n: in_flight(bodies(n), one)

    return opened


@asynccontextmanager
async def pyreqwest_client(server: Server) -> AsyncIterator[Send]:
    builder = peer("pyreqwest.client").ClientBuilder()
    url = _endpoint(server)
    async with builder.default_headers(HEADERS).error_for_status(enable=True).build() as client:

        async def one(body: dict[str, Any]) -> str:
            response = await client.post(url).body_json(body).build().send()
            return str((await response.json())["disk"]["id"])

        yield lambda n: in_flight(bodies(n), one)


@asynccontextmanager
async def niquests_session(server: Server) -> AsyncIterator[Send]:
    niquests = peer("niquests")
    url = _endpoint(server)
    async with niquests.AsyncSession(pool_connections=1, pool_maxsize=IN_FLIGHT) as session:
        session.headers.update(HEADERS)

        async def one(body: dict[str, Any]) -> str:
            response = await session.post(url, json=body)
            response.raise_for_status()
            return str(response.json()["disk"]["id"])

        yield lambda n: in_flight(bodies(n), one)


@asynccontextmanager
async def aiosonic_client(server: Server) -> AsyncIterator[Send]:
    aiosonic, connectors = peer("aiosonic"), peer("aiosonic.connectors")
    pool = peer("aiosonic.pools").PoolConfig(size=IN_FLIGHT, max_conn_requests=None)
    url = _endpoint(server)
    async with aiosonic.HTTPClient(connectors.TCPConnector(pool_configs={":default": pool})) as client:

        async def one(body: dict[str, Any]) -> str:
            response = await client.post(url, headers=HEADERS, json=body)
            if response.status_code != 200:
                raise AssertionError(f"status {response.status_code}")
            return str((await response.json())["disk"]["id"])

        yield lambda n: in_flight(bodies(n), one)
