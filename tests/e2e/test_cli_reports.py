"""`status`, `runs` and `report` as processes: their exit codes and their output.

The output is for people and for programs.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sqlite3
import sys
from pathlib import Path

import anyio
import msgspec
import pytest

from katapult_async.jobs import Journal, LineStatus, Manifest, Run
from katapult_async.jobs.report.documents import LineRow, RunRow, RunsDocument, StatusDocument
from tests.command_line import PROGRAM, TOKEN, emulator_with, environment, on_terminal, plan, run


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Journals go to the current folder."""
    monkeypatch.chdir(tmp_path)


def a_run(name: str = "a.run", lines: int = 1, *, confirmed: bool = True, preflight: bool = False) -> None:
    """A run that has not been executed."""
    with Manifest.from_items((f"disk_{n}", "vm_1") for n in range(lines)) as manifest:
        Run.create(name, manifest, confirmed=confirmed, preflight=preflight, organization="acme").close()


# -- status ----------------------------------------------------------------------------------------


async def test_status_tells_who_executes_a_run_and_what_to_do_with_one_that_nobody_does() -> None:
    with Manifest.from_items([("disk_1", "vm_1")]) as manifest, Run.create("a.run", manifest):
        code, out, _ = await run("status", "a.run")
        assert code == 0
        assert f"Prepared by process {os.getpid()} on " in out
        assert "Watch it: katapult-async status a.run --watch" in out
    code, out, _ = await run("status", "a.run")
    assert code == 0
    assert out.startswith("Assignment of <items>\n0 of 1 line done, 1 waiting.\nNothing was sent yet.\n")
    assert "Resume: katapult-async resume a.run\n" in out


async def test_a_run_that_nobody_confirmed_says_that_resuming_looks_and_asks() -> None:
    a_run(confirmed=False, preflight=True)
    code, out, _ = await run("status", "a.run")
    assert code == 0
    assert "Never confirmed, and nothing was sent. Resuming checks what is there, then asks." in out
    code, out, _ = await run("status", "a.run", "--json")
    assert code == 0
    status = msgspec.json.decode(out, type=StatusDocument)
    assert status.run.state.value == "not_confirmed"
    assert status.run.organization == "acme"
    assert status.next == ["katapult-async resume a.run"]


@pytest.mark.parametrize("watch", [[], ["--watch"]])
async def test_a_journal_that_is_none_is_refused_before_anything_is_printed(
    tmp_path: Path, watch: list[str]
) -> None:
    (tmp_path / "a.run").write_bytes(b"something else")
    for command in (["status", "a.run", *watch], ["report", "a.run"], ["report", "a.run", "-o", "r.csv"]):
        code, out, err = await run(*command)
        assert (code, out) == (2, "")
        assert err.startswith("katapult-async: a.run ")
        assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.run"]


