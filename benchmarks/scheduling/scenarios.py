"""One run in virtual time: a policy against one of the emulator's limiters with random latency.

The event loop's clock jumps instead of waiting, so an hour of rate windows takes a second, and the
same seed gives the same run. The numbers are the server's view: the requests that it accepted and
refused, and when.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.peers import is_installed
from katapult_async.testing.limiters import Limiter, make_limiter
from tests import virtual_time
from tests.model_server import ModelServer

from .botocore_adaptive import adaptive_policy
from .optimum import Changes, omniscient
from .policies import (
    CONCURRENCY,
    PERIOD,
    TERRAFORM_CALLS,
    Policy,
    Work,
    async_limiter_and_back_off,
    back_off,
    paced_by_aiometer,
    patient_back_off,
    plain_async_limiter,
    sdk,
    sdk_told,
    terraform,
    terraform_assignments,
)

KINDS = ("aligned", "fixed", "sliding", "bucket", "burst")
#: A minute boundary of the server's clock, long after zero.
MIDNIGHT = 6_000_000.0
#: Seconds into a minute at which runs begin. They leave time to send, and they avoid the moments
#: at which a client cannot tell some kinds of servers apart (see docs/explanation/rate-limits.md).
STARTS = (7.3, 15.2, 23.1, 34.9, 43.7)
#: Seconds of each direction: round trips of 40 to 160 ms.
LATENCY = (0.02, 0.08)

SDK = Policy("katapult_async", sdk, headers=True, ours=True)
SDK_TOLD = Policy("katapult_async, limit told", sdk_told, told=True, headers=True, ours=True)
PEERS = {
    "aiolimiter": [Policy("AsyncLimiter(L, 60)", plain_async_limiter, told=True)],
    "tenacity": [
        Policy("AsyncLimiter + back-off", async_limiter_and_back_off, told=True),
        Policy("back-off, 6 attempts", back_off),
        Policy("back-off, for ever", patient_back_off),
    ],
    "aiometer": [Policy("aiometer, L/60 a second", paced_by_aiometer, told=True)],
    "botocore": [
        adaptive_policy("botocore adaptive, 3 attempts", 3),
        adaptive_policy("botocore adaptive, 10 attempts", 10),
    ],
    "": [Policy("Terraform provider, per request", terraform)],
}
TERRAFORM_WHOLE = Policy(
    "Terraform provider, whole assignments", terraform_assignments, calls=TERRAFORM_CALLS
)


def installed_peers() -> list[Policy]:
    """The policies whose package is there."""
    missing = missing_peers()
    return [policy for package, policies in PEERS.items() if package not in missing for policy in policies]


def missing_peers() -> list[str]:
    """The packages that are not installed."""
    return [package for package in PEERS if package and not is_installed(package)]


@dataclass(frozen=True)
class Scenario:
    """The conditions of one run.

    Attributes:
        kind: The kind of the server's limiter.
        limit: The server's limit.
        start: Seconds into a minute.
        users: Processes that share the token and the work.
    """

    kind: str
    limit: int
    n: int
    headers: bool = False
    start: float = 7.3
    seed: int = 0
    users: int = 1
    changes: Changes = ()
    latency: tuple[float, float] = LATENCY

    def limiter(self) -> Limiter:
        burst = max(5, self.limit // 20) if self.kind == "burst" else None
        return make_limiter(self.kind, self.limit, PERIOD, burst=burst)

    def optimum(self) -> list[float]:
        return omniscient(self.limiter(), self.n, start=MIDNIGHT + self.start, changes=self.changes)

    def time_to_send(self) -> float:
        """The longest time for one window's work without any limit: bursts and round trips."""
        return (min(self.limit, self.n) / CONCURRENCY + 6) * 2 * self.latency[1]


class Played(NamedTuple):
    """The result of one run.

    `used` and `fairness` cover the time when all users were at work, after four windows in which
    the users could find each other.

    Attributes:
        start: The scenario's start.
        elapsed: Seconds until the last item ended.
        optimum: The same for the omniscient client.
        accepted: When the server accepted requests, in seconds after the start.
        refused: When the server refused requests, in seconds after the start.
        by_user: The accepted requests of each user.
        used: Share of the limit.
        fairness: Jain's index.
    """

    start: float
    elapsed: float
    optimum: float
    requests: int
    refusals: int
    done: int
    failed: int
    accepted: list[float]
    refused: list[float]
    by_user: list[list[float]]
    used: float | None = None
    fairness: float | None = None


def work_of(scenario: Scenario, limiter: Limiter, number: int, n: int) -> Work:
    """The work of one of several users."""
    seed = scenario.seed + number
    server = ModelServer(limiter, headers=scenario.headers, latency=scenario.latency, seed=seed)
    return Work(server, n, scenario.limit, random.Random(seed))


def play(policy: Policy, scenario: Scenario) -> Played:
    """One run."""
    limiter = scenario.limiter()
    share = scenario.n // scenario.users
    begin = MIDNIGHT + scenario.start
    works = [
        work_of(scenario, limiter, number, share if number else scenario.n - share * (scenario.users - 1))
        for number in range(scenario.users)
    ]

    async def use(number: int) -> None:
        await asyncio.sleep(number * 2.7)
        works[number].started = asyncio.get_running_loop().time()
        await policy.run(works[number])

    async def change() -> None:
        for at, limit in scenario.changes:
            await asyncio.sleep(begin + at - asyncio.get_running_loop().time())
            limiter.limit = limit

    async def everything() -> None:
        changing = asyncio.create_task(change())
        await asyncio.gather(*(use(number) for number in range(scenario.users)))
        changing.cancel()
        await asyncio.gather(changing, return_exceptions=True)

    # Tenacity draws from the module's own generator.
    random.seed(scenario.seed)
    virtual_time.run(everything(), start=begin)
    used, fairness = shares(works, scenario)
    by_user = [[at - begin for at in work.server.admitted] for work in works]
    return Played(
        start=scenario.start,
        elapsed=max(work.finished for work in works) - begin,
        optimum=scenario.optimum()[-1],
        requests=sum(work.server.arrivals for work in works),
        refusals=sum(work.server.refusals for work in works),
        done=sum(work.done for work in works),
        failed=sum(work.failed for work in works),
        accepted=sorted(itertools.chain(*by_user)),
        refused=sorted(at - begin for work in works for at in work.server.refused_at),
        by_user=by_user,
        used=used,
        fairness=fairness,
    )


def shares(
    works: Sequence[Work], scenario: Scenario, *, warm_up: int = 5
) -> tuple[float | None, float | None]:
    """Return the used share of the limit, and the fairness (see Played).

    Both are None for one user, and if there were too few windows.

    Args:
        works: The work of each user.
        scenario: The conditions of the run.
        warm_up: Minutes of the server's clock that do not count.
    """
    first = MIDNIGHT + PERIOD * warm_up
    windows = int((min(work.finished for work in works) - first) // PERIOD)
    if len(works) == 1 or windows < 2:
        return None, None
    end = first + windows * PERIOD
    counts = [sum(first <= at < end for at in work.server.admitted) for work in works]
    squares = sum(count**2 for count in counts)
    fairness = sum(counts) ** 2 / (len(counts) * squares) if squares else None
    return sum(counts) / (scenario.limit * windows), fairness
