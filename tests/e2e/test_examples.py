"""The programs of examples/ do what they say.

The web application needs packages of its own: `nox -s examples` has them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from katapult_async.budget import FileBudget, key_of
from katapult_async.testing import FaultKind, KatapultEmulator
from tests.redis_server import free_port

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PAGE = EXAMPLES.parent / "docs" / "how-to" / "fastapi.md"
TOKEN = "token"


@pytest.mark.parametrize("program", ["web_application.py", "background_assignments.py"])
def test_the_page_shows_the_program(program: str) -> None:
    _, code = (EXAMPLES / program).read_text().split('"""\n\nfrom __future__', 1)
    assert f"```python\nfrom __future__{code}```" in PAGE.read_text()


async def test_workers_of_a_web_application_share_the_rate_limit(tmp_path: Path) -> None:
    """Each worker is a process. Here each has a port of its own, so that both get requests."""
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    async with KatapultEmulator(disks=100, virtual_machines=100) as emulator:
        environment = environment_of(emulator, tmp_path)
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


async def test_a_background_run_continues_after_a_restart(tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    async with KatapultEmulator(disks=100, virtual_machines=100, latency=0.1) as emulator:
        environment = {**environment_of(emulator, tmp_path), "PYTHONPATH": str(EXAMPLES)}
        pairs = [*zip(emulator.disk_ids, emulator.virtual_machine_ids, strict=True)]
        pairs[7] = ("disk_doesNotExist", pairs[7][1])
        program = "background_assignments"
        async with worker(environment, program, tmp_path) as url, aiohttp.ClientSession(url) as session:
            async with session.post("/assignments", json=[["disk", "x"]]) as response:
                assert response.status == 422
            async with session.post("/assignments", json=pairs) as response:
                assert response.status == 202
                key = (await response.json())["run"]
            while emulator.ledger.applied_total["assign"] < 20:
                await asyncio.sleep(0.01)
        (tmp_path / "runs" / "damaged.run").write_bytes(b"")
        emulator.latency = 0.0
        async with worker(environment, program, tmp_path) as url, aiohttp.ClientSession(url) as session:
            answer: dict[str, Any] = {}
            while answer.get("state") in (None, "running", "interrupted"):
                await asyncio.sleep(0.01)
                async with session.get(f"/assignments/{key}") as response:
                    answer = await response.json()
        assert answer["state"] == "done_with_failures"
        assert ["disk_doesNotExist", "failed", "disk_not_found"] in answer["lines"]
        assert Counter(status for _, status, _ in answer["lines"]) == {"assigned": 99, "failed": 1}
        assert emulator.ledger.applied_total["assign"] == 99


async def test_the_test_of_the_page_passes(tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    pytest.importorskip("httpx")
    test = PAGE.read_text().rpartition("```python\n")[2].partition("```\n")[0]
    (tmp_path / "test_page.py").write_text(test)
    (tmp_path / "conftest.py").write_text((EXAMPLES / "own_tests" / "conftest.py").read_text())
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(EXAMPLES), str(ROOT)))}
    code, output = await run(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", str(tmp_path)),
        environment=environment,
    )
    assert code == 0, output
    assert "1 passed" in output


async def test_a_nightly_job_continues_and_tries_failed_lines_again(tmp_path: Path) -> None:
    plan = tmp_path / "plan.csv"
    async with KatapultEmulator(disks=30, virtual_machines=30) as emulator:
        environment = environment_of(emulator, tmp_path)
        busy, *machines = emulator.virtual_machine_ids
        write_plan(plan, emulator)
        emulator.world.disks[emulator.disk_ids[0]].virtual_machine = machines[0]
        code, output = await run("nightly_job.py", "acme", str(plan), environment=environment)
        assert (code, output) == (1, "{'assigned': 29, 'failed': 1}\n")
        emulator.world.disks[emulator.disk_ids[0]].virtual_machine = busy
        code, output = await run("nightly_job.py", "acme", str(plan), environment=environment)
    assert (code, output) == (0, "{'already_assigned': 30}\n")
    assert "<html" in Path(f"{plan}.html").read_text()