async def test_an_unfinished_rollback_is_not_done() -> None:
    async with emulator_with(disks=300, virtual_machines=300, latency=0.02) as emulator:
        Path("plan.csv").write_text(plan(emulator))
        common = ("--base-url", emulator.url)
        code, _, _ = await run("assign", "plan.csv", "--no-preflight", "--yes", *common)
        assert code == 0
        process = await asyncio.create_subprocess_exec(
            *(*PROGRAM, "rollback", "plan.csv.run", "--yes", "--concurrency", "4", *common),
            env=environment(KATAPULT_API_KEY=TOKEN),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        with anyio.fail_after(30):
            while emulator.ledger.applied_total["unassign"] < 40:
                await anyio.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130
        done = emulator.ledger.applied_total["unassign"]
        assert done < 300
        code, out, _ = await run("status", "plan.csv.run")
        assert code == 0
        assert f"\nRollback unfinished: {done} of 300.\n" in out
        assert f"katapult-async resume plan.csv.run.rollback --base-url {emulator.url}\n" in out
        code, out, _ = await run("runs")
        assert code == 0
        heading, parent, rollback = out.splitlines()
        assert heading.split() == [
            "journal",
            "state",
            "done",
            "failed",
            "waiting",
            "last",
            "active",
        ]
        assert re.match(r"plan.csv.run           rollback unfinished  300 of 300 ", parent)
        assert re.match(rf"plan.csv.run.rollback  interrupted .* {300 - done}  2", rollback)


# -- status --watch --------------------------------------------------------------------------------


async def watched_run(run_file: str, emulator_url: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(
            *PROGRAM,
            "assign",
            "plan.csv",
            "--no-preflight",
            "--yes",
            "--run",
            run_file,
            "--base-url",
            emulator_url,
        ),
        env=environment(KATAPULT_API_KEY=TOKEN),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )


@pytest.mark.parametrize("as_json", [False, True])
async def test_watching_ends_with_the_run_and_with_its_code(as_json: bool) -> None:
    async with emulator_with(disks=200, virtual_machines=200, latency=0.8) as emulator:
        Path("plan.csv").write_text(plan(emulator) + "disk_none,vm_none\n")
        execution = await watched_run("a.run", emulator.url)
        with anyio.fail_after(30):
            while not emulator.ledger.total:
                await anyio.sleep(0.01)
        code, out, err = await run("status", "a.run", "--watch", *(["--json"] if as_json else []))
        assert await execution.wait() == code == 1
        assert err == ""
    if as_json:
        states = [msgspec.json.decode(line, type=StatusDocument).run.state.value for line in out.splitlines()]
        assert states[0] == "running"
        assert states[-1] == "done_with_failures"
    else:
        assert f"Running in process {execution.pid} on " in out
        assert " requests/s in the last minute." in out.splitlines()[0]
        assert "200 of 201 lines done, 1 failed.\nFinished 2" in out


async def test_watching_on_a_terminal_shows_it_live_and_leaves_only_the_end() -> None:
    async with emulator_with(disks=100, virtual_machines=100, latency=3.0) as emulator:
        Path("plan.csv").write_text(plan(emulator))
        execution = await watched_run("a.run", emulator.url)
        with anyio.fail_after(30):
            while not emulator.ledger.total:
                await anyio.sleep(0.01)
        async with on_terminal("status", "a.run", "--watch") as terminal:
            await terminal.sees("Ctrl-C ends the watching only.")
            emulator.latency = 0.0
            await terminal.sees("All 100 lines are done.")
            assert await terminal.ends() == 0
        assert await execution.wait() == 0


async def test_watching_a_run_whose_process_is_killed_says_so_and_exits_with_1() -> None:
    async with emulator_with(disks=200, virtual_machines=200, latency=0.8) as emulator:
        Path("plan.csv").write_text(plan(emulator))
        execution = await watched_run("a.run", emulator.url)
        with anyio.fail_after(30):
            while not emulator.ledger.total:
                await anyio.sleep(0.01)
        async with on_terminal("status", "a.run", "--watch") as terminal:
            await terminal.sees("Ctrl-C ends the watching only.")
            execution.kill()
            assert await terminal.ends() == 1
            await terminal.sees("Stopped unexpectedly: its process was killed or crashed.")
            await terminal.sees("Resume: katapult-async resume a.run")
        await execution.wait()
        code, out, err = await run("status", "a.run", "--watch", "--json")
        assert (code, err) == (1, "katapult-async: a.run is not done: its process was killed or crashed\n")
        assert msgspec.json.decode(out, type=StatusDocument).run.state.value == "killed"


async def test_ctrl_c_ends_the_watching_and_not_the_run() -> None:
    with Manifest.from_items([("disk_1", "vm_1")]) as manifest, Run.create("a.run", manifest):
        async with on_terminal("status", "a.run", "--watch") as terminal:
            await terminal.sees("Ctrl-C ends the watching only.")
            terminal.types("\x03")
            assert await terminal.ends() == 130


# -- runs ------------------------------------------------------------------------------------------


async def test_runs_lists_every_journal_of_a_folder_and_the_damaged_ones_as_such(tmp_path: Path) -> None:
    assert await run("runs") == (0, "No runs in ..\n", "")
    a_run("plan.csv.run", 2000, confirmed=False)
    a_run("another name")
    (tmp_path / "plan.csv").write_text("disk,virtual_machine\n")
    (tmp_path / "damaged.run").write_bytes(b"SQLite format 3\0" + b"\0" * 500)
    (tmp_path / "folder.run").mkdir()
    code, out, err = await run("runs")
    assert (code, err) == (1, "")
    heading, damaged, *rest = out.splitlines()
    assert heading.split() == ["journal", "state", "done", "failed", "waiting", "last", "active"]
    assert damaged.startswith("damaged.run   damaged: damaged.run ")
    assert [line.split("  ")[0] for line in rest] == ["plan.csv.run", "another name"]
    assert re.search(r"not confirmed  0 of 2,000       0    2,000  never\n", out)
    code, out, _ = await run("runs", str(tmp_path), "--json")
    assert code == 1
    document = msgspec.json.decode(out, type=RunsDocument)
    assert [run.journal for run in document.runs] == ["damaged.run", "plan.csv.run", "another name"]
    (tmp_path / "damaged.run").unlink()
    assert (await run("runs"))[0] == 0


async def test_listing_a_folder_does_not_disturb_a_run_of_the_same_process(tmp_path: Path) -> None:
    """Opening and closing its file would take away the locks of SQLite."""
    from katapult_async.jobs.report.listing import listed_runs

    with Manifest.from_items([("disk_1", "vm_1")]) as manifest, Run.create("my run", manifest) as mine:
        mine.journal.query(sqlite3.Connection.execute, "BEGIN IMMEDIATE")
        assert [entry.state for entry, _ in listed_runs(tmp_path) if entry.state] == ["running"]
        script = "import sqlite3; sqlite3.connect('my run', timeout=0).execute('BEGIN IMMEDIATE')"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, stderr=asyncio.subprocess.PIPE
        )
        _, err = await process.communicate()
        assert b"database is locked" in err
        mine.journal.query(sqlite3.Connection.execute, "ROLLBACK")


