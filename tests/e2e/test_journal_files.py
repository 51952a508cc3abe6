"""The files of a journal: locked, left behind, damaged, and read by others."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from katapult_async.jobs import (
    Journal,
    JournalDamaged,
    JournalError,
    JournalExists,
    JournalLocked,
    JournalWriteError,
    LineStatus,
    Run,
)
from katapult_async.testing import Counting, KatapultEmulator
from tests.durable_runs import (
    ASSIGN,
    CHILD,
    finish,
    killed,
    plan_of,
    run_for,
    run_of,
    start,
)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits of files")
async def test_a_full_disk_ends_with_a_clear_sentence_and_the_run_can_be_resumed(tmp_path: Path) -> None:
    path = tmp_path / "plan.run"
    async with KatapultEmulator(disks=1500, virtual_machines=300, limit=100_000) as emulator:
        wanted = plan_of(emulator)
        run_for(path, wanted).close()
        room = path.stat().st_size  # for SQLite's write-ahead log, too: it takes more than that in the end
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", f'ulimit -f {room // 1024}; exec "$@"', "-"),
            *(sys.executable, "-W", "error", "-m", "katapult_async.cli"),
            *("resume", str(path), "--base-url", emulator.url),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={
                # What measures the coverage has no room for its own file either.
                **{name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")},
                "PYTHONPATH": str(CHILD.parents[2]),
                "KATAPULT_API_KEY": "token",
            },
        )
        _, err = await process.communicate()
        assert process.returncode == 1
        assert b"Traceback" not in err
        assert b"cannot be written" in err
        assert f"katapult-async resume {path}".encode() in err
        sent = emulator.ledger.by_path["/disks/disk/assign"]
        assert 0 < sent < 1500
        summary, _ = await finish(path, emulator)
        assert summary.counts == {LineStatus.ASSIGNED: 1500}
        assert emulator.ledger.by_path["/disks/disk/assign"] == 1500
        assert emulator.ledger.applied_more_than_once() == []


async def test_a_folder_that_is_not_there_or_not_writable_is_said_before_anything_is_sent(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    folders = [tmp_path / "none", tmp_path / "file"]
    if hasattr(os, "geteuid") and os.geteuid() != 0:
        (tmp_path / "closed").mkdir(mode=0o500)
        folders.append(tmp_path / "closed")
    for folder in folders:
        with pytest.raises(JournalWriteError, match=str(folder)):
            run_for(folder / "plan.run", {"disk_1": "vm_1"})
    assert not list(tmp_path.rglob("*.lock"))


async def test_only_one_process_executes_a_run(tmp_path: Path) -> None:
    path = tmp_path / "plan.run"
    async with KatapultEmulator(
        disks=200, virtual_machines=20, counting=Counting(limit=20, period=1.0)
    ) as emulator:
        run_for(path, plan_of(emulator)).close()
        process = await start(path, emulator, 1.0)
        with pytest.raises(JournalLocked, match=f"process {process.pid} on "):
            Run.open(path)
        with pytest.raises(JournalError, match="stop it there"):
            Run.roll_back(path, tmp_path / "back.run")
        with Journal.read(path) as journal:
            assert f"process {process.pid} on" in str(journal.summary().locked_by)
        process.kill()
        await process.wait()
        # The operating system has taken the lock back.
        with Run.open(path) as run:
            assert run.summary().locked_by is None


async def test_what_is_left_of_a_run_is_not_taken_for_a_new_one_s(tmp_path: Path) -> None:
    path = tmp_path / "plan.run"
    async with KatapultEmulator(disks=60, virtual_machines=60, latency=0.05) as emulator:
        run_of(path, plan_of(emulator).items()).close()
        await killed(path, emulator, after=20)
        assert path.with_name("plan.run-wal").exists()
        path.unlink()
        with pytest.raises(JournalExists, match=r"plan\.run-wal belongs to the journal"):
            run_of(path, plan_of(emulator).items())


async def test_a_damaged_file_is_left_as_it_is_with_what_lies_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "plan.run"
    async with KatapultEmulator(disks=2000, virtual_machines=100, latency=0.05) as emulator:
        run_of(path, plan_of(emulator).items()).close()
        await killed(path, emulator, after=20)
        with path.open("r+b") as file:
            file.seek(path.stat().st_size // 2)
            file.write(b"\xff" * 4096)
        before = {
            name: name.read_bytes() for name in tmp_path.iterdir() if name.suffix in (".run", ".run-wal")
        }
        with pytest.raises(JournalDamaged, match="not changed"):
            Run.open(path)
        with pytest.raises(JournalDamaged):
            Run.roll_back(path, tmp_path / "back.run")
        assert {name: name.read_bytes() for name in before} == before


async def test_one_journal_has_one_lock_whatever_it_is_called(tmp_path: Path) -> None:
    path, link, twin = tmp_path / "plan.run", tmp_path / "link.run", tmp_path / "twin.run"
    with run_of(path, [("disk_1", "vm_1")]):
        link.symlink_to(path)
        with pytest.raises(JournalLocked):
            Run.open(link)
        with Journal.read(link) as journal:
            assert journal.summary().locked_by is not None
    os.link(path, twin)
    with pytest.raises(JournalError, match="second name"):
        Run.open(twin)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="becoming somebody else needs root"
)
async def test_somebody_else_may_look_and_sees_the_truth() -> None:
    """This also holds for a run that is executing or was killed.

    Its latest records are not in the file itself yet.
    """
    # Not in pytest's folder: another session of pytest takes away its permissions.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        await _look_as_nobody(folder / "plan.run")


async def _look_as_nobody(path: Path) -> None:
    async with KatapultEmulator(disks=300, virtual_machines=300, limit=120) as emulator:
        run_of(path, plan_of(emulator).items()).close()
        process = await start(path, emulator, 60.0)
        try:
            while emulator.ledger.by_path[ASSIGN] < 100:
                await asyncio.sleep(0.01)
            alive = await _seen_by_nobody(path)
        finally:
            process.kill()
            await process.wait()
        assert f"Running in process {process.pid} on " in alive
        dead = await _seen_by_nobody(path)
        path.with_name("plan.run-shm").unlink()
        without = await _seen_by_nobody(path)
        with Journal.read(path) as journal:
            done = journal.summary().counts[LineStatus.ASSIGNED]
    for seen in (dead, without):
        assert f"{done} of 300 lines done" in seen
        assert "katapult-async resume " in seen


async def _seen_by_nobody(path: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", AS_NOBODY, str(path)),
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(CHILD.parents[2]), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


#: Imports all modules first, also those that load on first use, because the user `nobody` may not
#: be able to read Python's folders.
AS_NOBODY = (
    "import os, sys, tempfile, shutil, random, importlib, pkgutil; from katapult_async import cli, jobs\n"
    "for package in (cli, jobs):\n"
    "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
    "        importlib.import_module(module.name)\n"
    "from katapult_async.cli.status import run_status\n"
    "os.setgid(65534); os.setuid(65534); sys.exit(run_status(sys.argv[1]))"
)