async def test_a_nightly_job_that_was_killed_continues(tmp_path: Path) -> None:
    plan = tmp_path / "plan.csv"
    async with KatapultEmulator(disks=100, virtual_machines=100, latency=0.1) as emulator:
        environment = environment_of(emulator, tmp_path)
        write_plan(plan, emulator)
        process = await start("nightly_job.py", "acme", str(plan), environment=environment)
        while emulator.ledger.applied_total["assign"] < 20:
            assert process.returncode is None
            await asyncio.sleep(0.01)
        process.kill()
        await process.communicate()
        emulator.latency = 0.0
        code, output = await run("nightly_job.py", "acme", str(plan), environment=environment)
        assert code == 0, output
        assert emulator.ledger.applied_total["assign"] == 100
    assert not Path(f"{plan}.2.run").exists()


async def test_each_organization_has_its_token_and_its_limit(tmp_path: Path) -> None:
    """A token that is refused ends only the run of its organization."""
    plans = tmp_path / "plans"
    plans.mkdir()
    async with KatapultEmulator(disks=90, virtual_machines=90, tokens=("one", "two"), limit=60) as emulator:
        for number, name in enumerate(("acme", "globex", "initech")):
            write_plan(plans / f"{name}.csv", emulator, start=30 * number, end=30 * (number + 1))
        environment = {
            **environment_of(emulator, tmp_path),
            "KATAPULT_TOKEN_ACME": "one",
            "KATAPULT_TOKEN_GLOBEX": "two",
            "KATAPULT_TOKEN_INITECH": "wrong",
        }
        code, output = await run("many_organizations.py", str(plans), environment=environment)
        assert emulator.ledger.applied_total["assign"] == 60
        assert emulator.ledger.refusals == 0
    acme, globex, initech = output.splitlines()
    assert code == 1
    assert "30 assigned" in acme
    assert "30 assigned" in globex
    assert "invalid_api_token" in initech


async def test_a_custom_action_reads_back_after_a_lost_response(tmp_path: Path) -> None:
    async with KatapultEmulator(disks=30) as emulator:
        lost = iter([FaultKind.RESET_AFTER, FaultKind.RESET_AFTER])
        emulator.faults.script(lambda request: next(lost, None) if request.method == "PATCH" else None)
        code, output = await run(
            "custom_action.py", "acme", "backup-", environment=environment_of(emulator, tmp_path)
        )
        assert code == 0, output
        assert {disk.name for disk in emulator.world.disks.values()} == {f"backup-{n}" for n in range(30)}
        assert sum(a.method == "PATCH" for a in emulator.ledger.arrivals) == 30


async def test_the_suite_with_the_emulator_passes(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTEST_ADDOPTS": "-p no:cacheprovider -p no:xdist -W error"}
    code, output = await run("-m", "pytest", "-q", "own_tests", environment=environment)
    assert code == 0, output
    assert "4 passed" in output


def environment_of(emulator: KatapultEmulator, folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "KATAPULT_API_KEY": TOKEN,
        "KATAPULT_BASE_URL": emulator.url,
        "XDG_CACHE_HOME": str(folder),
    }


def write_plan(file: Path, emulator: KatapultEmulator, start: int = 0, end: int | None = None) -> None:
    pairs = [*zip(emulator.disk_ids, emulator.virtual_machine_ids, strict=True)][start:end]
    rows = (f"{disk},{machine}\n" for disk, machine in pairs)
    file.write_text(f"disk,virtual_machine\n{''.join(rows)}")


async def start(*arguments: str, environment: dict[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=EXAMPLES, env=environment, stdout=PIPE, stderr=STDOUT
    )


async def run(*arguments: str, environment: dict[str, str]) -> tuple[int, str]:
    """Run a program; its exit code and its output."""
    process = await start(*arguments, environment=environment)
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


@asynccontextmanager
async def worker(
    environment: dict[str, str], program: str = "web_application", folder: Path = EXAMPLES
) -> AsyncIterator[str]:
    """Run an application in a process, and give its URL once it listens."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "uvicorn", f"{program}:app", "--port", str(port)]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=environment, stdout=DEVNULL, stderr=DEVNULL
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