async def test_a_folder_that_is_none_is_refused() -> None:
    code, out, err = await run("runs", "none")
    assert (code, out) == (2, "")
    assert err == "katapult-async: cannot list the folder none: No such file or directory\n"
    assert (await run("runs", ""))[0] == 2


# -- report ----------------------------------------------------------------------------------------


async def test_what_is_left_of_a_run_is_a_manifest_that_assign_carries_out() -> None:
    async with emulator_with(disks=30, virtual_machines=10) as emulator:
        header, *lines = plan(emulator).splitlines()
        lines = [line + (',"wanted, soon"' if number % 3 else ",") for number, line in enumerate(lines)]
        Path("plan.csv").write_text("\n".join([f"{header},note", *lines]))
        locked = emulator.world.virtual_machines[emulator.virtual_machine_ids[0]]
        locked.state = "migrating"
        common = ("--no-preflight", "--yes", "--base-url", emulator.url)
        code, _, _ = await run("assign", "plan.csv", *common)
        assert code == 1
        code, out, _ = await run("report", "plan.csv.run")
        assert code == 0
        assert "27 of 30 lines done, 3 failed." in out
        assert out.count("disk_") == 3
        assert "response time p99" in out
        code, out, _ = await run("report", "plan.csv.run", "--format", "manifest", "-o", "rest.csv")
        assert (code, out) == (0, "")
        assert len(Path("rest.csv").read_text().splitlines()) == 4
        locked.state = "started"
        code, out, _ = await run("assign", "rest.csv", *common)
        assert code == 0
        assert emulator.ledger.applied_more_than_once() == []
        assert emulator.ledger.applied_total["assign"] == 30
        with Journal.read("rest.csv.run") as journal:
            notes = {line.note for line in journal.lines()}
            assert journal.latency().requests == 3
        assert notes == {None, "wanted, soon"}


async def test_statuses_are_chosen_and_wrong_ones_refused() -> None:
    a_run(lines=3)
    code, out, _ = await run("report", "a.run", "--status", "waiting", "--format", "jsonl")
    assert code == 0
    *rows, last = out.splitlines()
    assert [msgspec.json.decode(row, type=LineRow).status for row in rows] == [LineStatus.WAITING] * 3
    assert msgspec.json.decode(last, type=RunRow).run.counts == {LineStatus.WAITING: 3}
    code, out, _ = await run("report", "a.run")
    assert "disk_" not in out
    code, out, _ = await run("report", "a.run", "--all")
    assert out.count("disk_") == 3
    for options, reason in (
        (("--status", "finished"), "'finished' is not a status. Statuses: assigned, "),
        (("--status", ""), "no status is given"),
        (("--status", "failed", "--all"), "--status and --all exclude each other"),
        (("-o", "report.pdf"), "end it with .csv, .json, .jsonl, .html or .txt, or give --format"),
        (("-o", ""), "--output is empty"),
    ):
        code, out, err = await run("report", "a.run", *options)
        assert (code, out) == (2, ""), options
        assert reason in err
        assert err.count("\n") == 1


async def test_the_name_of_the_file_chooses_the_format() -> None:
    a_run(lines=2)
    for name in ("r.json", "r.html", "r.csv"):
        assert await run("report", "a.run", "-o", name) == (0, "", "")
    assert json.loads(Path("r.json").read_text())["schema"] == "katapult-async/report/1"
    assert Path("r.html").read_text().startswith("<!doctype html>")
    assert len(Path("r.csv").read_text().splitlines()) == 3


async def test_nothing_is_written_of_a_journal_that_is_damaged_in_the_middle(tmp_path: Path) -> None:
    a_run(lines=5000)
    content = bytearray((tmp_path / "a.run").read_bytes())
    content[4096 * 40 : 4096 * 46] = b"\x5a" * (4096 * 6)
    (tmp_path / "a.run").write_bytes(content)
    forms = ("table", "csv", "json", "html")
    commands = [
        *(("report", "a.run", "--format", form) for form in forms),
        ("report", "a.run", "--format", "csv", "-o", "report"),
        ("status", "a.run"),
        ("status", "a.run", "--json"),
    ]
    for command in commands:
        code, out, err = await run(*command)
        assert (code, out) == (2, ""), command
        assert err.startswith("katapult-async: ")
        assert "a.run" in err
        assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.run"]
