"""`python -m benchmarks.layers.measured`: run one layer, and print its CPU time as JSON.

The program is a process of its own for each layer, so that valgrind can count its instructions. Its
arguments are the layer (see LAYERS), the server's base URL and the number of requests.
"""

from __future__ import annotations

import asyncio
import email.utils
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec
from yarl import URL

from benchmarks.bodies import assign_response
from benchmarks.server import RATE_HEADERS, Server
from benchmarks.throughput import clients
from benchmarks.throughput.floor import floor
from katapult_async import RetryPolicy
from katapult_async.ratelimit import GateByType, Window
from katapult_async.resources.bulk_runs import BulkRuns
from katapult_async.resources.disks import Disks
from katapult_async.transport import Reply, Session

WARM_UP = 200
Send = Callable[[int], Awaitable[None]]
Open = Callable[[Server], AbstractAsyncContextManager[Send]]


class Ready:
    """A wire with a response for each request, one turn of the event loop later."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._body = assign_response(fqdn=None)
        self._second = 0
        self._date = ""

    async def exchange(self, method: str, url: URL, body: bytes | None) -> Reply:
        del method, url, body
        response: asyncio.Future[None] = self._loop.create_future()
        self._loop.call_soon(response.set_result, None)
        await response
        if (second := int(time.time())) != self._second:
            self._second, self._date = second, email.utils.formatdate(second, usegmt=True)
        # A response has a mapping of its own, and a few fields are read.
        return Reply(200, {**RATE_HEADERS, "X-Request-Id": "r", "Date": self._date}, self._body)

    async def close(self) -> None: ...


@asynccontextmanager
async def loop_only(_: Server) -> AsyncIterator[Send]:
    """The workers of `Ready`, without an SDK."""
    wire = Ready()

    async def one(_: object) -> str:
        await wire.exchange("POST", _URL, None)
        return "disk_"

    async def send(n: int) -> None:
        await clients.in_flight(iter(range(n)), one)

    yield send


_URL = URL("http://127.0.0.1/core/v1/disks/disk/assign")


@asynccontextmanager
async def above_the_wire(_: Server) -> AsyncIterator[Send]:
    """`assign_many`, with all responses ready."""
    session = Session(Ready(), GateByType(Window.start()), base_url="http://127.0.0.1", retry=RetryPolicy())
    disks = Disks(session, BulkRuns(session, concurrency=clients.IN_FLIGHT, per_virtual_machine=1))

    async def send(n: int) -> None:
        report = await disks.assign_many(clients.assignments(n))
        if not report.ok or report.total != n:
            raise AssertionError(f"not all were assigned: {report}")

    yield send
    await session.close()


LAYERS: dict[str, Open] = {
    "loop": loop_only,
    "above": above_the_wire,
    "floor": floor,
    "sdk": clients.sdk(),
    "echoed": clients.sdk(echo=True),
    "durable": clients.durable(),
    "by_hand": clients.aiohttp_by_hand,
}


async def measured(layer: str, server: Server, n: int) -> float:
    """Return the CPU time of n requests, in seconds."""
    async with LAYERS[layer](server) as send:
        await send(WARM_UP)
        work = send(n)
        began = time.process_time()
        await work
        return time.process_time() - began


def main() -> None:
    layer, port, count = sys.argv[1:]
    seconds = asyncio.run(measured(layer, Server("", int(port), 0), int(count)))
    sys.stdout.buffer.write(msgspec.json.encode(seconds))


if __name__ == "__main__":
    main()
