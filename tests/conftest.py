"""What every test needs, and the checks that every test must pass without asking for them."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The examples are the same each time, so that a failure comes from the change at hand.
# HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile(
    "same", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "explore", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


_numbers = itertools.count(1)


@pytest.fixture
def anyio_backend() -> str:
    """Aiohttp runs on asyncio only."""
    return "asyncio"


@pytest.fixture(autouse=True, scope="session")
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Nothing reads the settings of the user, and nothing writes into the user's cache."""
    folder = tmp_path_factory.mktemp("user")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.delenv("XDG_RUNTIME_DIR", raising=False)
        yield folder


@pytest.fixture(autouse=True)
def own_budget(own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has budgets of its own: another test may have had an emulator at the same port."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(own_folders / f"cache-{next(_numbers)}"))


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """No test may leave a thread behind.

    Tasks and sockets that are left behind cause warnings, and warnings are errors.
    """
    before = set(threading.enumerate())
    yield
    gc.collect(0)
    left = [thread for thread in threading.enumerate() if thread not in before and not thread.daemon]
    # asyncio's default executor belongs to a loop that the runner closes after the fixture.
    assert not [thread for thread in left if not thread.name.startswith("asyncio_")]


@pytest.fixture
def no_tasks_left() -> Iterator[None]:
    """For asynchronous tests: the number of tasks is the same afterwards."""
    yield
    try:
        tasks = asyncio.all_tasks()
    except RuntimeError:
        return
    assert len(tasks) <= 1
