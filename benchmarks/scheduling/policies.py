"""What clients do about a rate limit: this SDK's real gate, and the policies of its peers.

Each peer runs its own code, if it has any. A policy gets one user's work: `n` items of one request
each, to send to a model server. At most 32 requests are in flight, except for Terraform, whose
default is 10. A peer without a policy for 429s fails when it gets one.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiolimiter import AsyncLimiter

from benchmarks.peers import peer
from katapult_async.ratelimit import Gate, Priority
from tests.model_server import ModelServer, window_for

CONCURRENCY = 32
PERIOD = 60.0
#: Seconds before the four retries of the official Terraform provider (its HTTP client's defaults).
TERRAFORM_WAITS = (1.0, 2.0, 4.0, 8.0)
TERRAFORM_PARALLELISM = 10
#: API calls of that provider for one assignment. It reads the machine and the disk before and
#: after, and polls tasks.
TERRAFORM_CALLS = 12


class Refused(Exception):
    """A 429, for peers that want an exception."""


@dataclass
class Work:
    """One user's work. limit: what a policy that has to be told is told. rng: seeded."""

    server: ModelServer
    n: int
    limit: int
    rng: random.Random
    started: float = 0.0
    finished: float = 0.0
    done: int = 0
    failed: int = 0

    def ended(self, *, done: bool) -> None:
        """One item is through."""
        self.done += done
        self.failed += not done
        self.finished = asyncio.get_running_loop().time()

    async def send(self) -> bool:
        """One request; False if it was refused."""
        verdict, _ = await self.server.exchange()
        return verdict.allowed


@dataclass(frozen=True)
class Policy:
    """One way to deal with a rate limit.

    Attributes:
        told: The policy must know the limit before it starts.
        headers: The policy reads the headers, so it runs with and without them.
    """

    name: str
    run: Callable[[Work], Awaitable[None]]
    told: bool = False
    headers: bool = False
    ours: bool = False
    calls: int = 1


async def _in_workers(work: Work, count: int, one: Callable[[], Awaitable[bool]]) -> None:
    left = work.n

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            work.ended(done=await one())

    await asyncio.gather(*(worker() for _ in range(min(count, work.n))))


# -- this SDK --------------------------------------------------------------------------------------


async def _through_gate(work: Work, gate: Gate) -> None:
    async def one() -> bool:
        permit = await gate.take(Priority.NORMAL)
        while not await work.server.request(gate, permit):
            permit = await gate.take(Priority.AGAIN)
        return True

    await _in_workers(work, CONCURRENCY, one)


async def sdk(work: Work) -> None:
    """Nothing is known beforehand."""
    await _through_gate(work, Gate(window_for(work.server)))


async def sdk_told(work: Work) -> None:
    """`Client(total_permitted=…)`."""
    await _through_gate(work, Gate(window_for(work.server, limit=work.limit)))


# -- pacing by a limit that one has to be told -----------------------------------------------------


async def plain_async_limiter(work: Work) -> None:
    """`async with AsyncLimiter(L, 60)` around each request."""
    limiter = AsyncLimiter(work.limit, PERIOD)

    async def one() -> bool:
        async with limiter:
            return await work.send()

    await _in_workers(work, CONCURRENCY, one)


async def async_limiter_and_back_off(work: Work) -> None:
    """The same inside of a back-off that never gives up: what a careful author writes."""
    limiter = AsyncLimiter(work.limit, PERIOD)

    async def limited() -> bool:
        async with limiter:
            return await work.send()

    await _in_workers(work, CONCURRENCY, _with_back_off(limited, attempts=None))


async def paced_by_aiometer(work: Work) -> None:
    """`aiometer.run_on_each(…, max_at_once=32, max_per_second=L / 60)`."""

    async def one(_: int) -> None:
        work.ended(done=await work.send())

    await peer("aiometer").run_on_each(
        one, range(work.n), max_at_once=CONCURRENCY, max_per_second=work.limit / PERIOD
    )


# -- back-off --------------------------------------------------------------------------------------


def _with_back_off(
    send: Callable[[], Awaitable[bool]], *, attempts: int | None
) -> Callable[[], Awaitable[bool]]:
    """Tenacity's full jitter up to a minute, `wait_random_exponential(multiplier=1, max=60)`."""
    tenacity = peer("tenacity")

    async def once() -> None:
        if not await send():
            raise Refused

    async def one() -> bool:
        retrying = tenacity.AsyncRetrying(
            wait=tenacity.wait_random_exponential(multiplier=1, max=60),
            stop=tenacity.stop_never if attempts is None else tenacity.stop_after_attempt(attempts),
            retry=tenacity.retry_if_exception_type(Refused),
        )
        try:
            await retrying(once)
        except tenacity.RetryError:
            return False
        return True

    return one


async def back_off(work: Work) -> None:
    """Six attempts, as in much-copied examples."""
    await _in_workers(work, CONCURRENCY, _with_back_off(work.send, attempts=6))


async def patient_back_off(work: Work) -> None:
    """The same, and never giving up."""
    await _in_workers(work, CONCURRENCY, _with_back_off(work.send, attempts=None))


# -- the official Terraform provider ---------------------------------------------------------------


async def terraform_call(work: Work) -> bool:
    """One API call of the provider: four more tries, then an error."""
    for wait in TERRAFORM_WAITS:
        if await work.send():
            return True
        await asyncio.sleep(wait)
    return await work.send()


async def terraform(work: Work) -> None:
    """As if one assignment were one call: only the policy is compared."""
    await _in_workers(work, TERRAFORM_PARALLELISM, lambda: terraform_call(work))


async def terraform_assignments(work: Work) -> None:
    """About twelve calls, one after the other; the first that fails fails the assignment."""

    async def one() -> bool:
        for _ in range(TERRAFORM_CALLS):
            if not await terraform_call(work):
                return False
        return True

    await _in_workers(work, TERRAFORM_PARALLELISM, one)
