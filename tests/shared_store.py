"""A store in memory for several processes in virtual time.

It loses races, delays, fails and forgets.
"""

from __future__ import annotations

import asyncio
import math
import random
from dataclasses import dataclass, field

from katapult_async.budget import Look, Looked, State, StoreUnavailable, exchange
from katapult_async.budget.store import read_state, write_state


@dataclass
class Shared:
    """What all processes can reach.

    Attributes:
        delay: Seconds for each way.
        offset: The store's clock minus the event loop's, in seconds.
        outages: From when until when the store cannot be reached.
        forgets_at: When the store loses everything.
        share_lost: Share of the transactions that conflict with another one.
    """

    delay: tuple[float, float] = (0.0, 0.0)
    offset: float = 0.0
    outages: tuple[tuple[float, float], ...] = ()
    forgets_at: tuple[float, ...] = ()
    share_lost: float = 0.0
    seed: int = 0
    data: bytes | None = None
    version: int = 0
    transactions: int = 0
    conflicts: int = 0
    longest: int = 0
    waiters: list[asyncio.Event] = field(default_factory=list[asyncio.Event])

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.forgotten = 0

    def now(self) -> float:
        return asyncio.get_running_loop().time() + self.offset

    def check(self) -> None:
        now = asyncio.get_running_loop().time()
        if any(begin <= now < end for begin, end in self.outages):
            raise StoreUnavailable("it is gone")
        if self.forgotten < len(self.forgets_at) and now >= self.forgets_at[self.forgotten]:
            self.forgotten += 1
            self.data = None
            self.version += 1

    def signal(self) -> None:
        for event in self.waiters:
            event.set()


def _state_of(data: bytes | None) -> State | None:
    return read_state(data, age=0.0, period=60.0) if data is not None else None


class MemoryStore:
    """One process's way to it."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def _travel(self) -> None:
        if self._shared.delay[1]:
            await asyncio.sleep(self._shared.rng.uniform(*self._shared.delay))
        self._shared.check()

    async def exchange(self, look: Look) -> Looked:
        shared = self._shared
        while True:
            await self._travel()
            version, data = shared.version, shared.data
            looked = exchange(_state_of(data), shared.now(), look)
            await self._travel()
            if version != shared.version or shared.rng.random() < shared.share_lost:
                shared.conflicts += 1
                await asyncio.sleep(shared.rng.uniform(0.001, 0.003))
                continue
            shared.data = write_state(looked.state)
            shared.longest = max(shared.longest, len(shared.data))
            shared.version += 1
            shared.transactions += 1
            if looked.seen.others:
                shared.signal()
            return looked

    async def read(self) -> tuple[State | None, float]:
        return _state_of(self._shared.data), self._shared.now()

    async def changed(self) -> None:
        event = asyncio.Event()
        self._shared.waiters.append(event)
        try:
            await event.wait()
        finally:
            self._shared.waiters.remove(event)

    async def aclose(self) -> None:
        return


def jain(shares: list[float]) -> float:
    """How even shares are: 1 if all are equal, 1/n if one has everything."""
    return (
        sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares)) if any(shares) else math.nan
    )
