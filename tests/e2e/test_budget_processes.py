"""The promises of a shared budget, with real processes, sockets and files and a real Redis."""

from __future__ import annotations

import asyncio
import math
import os
import random
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from katapult_async.budget import FileBudget, RedisBudget, State, Store, key_of
from katapult_async.budget.serve import MARGIN
from katapult_async.testing import Counting, KatapultEmulator
from tests.e2e.budget_child import Done, Work
from tests.redis_server import redis_server
from tests.shared_store import jain

pytestmark = pytest.mark.slow

CHILD = Path(__file__).with_name("budget_child.py")
ROOT = Path(__file__).parents[2]
PERIOD, TIMEOUT = 2.0, 2.0
LIMIT, CONCURRENCY = 64, 16
#: The long form: KATAPULT_KILLS=50
KILLS = int(os.environ.get("KATAPULT_KILLS", "4"))


@dataclass
class Child:
    """A process that shares the budget."""

    process: Process
    done: Done | None = None
    log: list[str] = field(default_factory=list[str])

    def go(self) -> Child:
        """Let it begin to send."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"go\n")
        return self

    async def wait(self) -> Done:
        out, err = await self.process.communicate()
        self.log = err.decode().splitlines()
        assert self.process.returncode == 0, err.decode()
        self.done = msgspec.json.decode(out, type=Done)
        return self.done

    async def kill(self) -> None:
        self.process.kill()
        await self.process.communicate()


@dataclass
class Town:
    """An emulator, a budget, and processes that share it."""

    emulator: KatapultEmulator
    budget: str
    children: list[Child] = field(default_factory=list[Child])
    given: int = 0

    async def start(self, disks: int, *, shift: float = 0.0) -> Child:
        """A process that is ready to send."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "error", str(CHILD), stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd=ROOT,
            env={"PYTHONPATH": str(ROOT), "PATH": ""},
        )  # fmt: skip
        child = Child(process)
        self.children.append(child)
        first, self.given = self.given, self.given + disks
        work = Work(
            url=self.emulator.url,
            budget=self.budget,
            period=PERIOD,
            disks=self.emulator.disk_ids[first : self.given],
            machines=self.emulator.virtual_machine_ids,
            timeout=TIMEOUT,
            concurrency=CONCURRENCY,
            shift=shift,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(msgspec.json.encode(work) + b"\n")
        await process.stdin.drain()
        if await process.stdout.readline() != b"ready\n":
            pytest.fail((await process.communicate())[1].decode())
        return child

    def store(self) -> Store:
        """A look at the budget from outside."""
        scheme, _, folder = self.budget.partition(":")
        budget = FileBudget(folder) if scheme == "file" else RedisBudget(self.budget)
        return budget.store(key_of("token", self.emulator.url))

    async def state(self) -> State | None:
        store = self.store()
        try:
            return (await store.read())[0]
        finally:
            await store.aclose()

    def permitted_by_window(self, begin: float, end: float) -> list[int]:
        """Requests that were permitted in each whole window of the server's clock.

        Args:
            begin: The first moment that counts, seconds of the machine's monotonic clock.
            end: The last one.
        """
        wall = time.time() - time.monotonic()
        counts = Counter(int(a.time // PERIOD) for a in self.emulator.ledger.arrivals if not a.refused)
        first, last = math.ceil((begin + wall) / PERIOD), math.floor((end + wall) / PERIOD)
        return [counts[number] for number in range(first, last)]


@pytest.fixture(params=["file", "redis"])
def budget(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "file":
        yield f"file:{tmp_path / 'budget'}"
        return
    with redis_server(tmp_path) as server:
        yield server.url


@asynccontextmanager
async def town(budget: str, disks: int) -> AsyncIterator[Town]:
    async with KatapultEmulator(
        disks=disks, virtual_machines=64, counting=Counting(limit=LIMIT, period=PERIOD), latency=(0.002, 0.01)
    ) as emulator:
        it = Town(emulator, budget)
        try:
            yield it
        finally:
            for child in it.children:
                if child.process.returncode is None:
                    await child.kill()


async def middle_of_a_window() -> None:
    await asyncio.sleep((0.5 * PERIOD - time.time()) % PERIOD)


async def test_processes_share_whole_windows_evenly_without_a_429_whatever_their_clocks_say(
    budget: str,
) -> None:
    """S1, S5, and S6: a process that comes later knows the window."""
    async with town(budget, 280) as it:
        shifts = [0.0, 5 * 3600.0, -86400.0, 0.4]
        await asyncio.gather(*(it.start(65, shift=shift) for shift in shifts))
        await middle_of_a_window()
        done = await asyncio.gather(*(child.go().wait() for child in it.children))
        assert [child.counts for child in done] == [{"done": 65}] * 4
        assert [child.log for child in it.children] == [[]] * 4
        # While all were at work. The other windows have begun before, or end when the work does.
        begin, end = max(min(child.at) for child in done), min(max(child.at) for child in done)
        windows = it.permitted_by_window(begin, end)
        assert len(windows) >= 2
        assert min(windows) >= 0.98 * LIMIT, windows
        shares = [float(sum(begin <= at <= end for at in child.at)) for child in done]
        assert jain(shares) >= 0.95, shares
        await (await it.start(20)).go().wait()
        assert it.emulator.ledger.refusals == 0
        state = await it.state()
        assert state is not None
        assert state.leases == {}
        assert state.window.in_flight == 0


async def test_a_process_that_is_killed_costs_the_others_no_429_and_no_window(tmp_path: Path) -> None:
    """S3."""
    with redis_server(tmp_path) as server:
        await asyncio.gather(kill_some(f"file:{tmp_path / 'budget'}"), kill_some(server.url))


async def kill_some(budget: str) -> None:
    """Two processes stay, and two are killed again and again."""
    rng = random.Random(7)
    each = 30 * KILLS
    async with town(budget, 2 * each + 150 * KILLS) as it:
        await asyncio.gather(*(it.start(each) for _ in range(2)))
        staying = [child.go() for child in it.children]

        async def kill(times: int) -> None:
            for _ in range(times):
                victim = (await it.start(150)).go()
                await asyncio.sleep(rng.uniform(0.0, 0.4))
                await victim.kill()

        await asyncio.gather(kill(KILLS // 2), kill(KILLS - KILLS // 2))
        done = await asyncio.gather(*(child.wait() for child in staying))
        assert [child.counts for child in done] == [{"done": each}] * 2
        assert [child.log for child in staying] == [[]] * 2
        assert it.emulator.ledger.refusals == 0
        # A permit of the dead is lost until its deadline, at most.
        times = sorted(at for child in done for at in child.at)
        assert max(later - at for at, later in pairwise(times)) <= TIMEOUT + MARGIN + PERIOD
        # Nothing else is lost. All requests, also those of the killed processes, need so many
        # windows. The permits that a killed process took and did not use count as sent.
        windows = (it.emulator.ledger.total + KILLS * CONCURRENCY) / LIMIT
        assert times[-1] - times[0] <= (windows + 3) * PERIOD, (times[-1] - times[0], windows)
