"""The package's pytest plugin brings `katapult_emulator`. Tests may have other emulators, too."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from katapult_async.testing import Answers, Counting, KatapultEmulator


@pytest.fixture
def anyio_backend() -> str:
    """The client needs asyncio."""
    return "asyncio"


@pytest.fixture
async def small_emulator() -> AsyncIterator[KatapultEmulator]:
    """Yield an emulator that permits 20 requests a second, and sends no rate limit headers."""
    counting = Counting(limit=20, period=1.0)
    async with KatapultEmulator(counting=counting, answers=Answers(headers=False)) as emulator:
        yield emulator
