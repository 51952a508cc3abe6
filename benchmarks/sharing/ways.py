"""Ways in which the processes of a program share a limit, each as its documentation shows it.

A way is an asynchronous context manager that yields a function, which waits for the caller's turn.
A request that is refused all the same is sent again after a random pause.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
from aiolimiter import AsyncLimiter

from benchmarks.peers import is_installed, peer

Turn = Callable[[], Awaitable[object]]


class Work(msgspec.Struct):
    """What one process has to do.

    Args:
        way: The name of the way.
        url: Of the emulator.
        disk: What is asked for.
        n: How often.
        limit: Requests in each window.
        period: Seconds of a window.
        redis: The URL of a Redis server.
        folder: A folder that the processes share.
        per_second: Requests per second of one process, evenly spaced. None for as many as possible.
    """

    way: str
    url: str
    disk: str
    n: int
    limit: int
    period: float
    redis: str
    folder: str
    per_second: float | None = None


class Done(msgspec.Struct):
    """The work of one process.

    Attributes:
        at: When each request was answered, in seconds of the machine's monotonic clock.
        failed: How many requests failed.
        began: When it began, in seconds of the same clock.
        cpu: CPU seconds from then on.
        alone: How often it has lost its budget.
    """

    at: list[float]
    failed: int
    began: float = 0.0
    cpu: float = 0.0
    alone: int = 0


@asynccontextmanager
async def _nothing(work: Work) -> AsyncIterator[Turn]:
    limiter = AsyncLimiter(work.limit, work.period)
    yield limiter.acquire


@asynccontextmanager
async def _pyrate_redis(work: Work) -> AsyncIterator[Turn]:
    pyrate, redis = peer("pyrate_limiter"), peer("redis.asyncio")
    client = redis.Redis.from_url(work.redis)
    rates = [pyrate.Rate(work.limit, int(1000 * work.period))]
    limiter = pyrate.Limiter(await pyrate.RedisBucket.init(rates, client, "benchmark"))
    yield lambda: limiter.try_acquire_async("benchmark")
    limiter.close()
    await client.aclose()


@asynccontextmanager
async def _pyrate_sqlite(work: Work) -> AsyncIterator[Turn]:
    pyrate = peer("pyrate_limiter")
    rates = [pyrate.Rate(work.limit, int(1000 * work.period))]
    bucket = pyrate.SQLiteBucket.init_from_file(
        rates, db_path=f"{work.folder}/pyrate.sqlite", use_file_lock=True
    )
    limiter = pyrate.Limiter(bucket)
    yield lambda: limiter.try_acquire_async("benchmark")
    limiter.close()


@asynccontextmanager
async def _limits_redis(work: Work) -> AsyncIterator[Turn]:
    limits = peer("limits")
    pool = peer("redis.asyncio").ConnectionPool.from_url(work.redis)
    storage = peer("limits.storage").storage_from_string(
        f"async+{work.redis}", implementation="redispy", connection_pool=pool
    )
    limiter = peer("limits.aio.strategies").MovingWindowRateLimiter(storage)
    item = limits.RateLimitItemPerSecond(work.limit, int(work.period))

    async def turn() -> None:
        while not await limiter.hit(item, "benchmark"):  # noqa: ASYNC110 - its documentation shows this
            await asyncio.sleep(0.05)

    yield turn
    await pool.aclose()


@asynccontextmanager
async def _redis_lock(work: Work) -> AsyncIterator[Turn]:
    redis = peer("redis.asyncio")
    client = redis.Redis.from_url(work.redis)

    async def turn() -> None:
        async with client.lock("benchmark"):
            await asyncio.sleep(work.period / work.limit)

    yield turn
    await client.aclose()


#: The name of each way, what must be installed for it, and the way.
OTHERS = {
    "AsyncLimiter in each process": (["aiolimiter"], _nothing),
    "pyrate-limiter, Redis": (["pyrate_limiter"], _pyrate_redis),
    "pyrate-limiter, SQLite": (["pyrate_limiter", "filelock"], _pyrate_sqlite),
    "limits, moving window in Redis": (["limits"], _limits_redis),
    "a lock in Redis around each request": (["redis"], _redis_lock),
}
#: Ways of the SDK.
NO_BUDGET, FILE, REDIS = (
    "katapult_async, no budget",
    "katapult_async, budget in a file",
    "katapult_async, budget in Redis",
)
SDK = (NO_BUDGET, FILE, REDIS)


def installed() -> list[str]:
    """The ways of others that can be measured here."""
    return [name for name, (modules, _) in OTHERS.items() if all(map(is_installed, modules))]
