"""`python -m benchmarks.memory.measured`: measure one bulk run, and print its cost as JSON.

The program is a process of its own for each run. Its arguments are the client (see RUNS), the
server's base URL, the number of assignments, and the number of runs of FEW items that follow.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from benchmarks.spread import median, percentile

if TYPE_CHECKING:
    from katapult_async import BulkReport

#: Seconds between two looks at the loop: what blocks it for less is not seen in full.
TICK = 0.002
_MAX_SAMPLES = 200_000
#: Items of a run that a large one is compared with.
FEW = 10_000


class Cost(msgspec.Struct):
    """The cost of one run: sizes in KiB, times in seconds.

    Attributes:
        before: Resident memory before the first request.
        lag_*: How late a timer was.
        cpu_of_few: CPU time of FEW items in the same process afterwards, the median of some runs.
            It is 0 where it is not measured. Two processes of the same program may differ by a
            fifth per item.
    """

    n: int
    peak: int
    before: int
    elapsed: float
    cpu: float
    lag_median: float
    lag_99: float
    lag_longest: float
    cpu_of_few: float = 0.0


class Ticker:
    """Asks for a call every TICK seconds and notes how late each one comes."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._late: list[float] = []
        self.longest = 0.0
        self._again()

    def _again(self) -> None:
        self._due = self._loop.time() + TICK
        self._handle = self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        late = self._loop.time() - self._due
        self.longest = max(self.longest, late)
        if len(self._late) < _MAX_SAMPLES:
            self._late.append(late)
        self._again()

    def stop(self) -> list[float]:
        self._handle.cancel()
        return self._late or [0.0]


def peak_memory() -> int:
    """KiB, of this process: VmHWM where there is a /proc (the other number may be a parent's)."""
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _status(field: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{field}:")), 0)


@contextmanager
def _ticking(costs: Cost) -> Iterator[None]:
    ticker = Ticker()
    costs.before = _status("VmRSS")
    cpu, began = time.process_time(), time.perf_counter()
    try:
        yield
    finally:
        costs.elapsed, costs.cpu = time.perf_counter() - began, time.process_time() - cpu
        late = ticker.stop()
        costs.lag_median, costs.lag_99 = percentile(late, 50), percentile(late, 99)
        costs.lag_longest = ticker.longest


async def sdk(url: str, n: int, costs: Cost, runs_of_few: int) -> None:
    """`assign_many` over a generator."""
    report = await _assign_many(url, n, costs, runs_of_few=runs_of_few)
    if not report.ok or report.total != n:
        raise AssertionError(f"not all were assigned: {report}")


async def refused(url: str, n: int, costs: Cost, _runs_of_few: int) -> None:
    """The same where the API finds no disk: the report keeps every failure."""
    report = await _assign_many(url, n, costs)
    if len(report.failures) != n or report.requests != n:
        raise AssertionError(f"not all were refused: {report}")


async def _assign_many(url: str, n: int, costs: Cost, *, runs_of_few: int = 0) -> BulkReport:
    from benchmarks.throughput.clients import assignments
    from katapult_async import Client

    async with Client("benchmark", base_url=url) as client:
        await client.disks.assign_many(assignments(200))
        with _ticking(costs):
            report = await client.disks.assign_many(assignments(n))
        few: list[float] = []
        for _ in range(runs_of_few):
            of_few = msgspec.structs.replace(costs)
            with _ticking(of_few):
                await client.disks.assign_many(assignments(FEW))
            few.append(of_few.cpu)
        costs.cpu_of_few = median(few) if few else 0.0
        return report


async def durable(url: str, n: int, costs: Cost, _runs_of_few: int) -> None:
    """A durable run. Making its journal is in the peak, too, and not in the times."""
    from benchmarks.throughput.clients import durable_run
    from katapult_async import Client
    from katapult_async.jobs import LineStatus

    with tempfile.TemporaryDirectory(prefix="benchmark-") as directory:
        async with Client("benchmark", base_url=url) as client:
            with durable_run(Path(directory, "warm-up.run"), 200) as run:
                await run.execute(client)
            with durable_run(Path(directory, "measured.run"), n) as run, _ticking(costs):
                summary = await run.execute(client)
    if summary.counts != {LineStatus.ASSIGNED: n}:
        raise AssertionError(f"not all were assigned: {summary}")


async def gather(url: str, n: int, costs: Cost, _runs_of_few: int) -> None:
    """The quick solution: aiohttp, a semaphore, and one `asyncio.gather` over everything."""
    import aiohttp

    from benchmarks.throughput.clients import HEADERS, bodies

    flight = asyncio.Semaphore(32)
    async with aiohttp.ClientSession(headers=HEADERS) as session:

        async def one(body: dict[str, dict[str, str]]) -> object:
            async with flight, session.post(f"{url}/disks/disk/assign", json=body) as response:
                response.raise_for_status()
                return await response.json()

        await asyncio.gather(*(one(body) for body in bodies(200)))
        with _ticking(costs):
            await asyncio.gather(*(one(body) for body in bodies(n)))


RUNS = {"sdk": sdk, "durable": durable, "refused": refused, "gather": gather}


def main() -> None:
    who, url, count, runs_of_few = sys.argv[1:]
    costs = Cost(int(count), 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0)
    asyncio.run(RUNS[who](url, costs.n, costs, int(runs_of_few)))
    costs.peak = peak_memory()
    sys.stdout.buffer.write(msgspec.json.encode(costs))


if __name__ == "__main__":
    main()
