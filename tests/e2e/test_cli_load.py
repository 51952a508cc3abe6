"""The commands of load tests, as their users meet them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from katapult_async.load import from_json
from katapult_async.testing import Arrival, Counting, FaultKind, Faults, KatapultEmulator
from tests.command_line import (
    PROGRAM,
    TOKEN,
    check_output,
    emulator_with,
    environment,
    on_terminal,
    plan,
    run,
)
from tests.signs import until


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def server(**settings: object) -> KatapultEmulator:
    return emulator_with(**{"limit": 1_000_000, **settings})


def arguments(emulator: KatapultEmulator, action: str, *options: str, yes: bool = True) -> list[str]:
    Path("plan.csv").write_text(plan(emulator))
    given = ["load", "run", action, "--manifest", "plan.csv", "--base-url", emulator.url, "--max-lag", "1h"]
    return [*given, *options, *(["--yes"] if yes else [])]


def assigned(emulator: KatapultEmulator) -> list[str]:
    return [disk.id for disk in emulator.world.disks.values() if disk.virtual_machine is not None]


async def start(*words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *PROGRAM,
        *words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(KATAPULT_API_KEY=TOKEN),
    )


async def test_a_test_is_shown_and_written_in_all_forms() -> None:
    async with server() as emulator:
        files = ("-o", "a.json", "--html", "a.html", "--hlog", "a.hlog", "--fail-if", "p50>50s")
        code, out, err = await run(
            *arguments(
                emulator, "disk=3,assign=1", "--rate", "60", "--for", "1s", "--warm-up", "200ms", *files
            )
        )
        assert code == 0, out + err
        assert emulator.ledger.total >= 72
        assert "75% read disks, 25% assign and unassign disks, open loop, 60/s, for 1 s" in err
        assert "It sends about 72 requests." in err
        assert "It keeps to the rate limit." in err
        assert "are on no machine afterwards" in err
        assert "offered  60 calls, 60.0/s" in out
        assert "Valid: the client started its calls on time." in out, out
        assert from_json(Path("a.json").read_text()).offered == 60
        assert Path("a.html").read_text().startswith("<!doctype html>")
        assert "Tag=disk," in Path("a.hlog").read_text()
        assert assigned(emulator) == []
    code, again, _ = await run("load", "show", "a.json")
    assert (code, again) == (0, out)
    code, text, err = await run(
        "load", "show", "a.json", "--json", "--fail-if", "p50>1us", "--fail-if", "errors>0"
    )
    assert code == 1
    assert json.loads(text)["schema"] == "katapult-async/load/1"
    assert err.startswith("katapult-async: failed: p50>1us: it is ")
    assert len(err.splitlines()) == 1
    code, _, _ = await run("load", "report", "a.json", "-o", "b.html")
    assert code == 0
    assert Path("b.html").read_text().startswith("<!doctype html>")


async def test_an_invalid_test_exits_with_1_and_says_why() -> None:
    async with server(latency=0.3) as emulator:
        options = ("--rate", "20", "--for", "1s", "--max-in-flight", "4", "--json")
        code, out, err = await run(*arguments(emulator, "disk", *options))
        assert code == 1
        found = from_json(out)
        assert not found.valid
        assert "started late, because too many were in flight" in err


async def test_one_ctrl_c_leaves_every_disk_as_it_was() -> None:
    async with server(latency=0.05) as emulator:
        process = await start(
            *arguments(emulator, "assign", "--rate", "60", "--for", "10min", "-o", "a.json")
        )
        await until(lambda: len(assigned(emulator)) > 3)
        os.kill(process.pid, signal.SIGINT)
        out, err = (text.decode() for text in await process.communicate())
        check_output(out + err)
        assert process.returncode == 130, out + err
        assert "stopping: waiting for " in err
        assert "The test was stopped after" in out
        assert assigned(emulator) == []
        assert emulator.ledger.applied_total["assign"] == emulator.ledger.applied_total["unassign"]
        assert from_json(Path("a.json").read_text()).interrupted


async def test_two_ctrl_c_also_leave_every_disk_as_it_was() -> None:
    async with server(disks=12, virtual_machines=12, latency=0.5) as emulator:
        process = await start(*arguments(emulator, "assign", "--rate", "40", "--for", "10min"))
        await until(lambda: len(assigned(emulator)) > 3)
        os.kill(process.pid, signal.SIGINT)
        assert process.stderr is not None
        while b"stopping: waiting" not in await process.stderr.readline():
            pass
        os.kill(process.pid, signal.SIGINT)
        out, err = (text.decode() for text in await process.communicate())
        check_output(out + err)
        assert process.returncode == 130, out + err
        assert assigned(emulator) == []
        assert "interrupted" in err or "stopped after" in out


async def test_ctrl_c_while_disks_are_read_changes_nothing() -> None:
    async with server(latency=1.0) as emulator:
        process = await start(*arguments(emulator, "assign", "--rate", "40"))
        await until(lambda: emulator.ledger.total > 0)
        os.kill(process.pid, signal.SIGINT)
        _, err = await process.communicate()
        assert process.returncode == 130
        assert b"interrupted" in err
        assert emulator.ledger.applied == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
@pytest.mark.parametrize(("answer", "code"), [("n\n", 1), ("y\n", 0)])
async def test_it_asks_first(answer: str, code: int) -> None:
    async with server() as emulator:
        words = arguments(
            emulator, "disk", "--in-flight", "2", "--think", "50ms", "--for", "500ms", yes=False
        )
        async with on_terminal(*words) as terminal:
            await terminal.sees(f"Start this load test of 127.0.0.1:{emulator.port}? [y/N]")
            assert emulator.ledger.total == 0
            terminal.types(answer)
            assert await terminal.ends() == code
        assert (emulator.ledger.total > 0) is (code == 0)
        assert ("In a closed loop a slow server" in terminal.shown) is (code == 0)


async def test_without_a_terminal_it_needs_yes() -> None:
    async with server() as emulator:
        code, _, err = await run(*arguments(emulator, "disk", "--rate", "5", yes=False))
        assert code == 2
        assert "To confirm, add --yes" in err
        assert emulator.ledger.total == 0


async def test_a_refused_token_exits_with_3() -> None:
    async with server(tokens=("other",)) as emulator:
        code, _, err = await run(*arguments(emulator, "disk", "--rate", "20", "--for", "1min"))
        assert code == 3
        assert "could not be prepared" in err
        assert emulator.ledger.total == 1
        emulator.tokens[TOKEN] = emulator.tokens["other"]
        process = await start(*arguments(emulator, "disk", "--rate", "20", "--for", "1min"))
        await until(lambda: emulator.ledger.by_status[200] > 5)
        emulator.tokens.clear()
        out, _ = await process.communicate()
        assert process.returncode == 3
        assert b"stopped by an error" in out


async def test_two_processes_run_one_test_and_their_results_are_merged() -> None:
    async with server() as emulator:
        # No --start-at: a busy machine may start the processes later than any time given here.
        common = ("--rate", "60", "--for", "1s", "--budget", "file")
        processes = [
            await start(*arguments(emulator, "assign", *common, "--part", f"{k}/2", "-o", f"{k}.json"))
            for k in (1, 2)
        ]
        ends = await asyncio.gather(*(process.communicate() for process in processes))
        assert [process.returncode for process in processes] == [0, 0], ends
        assert assigned(emulator) == []
        assert emulator.ledger.applied_more_than_once("attach") == []
    code, out, err = await run("load", "merge", "1.json", "2.json", "-o", "all.json")
    both = from_json(Path("all.json").read_text())
    assert code == (0 if both.valid else 1), out + err
    assert all("at the same time" in problem for problem in both.problems), out
    assert "2 processes" in out
    parts = [from_json(Path(name).read_text()) for name in ("1.json", "2.json")]
    assert both.offered == sum(part.offered for part in parts) == 60
    assert both.latency.count == 60
    assert both.duration >= 1.0
    code, out, _ = await run("load", "compare", "1.json", "2.json", "--html", "c.html")
    assert code == 0
    assert "95 % interval" in out
    assert Path("c.html").read_text().count("<svg") == 8
    code, out, _ = await run("load", "compare", "1.json", "2.json", "--json", "--fail-if-slower")
    assert json.loads(out)["schema"] == "katapult-async/load-comparison/1"
    code, _, err = await run("load", "merge", "1.json", "1.json", "-o", "all.json")
    assert (code, err) == (2, "katapult-async: one result is given twice\n")


async def test_without_hdrhistogram_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "hdrh.py").write_text("raise ModuleNotFoundError('no hdrh', name='hdrh')\n")
    paths = f"{tmp_path}:{environment()['PYTHONPATH']}"
    async with server() as emulator:
        words = arguments(emulator, "disk", "--rate", "5")
        code, _, err = await run(*words, env={"KATAPULT_API_KEY": TOKEN, "PYTHONPATH": paths})
    assert code == 2
    assert err == "katapult-async: load tests need one more package: pip install 'katapult-async[load]'\n"


async def test_a_wait_for_the_rate_limit_is_shown_at_once() -> None:
    """Preparing reads 60 disks, and the window permits 4 requests."""
    async with emulator_with(counting=Counting(limit=4, period=30.0)) as emulator:
        process = await start(*arguments(emulator, "assign", "--rate", "1", "--window", "30"))
        assert process.stderr is not None
        with anyio.fail_after(60):
            while b"preparing, waits " not in (line := await process.stderr.readline()):
                assert line
        os.kill(process.pid, signal.SIGINT)
        await process.communicate()
    words = r"preparing, waits [\d.]+ s for .+ window.*, until \d\d:\d\d:\d\d \S+\n"
    assert re.fullmatch(words, line.decode()), line


async def test_a_test_that_waits_for_its_last_response_says_so() -> None:
    def hang(arrival: Arrival) -> FaultKind | None:
        return FaultKind.TIMEOUT_BEFORE if arrival.sequence == 5 else None

    faults = Faults()
    faults.script(hang)
    async with server(faults=faults) as emulator:
        words = arguments(emulator, "disk", "--rate", "20", "--for", "1s", "--timeout", "50")
        async with on_terminal(*words) as terminal:
            await terminal.sees(" s at most for 1 response")
            terminal.types("\x03")
            await terminal.sees("stopping: waiting for 1 request in flight")
            terminal.types("\x03")
            assert await terminal.ends() == 130
    assert re.search(r"waits 4\d s at most for 1 response", terminal.shown), terminal.shown
