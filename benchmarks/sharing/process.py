"""One of the processes that share a limit: does its part of the work, and says how it went."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import sys
import time

import aiohttp
import msgspec

from katapult_async import Client, KatapultError
from katapult_async.budget import Budget, FileBudget, RedisBudget

from .ways import FILE, OTHERS, REDIS, SDK, Done, Turn, Work

CONCURRENCY = 32


async def _workers(n: int, one: Turn, per_second: float = math.inf) -> Done:
    at: list[float] = []
    began, cpu = time.monotonic(), time.process_time()
    failed = 0
    left = n

    async def work() -> None:
        nonlocal left, failed
        while left > 0:
            due = began + (n - left) / per_second
            left -= 1
            if (pause := due - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            if await one():
                at.append(time.monotonic())
            else:
                failed += 1

    await asyncio.gather(*(work() for _ in range(CONCURRENCY)))
    return Done(at, failed, began, time.process_time() - cpu)


def _begin() -> None:
    """Wait until all processes are ready."""
    print("ready", flush=True)
    sys.stdin.readline()


class _Losses(logging.Handler):
    """Counts the warnings that the budget is unavailable."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += "continues without it" in record.msg


async def _sdk(work: Work) -> Done:
    budget: Budget | None = None
    if work.way == FILE:
        budget = FileBudget(work.folder)
    elif work.way == REDIS:
        budget = RedisBudget(work.redis)
    losses = _Losses()
    logging.getLogger("katapult_async.budget").addHandler(losses)
    async with Client(
        "token",
        base_url=work.url,
        rate_window=work.period,
        budget=budget,
    ) as client:

        async def one() -> bool:
            try:
                await client.disks.get(work.disk)
            except KatapultError:
                return False
            return True

        _begin()
        done = await _workers(work.n, one, work.per_second or math.inf)
    done.alone = losses.count
    return done


async def _other(work: Work) -> Done:
    url = f"{work.url}/disks/disk?disk[id]={work.disk}"
    rng = random.Random()
    async with (
        OTHERS[work.way][1](work) as turn,
        aiohttp.ClientSession(headers={"Authorization": "Bearer token"}) as session,
    ):

        async def one() -> bool:
            while True:
                await turn()
                async with session.get(url) as response:
                    await response.read()
                    if response.status != 429:
                        return response.status == 200
                await asyncio.sleep(rng.uniform(0, work.period / 4))

        _begin()
        return await _workers(work.n, one)


if __name__ == "__main__":
    given = msgspec.json.decode(sys.stdin.readline(), type=Work)
    done = asyncio.run(_sdk(given) if given.way in SDK else _other(given))
    print(msgspec.json.encode(done).decode())
