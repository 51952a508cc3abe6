"""The programs of examples/ do what they say. Needs what they need: `nox -s examples`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from katapult_async.budget import FileBudget, key_of
from katapult_async.testing import KatapultEmulator
from tests.redis_server import free_port

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

EXAMPLES = Path(__file__).parents[2] / "examples"
PAGE = EXAMPLES.parent / "docs" / "how-to" / "share-a-budget.md"
TOKEN = "token"


def test_the_page_shows_the_program() -> None:
    _, code = (EXAMPLES / "web_application.py").read_text().split('"""\n\nfrom __future__', 1)
    assert f"```python\nfrom __future__{code}```" in PAGE.read_text()


async def test_workers_of_a_web_application_share_the_rate_limit(tmp_path: Path) -> None:
    """Each worker is a process. Here each has a port of its own, so that both get requests."""
    async with KatapultEmulator(disks=100, virtual_machines=100) as emulator:
        environment = {
            **os.environ,
            "KATAPULT_API_KEY": TOKEN,
            "KATAPULT_BASE_URL": emulator.url,
            "XDG_CACHE_HOME": str(tmp_path),
        }
        async with worker(environment) as one, worker(environment) as other:
            pairs = [*zip(emulator.disk_ids, emulator.virtual_machine_ids, strict=True)]
            codes = sum(
                await asyncio.gather(post_all(one, pairs[::2]), post_all(other, pairs[1::2])), Counter[int]()
            )
            store = FileBudget(tmp_path / "katapult-async").store(key_of(TOKEN, emulator.url))
            state, _ = await store.read()
            await store.aclose()
        assert codes == Counter({200: 100})
        assert emulator.ledger.applied_total["assign"] == 100
        assert emulator.ledger.refusals == 0
        assert state is not None
        assert len(state.members) == 2


@asynccontextmanager
async def worker(environment: dict[str, str]) -> AsyncIterator[str]:
    """Run the application in a process, and give its URL once it listens."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    program = [sys.executable, "-m", "uvicorn", "web_application:app", "--port", str(port)]
    process = await asyncio.create_subprocess_exec(
        *program, cwd=EXAMPLES, env=environment, stdout=DEVNULL, stderr=DEVNULL
    )
    try:
        async with aiohttp.ClientSession(url) as session:
            await until_it_listens(session)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


async def post_all(url: str, pairs: list[tuple[str, str]]) -> Counter[int]:
    async with aiohttp.ClientSession(url) as session:

        async def post(disk: str, machine: str) -> int:
            async with session.post(f"/machines/{machine}/disks/{disk}") as response:
                return response.status

        return Counter(await asyncio.gather(*(post(disk, machine) for disk, machine in pairs)))


async def until_it_listens(session: aiohttp.ClientSession) -> None:
    deadline = asyncio.get_running_loop().time() + 30
    while not await listens(session):
        assert asyncio.get_running_loop().time() < deadline, "the application does not start"
        await asyncio.sleep(0.05)


async def listens(session: aiohttp.ClientSession) -> bool:
    try:
        async with session.get("/openapi.json") as response:
            return response.status == 200
    except aiohttp.ClientConnectionError:
        return False
