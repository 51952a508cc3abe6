"""What sharing costs: CPU of processes that send 1,000 requests a second.

They have a budget or none. The server answers at once and permits a million requests in each
window, so only the budget differs.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import tempfile
from dataclasses import dataclass, field

from benchmarks.result import Check, Table, wish
from benchmarks.server import DISK, Server
from benchmarks.spread import spread

from .cells import finish, start
from .redis_server import calls, cpu_seconds
from .ways import FILE, NO_BUDGET, REDIS, Done, Work

#: Requests per second of each process.
PER_SECOND = 1000
#: CPU that a budget may cost each process, as a part of one core.
MOST = 0.10
#: The server's own limit (benchmarks/server.py), and its period in seconds. The period is shorter
#: than a round, so that the shared state reaches its full size.
LIMIT, PERIOD = 1_000_000, 3.0
#: A process may take so many times the time that its requests need.
MOST_TIMES = 10


@dataclass
class Cost:
    """One way, by so many processes at the same time. Each list has an entry for each round.

    Attributes:
        cpu: CPU of one process, as a part of a core.
        rate: Requests per second of one process.
        redis: CPU of the Redis server, as a part of a core.
        commands: Calls of Redis for each request.
        failed: Requests that failed.
    """

    way: str
    processes: int
    cpu: list[float] = field(default_factory=list[float])
    rate: list[float] = field(default_factory=list[float])
    redis: list[float] = field(default_factory=list[float])
    commands: list[float] = field(default_factory=list[float])
    failed: int = 0

    async def play(self, server: Server, redis: str, seconds: float) -> None:
        """Measure one more round."""
        with tempfile.TemporaryDirectory() as folder:
            n = int(PER_SECOND * seconds)
            work = Work(self.way, server.url, DISK, n, LIMIT, PERIOD, redis, folder, PER_SECOND)
            processes = await asyncio.gather(*(start(work) for _ in range(self.processes)))
            before, used = calls(redis), cpu_seconds(redis)
            done = await asyncio.gather(*(finish(process, n, MOST_TIMES * seconds) for process in processes))
            took = max(map(_elapsed, done))
            self.failed += sum(one.failed for one in done)
            self.cpu.append(statistics.mean(one.cpu / _elapsed(one) for one in done))
            self.rate.append(statistics.mean(len(one.at) / _elapsed(one) for one in done))
            self.redis.append((cpu_seconds(redis) - used) / took)
            self.commands.append((calls(redis) - before) / (n * self.processes))


def _elapsed(done: Done) -> float:
    return done.at[-1] - done.began if done.at else float("inf")


def measure_cost(server: Server, redis: str, *, rounds: int, seconds: float) -> list[Cost]:
    """Measure each way in each round, in random order."""
    ways = [NO_BUDGET, FILE, *([REDIS] if redis else [])]
    costs = [Cost(way, processes) for processes in (1, 2) for way in ways]
    rng = random.Random(1)
    for number in range(rounds):
        print(f"cost: round {number + 1}/{rounds}", file=sys.stderr, flush=True)
        for cost in rng.sample(costs, len(costs)):
            asyncio.run(cost.play(server, redis, seconds))
    return costs


def _more(costs: list[Cost], cost: Cost) -> list[float]:
    """CPU that is more than without a budget in the same round, as a part of a core."""
    without = next(one for one in costs if one.way == NO_BUDGET and one.processes == cost.processes)
    return [ours - bare for ours, bare in zip(cost.cpu, without.cpu, strict=True)]


def cost_table(costs: list[Cost], *, rounds: int, seconds: float) -> Table:
    """A row for each way."""
    return Table(
        f"CPU of each process at {PER_SECOND:,} requests a second, {rounds} rounds of {seconds:g} s",
        [
            "way",
            "processes",
            "requests/s",
            "CPU, % of a core",
            "spread",
            "more than without a budget",
            "CPU of Redis, % of a core",
            "calls of Redis a request",
        ],
        [
            [
                cost.way,
                cost.processes,
                statistics.median(cost.rate),
                100 * statistics.median(cost.cpu),
                spread(cost.cpu),
                100 * statistics.median(_more(costs, cost)) if cost.way != NO_BUDGET else None,
                100 * statistics.median(cost.redis) if cost.way == REDIS else None,
                statistics.median(cost.commands) if cost.way == REDIS else None,
            ]
            for cost in costs
        ],
    )


def check_cost(costs: list[Cost]) -> list[Check]:
    """No request fails, and a budget costs each process at most MOST of a core."""
    failed = sum(cost.failed for cost in costs)
    checks = [Check("cost of a budget: nothing failed", not failed, f"{failed} failed")]
    for cost in costs:
        if cost.way == NO_BUDGET:
            continue
        more = statistics.median(_more(costs, cost))
        checks.append(
            wish(
                f"{cost.way}, {cost.processes} at {PER_SECOND:,} requests a second:"
                f" at most {MOST:.0%} of a core more for each than without",
                holds=more <= MOST,
                found=f"{more:+.1%}",
            )
        )
    return checks
