"""`python -m benchmarks.tokens`: a thousand tokens in one pool of one process.

Each token may send 100 requests a minute and has one and a half windows of work. All start at once,
when a window of the server begins. So the work cannot end before the next window.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from benchmarks.command import run
from benchmarks.machine import ROOT
from benchmarks.memory.measured import Ticker
from benchmarks.result import Cell, Check, Result, Table, wish
from benchmarks.throughput.clients import assignments
from katapult_async import Client, SessionPool

from .server import Counts

#: Requests that one token may have in flight.
IN_FLIGHT = 4


def main() -> int:
    return run(
        "tokens",
        measure,
        about="Many tokens in one pool of one process, each with its own rate limit.",
        takes="about two minutes",
    )


def measure(result: Result) -> None:
    tokens, limit, period = (50, 10, 2.0) if result.quick else (1000, 100, 60.0)
    items = limit * 3 // 2
    with _served(limit, period) as port:
        cpu = time.process_time()
        elapsed, lag = asyncio.run(_work(port, tokens, items, period))
        cpu = time.process_time() - cpu
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/counts") as response:
            counts = msgspec.json.decode(response.read(), type=Counts)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    total = tokens * items
    columns = ["tokens", "requests", "429s", "seconds", "CPU µs/request", "loop blocked, ms", "MiB"]
    row: list[Cell] = [tokens, total, counts.refused, elapsed, 1e6 * cpu / total, 1000 * lag, peak]
    title = f"{limit} requests in {period:g} s for each token, {items} items each, in one process"
    result.tables.append(Table(title, columns, [row]))
    result.checks += [
        Check("tokens: each request was permitted", counts.refused == 0, f"{counts.refused} 429s"),
        Check(
            "tokens: each item was sent once", counts.permitted == total, f"{counts.permitted:,} of {total:,}"
        ),
        wish(
            "tokens: the work ends in the second window",
            holds=elapsed < 2 * period,
            found=f"after {elapsed:.1f} s, {elapsed / period:.2f} windows",
        ),
    ]


@contextmanager
def _served(limit: int, period: float) -> Iterator[int]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = int(sock.getsockname()[1])
    command = [sys.executable, "-m", "benchmarks.tokens.server", str(port), str(limit), str(period)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield port
    finally:
        process.terminate()
        process.communicate()


async def _work(port: int, tokens: int, items: int, period: float) -> tuple[float, float]:
    """Return the seconds of the whole work, and the longest time for which the loop was blocked."""
    async with SessionPool() as pool:
        clients = [
            Client(
                f"token-{number}",
                base_url=f"http://127.0.0.1:{port}/core/v1",
                pool=pool,
                concurrency=IN_FLIGHT,
                rate_window=period,
            )
            for number in range(tokens)
        ]
        await asyncio.sleep(period - time.time() % period)
        ticker = Ticker()
        began = time.perf_counter()

        async def one(client: Client) -> None:
            async with client:
                report = await client.disks.assign_many(assignments(items))
            if not report.ok or report.total != items:
                raise AssertionError(f"not all were assigned: {report}")

        await asyncio.gather(*(one(client) for client in clients))
        elapsed = time.perf_counter() - began
        ticker.stop()
        return elapsed, ticker.longest


if __name__ == "__main__":
    sys.exit(main())
