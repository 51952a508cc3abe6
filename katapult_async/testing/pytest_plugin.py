"""The pytest fixture `katapult_emulator`: a started emulator with default settings.

For other settings, use `async with KatapultEmulator(...)`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from katapult_async.testing.emulator import KatapultEmulator


@pytest.fixture
async def katapult_emulator() -> AsyncIterator[KatapultEmulator]:
    """Yield a new, started `KatapultEmulator()`. Needs anyio's pytest plugin with asyncio."""
    # Imported here, because pytest loads this plugin in every project that has it installed.
    from katapult_async.testing.emulator import KatapultEmulator

    async with KatapultEmulator() as emulator:
        yield emulator
