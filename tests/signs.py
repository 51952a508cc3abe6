"""Waiting for a sign instead of sleeping."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

#: Seconds after which a sign is given up.
PATIENCE = 30.0


async def until(sign: Callable[[], bool]) -> None:
    """Wait for a sign. Fails the test if it does not come."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + PATIENCE
    while not sign():
        assert loop.time() < give_up, "the sign has not come"
        await asyncio.sleep(0.005)
