"""The fixture `katapult_emulator` for pytest: a started emulator with its defaults.

Tiny on purpose: tests that need other settings write `async with KatapultEmulator(...)` themselves.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from katapult_async.testing.emulator import KatapultEmulator


@pytest.fixture
async def katapult_emulator() -> AsyncIterator[KatapultEmulator]:
    """A fresh `KatapultEmulator()`, serving on loopback. Needs the pytest plugin of anyio, on asyncio."""
    # Imported here so that merely having the plugin installed costs nothing.
    from katapult_async.testing.emulator import KatapultEmulator

    async with KatapultEmulator() as emulator:
        yield emulator
