"""`katapult-async run`: any action as a durable run, killed and resumed.

The ledger agrees with every outcome. The long form:
KATAPULT_LINES=5000 python -m pytest tests/e2e/test_cli_actions.py -k killed --timeout 3000
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from katapult_async import Client
from katapult_async.jobs import JournalDamaged, LineStatus, Manifest, Run, RunKind, preview
from katapult_async.testing import Faults, KatapultEmulator
from tests.command_line import PROGRAM, TOKEN, emulator_with, environment, run

LINES = int(os.environ.get("KATAPULT_LINES", "60"))
ENV = {"KATAPULT_API_KEY": TOKEN}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sizes(emulator: KatapultEmulator) -> str:
    return "disk,size_in_gb\n" + "".join(f"{disk},77\n" for disk in emulator.disk_ids)


def machines(emulator: KatapultEmulator) -> str:
    return "virtual_machine\n" + "".join(f"{machine}\n" for machine in emulator.virtual_machine_ids)


def new_disks(emulator: KatapultEmulator) -> str:
    center = next(iter(emulator.world.disks.values())).data_center.id
    rows = (f"acme,new-{number},{center},10\n" for number in range(LINES))
    return "organization,name,data_center,size_in_gb\n" + "".join(rows)


async def report(path: str) -> dict[str, object]:
    code, out, err = await run("report", path, "--format", "json")
    assert code == 0, err
    found: dict[str, object] = json.loads(out)
    return found


async def test_a_run_of_an_action_is_asked_about_executed_and_summed_up() -> None:
    async with emulator_with(disks=20) as emulator:
        Path("sizes.csv").write_text(sizes(emulator))
        address = ("--base-url", emulator.url)
        code, out, err = await run("run", "resize", "sizes.csv", *address)
        assert (code, out) == (2, "")
        assert "--yes" in err
        assert emulator.ledger.total == 0
        code, out, err = await run("run", "resize", "sizes.csv", *address, "--yes")
        assert code == 0, err
        assert out.startswith("Resized 20 of 20 lines in ")
        assert all(disk.size_in_gb == 77 for disk in emulator.world.disks.values())
        code, out, _ = await run("status", "sizes.csv.run")
        assert code == 0
        assert out.startswith("Resize of sizes.csv\nAll 20 lines are done.\nFinished ")
        code, _, err = await run("rollback", "sizes.csv.run", *address, "--yes")
        assert code == 2
        assert "sizes.csv.run is a run of resize, which cannot be rolled back" in err


async def test_a_dry_run_says_what_it_costs_and_sends_nothing() -> None:
    Path("m.csv").write_text("virtual_machine\nvm_1\nvm_2\n")
    code, out, err = await run("run", "start", "m.csv", "--dry-run", "--total-permitted", "1000")
    assert (code, err) == (0, "Nothing was sent.\n")
    assert out.startswith(
        "To start 2 lines takes at least 2 requests.\nThe last one is sent in about 0 s, at "
    )
    code, out, _ = await run("run", "start", "m.csv", "--dry-run", "--json")
    assert json.loads(out) == {
        "schema": "katapult-async/cost/1",
        "action": "start",
        "lines": 2,
        "requests": 2,
        "seconds": None,
    }


@pytest.mark.parametrize(
    ("action", "text", "reason"),
    [
        (
            "explode",
            "virtual_machine\nvm_1\n",
            "there is no action 'explode': choose one of unassign, attach",
        ),
        (
            "start",
            "disk\ndisk_1\n",
            "the first line must name the column virtual_machine (note is optional). Found 'disk'",
        ),
        (
            "resize",
            "disk,size_in_gb\ndisk_1,big\n",
            "m.csv:2: size_in_gb: expected int, got str, found 'big'",
        ),
        ("resize", "disk,size_in_gb\ndisk_1,0\n", "m.csv:2: a size is a whole number of gigabytes"),
        ("resize", "disk,size_in_gb\ndisk_1,\n", "m.csv:2: size_in_gb is missing"),
        ("resize", "disk,size_in_gb\nvm_1,5\n", "m.csv:2: vm_1"),
        (
            "resize",
            "disk,size_in_gb\ndisk_1,5\ndisk_1,6\n",
            "m.csv:3: disk_1 is listed twice, first on line 2",
        ),
        ("start", "virtual_machine\nvm_1\nvm_1\n", "m.csv:3: vm_1 is listed twice, first on line 2"),
        ("update", "disk,name\ndisk_1,\n", "m.csv:2: nothing is given to change about disk_1"),
        ("update", '{"disk":"disk_1","colour":"red"}\n', "m.csv:1: unknown field 'colour'"),
    ],
)
async def test_what_is_wrong_is_said_before_anything_is_sent(action: str, text: str, reason: str) -> None:
    Path("m.csv").write_text(text)
    code, out, err = await run("run", action, "m.csv", "--yes", "--base-url", "http://127.0.0.1:9")
    assert (code, out) == (2, "")
    assert reason in err


async def test_lines_that_are_not_done_are_a_manifest_for_the_next_run() -> None:
    async with emulator_with(disks=4) as emulator:
        text = sizes(emulator) + "disk_missing,5\n"
        Path("sizes.csv").write_text(text)
        address = ("--base-url", emulator.url)
        code, out, _ = await run("run", "resize", "sizes.csv", *address, "--yes")
        assert code == 1
        assert "line 6: disk_missing: failed: disk_not_found" in out
        code, out, _ = await run("report", "sizes.csv.run", "--format", "manifest")
        assert code == 0
        assert json.loads(out) == {"disk": "disk_missing", "size_in_gb": 5}
        Path("rest.jsonl").write_text(out)
        code, _, _ = await run("run", "resize", "rest.jsonl", *address, "--dry-run")
        assert code == 0


async def test_a_manifest_of_another_action_is_another_run() -> None:
    async with emulator_with(disks=1) as emulator:
        Path("m.csv").write_text(machines(emulator))
        address = ("--base-url", emulator.url)
        code, _, _ = await run("run", "stop", "m.csv", "--canary", "1", *address, "--yes")
        assert code == 0
        code, _, err = await run("run", "start", "m.csv", "--run", "m.csv.run", *address, "--yes")
        assert code == 2
        assert "m.csv.run is a finished run" in err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("action", "manifest"),
    [("resize", sizes), ("start", machines), ("stop", machines), ("create", new_disks)],
)
async def test_a_killed_run_is_resumed_and_the_ledger_agrees(
    action: str, manifest: Callable[[KatapultEmulator], str]
) -> None:
    """Nothing is done twice. What is done is done at the server; what is unknown was sent once."""
    async with emulator_with(
        disks=LINES,
        virtual_machines=LINES,
        limit=100_000,
        latency=(0.01, 0.05),
        task_duration=0.2,
        faults=Faults.everywhere(0.1, seed=LINES),
    ) as emulator:
        if action == "start":
            for machine in emulator.world.virtual_machines.values():
                machine.state = "stopped"
        Path("m.csv").write_text(manifest(emulator))
        words = ("run", action, "m.csv", "--yes", "--timeout", "2", "--base-url", emulator.url)
        process = await asyncio.create_subprocess_exec(
            *PROGRAM,
            *words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment(**ENV),
        )
        while emulator.ledger.applied_total[action] < LINES // 3:
            assert process.returncode is None
            await anyio.sleep(0.005)
        process.kill()
        await process.wait()
        _, out, _ = await run("status", "m.csv.run", env={"KATAPULT_BASE_URL": emulator.url})
        resume = shlex.split(out.split("Resume: ", 1)[1].split("\n", 1)[0])[1:]
        code, _, err = await run(*resume, "--timeout", "2", env={**ENV, "KATAPULT_BASE_URL": emulator.url})
        assert code in (0, 1), err
        found = await report("m.csv.run")
        check(emulator, action, found["lines"])  # type: ignore[arg-type]


def check(emulator: KatapultEmulator, action: str, lines: list[dict[str, object]]) -> None:
    """Compare each outcome with what the server has done."""
    assert len(lines) == LINES
    assert emulator.ledger.applied_more_than_once(action) == []
    by_name: dict[str, list[str]] = {}
    for disk in emulator.world.disks.values():
        by_name.setdefault(disk.name, []).append(disk.id)
    unknown = 0
    for line in lines:
        subject = str(line["disk"] or line["virtual_machine"])
        done = [subject] if emulator.ledger.applied_count(subject, action) else []
        if action == "create":
            done = by_name.get(subject, [])
            assert len(done) <= 1, subject
        if line["status"] in ("done", "already_done"):
            assert done, line
        elif line["status"] == "failed":
            assert not done, line
        else:
            assert line["status"] == "unknown", line
            unknown += 1
        if action == "create" and line["status"] == "done":
            assert line["detail"] == done[0]
    # Requests that a fault has hidden, and those that were in flight at the kill.
    assert unknown <= LINES * 0.15 + 32


async def test_an_action_is_carried_out_durably_from_python() -> None:
    async with emulator_with(disks=5) as emulator:
        Path("sizes.csv").write_text(sizes(emulator))
        with Run.open_or_create("sizes.csv", action="resize", base_url=emulator.url) as durable:
            assert (durable.info.kind, durable.info.action) == (RunKind.ACTION, "resize")
            async with Client(TOKEN, base_url=emulator.url) as client:
                summary = await durable.execute(client)
        assert summary.counts == {LineStatus.DONE: 5}
        items = [(disk, 88) for disk in emulator.disk_ids]
        with (
            Manifest.from_items(items, action="resize") as manifest,
            Run.create("b.run", manifest) as durable,
        ):
            async with Client(TOKEN, base_url=emulator.url) as client:
                summary = await durable.execute(client)
        assert summary.counts == {LineStatus.DONE: 5}
    with pytest.raises(ValueError, match="there is no action 'explode'"):
        Run.open_or_create("sizes.csv", action="explode")


def test_items_from_python_are_checked_like_lines() -> None:
    with Manifest.from_items([("disk_1", 5), ("disk_2",), 7], action="resize", name="items") as manifest:
        check = manifest.check()
    assert [(complaint.line, complaint.reason) for complaint in check.complaints] == [
        (2, "expected Resize(disk, size_in_gb, resize_method, virtual_machine), found 1 field"),
        (3, "7 is not an item: give Resize(disk, size_in_gb, resize_method, virtual_machine)"),
    ]


def test_a_changed_item_is_damage() -> None:
    with Manifest.from_items([("disk_1", 5)], action="resize") as manifest:
        Run.create("a.run", manifest).close()
    with contextlib.closing(sqlite3.connect("a.run")) as db, db:
        db.execute("UPDATE line SET item = replace(item, '5', '6')")
    with pytest.raises(JournalDamaged, match="what it says was changed"):
        Run.open("a.run")


async def test_a_run_of_an_action_has_no_preflight_and_attaches_nothing() -> None:
    with Manifest.from_items([("disk_1", 5)], action="resize") as manifest:
        for options in ({"preflight": True}, {"thorough": True}, {"attach": True}):
            with pytest.raises(ValueError, match="a run of resize has no preflight and attaches nothing"):
                Run.create("a.run", manifest, **options)  # type: ignore[arg-type]
        assert not Path("a.run").exists()
        async with emulator_with() as emulator, Client(TOKEN, base_url=emulator.url) as client:
            with pytest.raises(ValueError, match="a run of resize has no preflight"):
                await preview(client, manifest, "acme")
            with (
                Run.create("a.run", manifest) as durable,
                pytest.raises(ValueError, match="a run of resize has no preflight"),
            ):
                await durable.preflight(client, "acme")
            assert emulator.ledger.total == 0


async def test_a_wrong_action_lists_all_also_without_a_manifest() -> None:
    code, out, err = await run("run", "list")
    assert (code, out) == (2, "")
    assert err.startswith("katapult-async: there is no action 'list': choose one of unassign, attach, ")


async def test_a_stopped_run_keeps_the_tasks_that_it_waited_for() -> None:
    async with emulator_with(disks=3, task_duration=60.0) as emulator:
        Path("sizes.csv").write_text(sizes(emulator))
        with Run.open_or_create("sizes.csv", action="resize") as durable:
            async with Client(TOKEN, base_url=emulator.url) as client, anyio.create_task_group() as group:

                async def stop_later() -> None:
                    while not emulator.ledger.by_path["/tasks/task"]:
                        await anyio.sleep(0.005)
                    durable.stop()

                group.start_soon(stop_later)
                await durable.execute(client)
            assert durable.summary().counts == {LineStatus.UNKNOWN: 3}
            assert all((line.task or "").startswith("task_") for line in durable.journal.lines())
        # The tasks have ended meanwhile.
        emulator.world.advance(emulator.now() + 120)
        with Run.open("sizes.csv.run") as durable:
            async with Client(TOKEN, base_url=emulator.url) as client:
                await durable.execute(client)
            assert durable.summary().counts == {LineStatus.DONE: 3}
        assert emulator.ledger.applied_more_than_once("resize") == []
