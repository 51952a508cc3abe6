"""A rate-limited server in virtual time, and jobs that send requests to it through the real gate.

The server is a limiter of the emulator with a latency. Instead of HTTP there are only the two
headers of the limiter, the `Date` and the details of a 429. The client's gate and window are the
real ones.
"""

from __future__ import annotations

import asyncio
import math
import random
from dataclasses import dataclass, field

from katapult_async.ratelimit import Gate, Permit, Priority, Window, read_evidence
from katapult_async.testing.limiters import Limiter, Verdict


@dataclass
class ModelServer:
    """A server with one limiter.

    Args:
        limiter: Decides about each request.
        headers: Whether responses have the rate limit headers.
        headers_on_429: Whether 429s have them.
        latency: Lowest and highest seconds of each direction.
        offset: Server clock minus local clock, in seconds.
        seed: Of the latencies.
        details: total_permitted of a 429; "limit" for the true one.
    """

    limiter: Limiter
    headers: bool = True
    headers_on_429: bool = True
    latency: tuple[float, float] = (0.02, 0.08)
    offset: float = 0.0
    seed: int = 0
    details: object = "limit"
    arrivals: int = 0
    refusals: int = 0
    admitted: list[float] = field(default_factory=list[float])
    refused_at: list[float] = field(default_factory=list[float])

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def now(self) -> float:
        return asyncio.get_running_loop().time() + self.offset

    def count(self) -> bool:
        """Count a request of another client with the same token."""
        return self.limiter.hit(self.now()).allowed

    async def exchange(self) -> tuple[Verdict, dict[str, str]]:
        """Send one request and return the server's verdict and the headers of its response."""
        await asyncio.sleep(self.rng.uniform(*self.latency))
        now = self.now()
        verdict = self.limiter.hit(now)
        self.arrivals += 1
        if verdict.allowed:
            self.admitted.append(now)
        else:
            self.refusals += 1
            self.refused_at.append(now)
        headers: dict[str, str] = {"Date": _date(now)}
        if self.headers and (verdict.allowed or self.headers_on_429):
            headers["X-Ratelimit-Permitted"] = str(verdict.permitted)
            headers["X-Ratelimit-Remaining"] = str(verdict.remaining)
        await asyncio.sleep(self.rng.uniform(*self.latency))
        return verdict, headers

    async def request(self, gate: Gate, permit: Permit) -> bool:
        """Send one request. Return whether the server permitted it."""
        verdict, headers = await self.exchange()
        evidence = read_evidence(
            200 if verdict.allowed else 429,
            headers,
            total_permitted=verdict.permitted if self.details == "limit" else self.details,
        )
        gate.answered(permit, evidence)
        return verdict.allowed


def _date(now: float) -> str:
    import email.utils

    return email.utils.formatdate(math.floor(now), usegmt=True)


@dataclass
class Job:
    """The result of one client's job."""

    started: float = 0.0
    finished: float = 0.0
    done: int = 0
    refusals: int = 0

    @property
    def elapsed(self) -> float:
        return self.finished - self.started


def window_for(server: ModelServer, *, limit: int | None = None) -> Window:
    return Window.start(period=server.limiter.period, limit=limit)


async def run_job(
    server: ModelServer,
    n: int,
    *,
    concurrency: int = 32,
    limit: int | None = None,
    gate: Gate | None = None,
    deadline: float = math.inf,
) -> Job:
    """Send `n` requests with `concurrency` workers, and refused ones again."""
    gate = gate or Gate(window_for(server, limit=limit))
    loop = asyncio.get_running_loop()
    job = Job(started=loop.time())
    left = n

    async def work() -> None:
        nonlocal left
        while left > 0 and loop.time() < deadline:
            left -= 1
            priority = Priority.NORMAL
            while True:
                permit = await gate.take(priority)
                if await server.request(gate, permit):
                    break
                job.refusals += 1
                priority = Priority.AGAIN
            job.done += 1
            job.finished = loop.time()

    await asyncio.gather(*(work() for _ in range(min(concurrency, n))))
    return job
