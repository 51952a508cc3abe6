"""The command line as its users meet it: a process, its output, its exit code."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from katapult_async import Assignment, RetryPolicy
from katapult_async.cli.bulk import carry_out
from katapult_async.client import Settings
from katapult_async.testing import FaultKind, Faults, KatapultEmulator

TOKEN = "s3cret-token"
PROGRAM = [sys.executable, "-W", "error", "-m", "katapult_async.cli"]


def environment(**extra: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KATAPULT")}
    return {**kept, **extra}


async def run(*arguments: str, stdin: str = "", env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        *arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(**(env if env is not None else {"KATAPULT_API_KEY": TOKEN})),
    )
    out, err = await process.communicate(stdin.encode())
    assert "Traceback" not in err.decode(), err.decode()
    assert "\x1b" not in out.decode() + err.decode()
    assert TOKEN not in out.decode() + err.decode()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def plan(emulator: KatapultEmulator) -> str:
    machines = emulator.virtual_machine_ids
    lines = (f"{disk},{machines[n % len(machines)]}" for n, disk in enumerate(emulator.disk_ids))
    return "disk,virtual_machine\n" + "\n".join(lines) + "\n"


def emulator_with(**options: object) -> KatapultEmulator:
    settings: dict[str, object] = {"disks": 60, "virtual_machines": 20, "tokens": (TOKEN,), **options}
    return KatapultEmulator(**settings)  # type: ignore[arg-type]


async def test_assign_from_a_file(tmp_path: Path) -> None:
    async with emulator_with() as emulator:
        file = tmp_path / "plan.csv"
        file.write_text(plan(emulator))
        code, out, _ = await run("assign", str(file), "--base-url", emulator.url)
        assert code == 0
        assert "assigned  60" in out
        assert len(emulator.ledger.applied) == 60
        again, out, _ = await run("assign", str(file), "--base-url", emulator.url)
        assert again == 0
        assert "already_assigned  60" in out
        assert len(emulator.ledger.applied) == 60


async def test_assign_from_standard_input_as_json() -> None:
    async with emulator_with() as emulator:
        env = {"KATAPULT_API_KEY": TOKEN, "KATAPULT_BASE_URL": emulator.url}
        code, out, err = await run(
            "assign", "-", "--json", stdin=plan(emulator) + "disk_none,vm_none\n", env=env
        )
        records = [json.loads(line) for line in out.splitlines()]
        assert code == 1
        assert len(records) == 62
        assert records[-1]["report"]["counts"] == {"assigned": 60, "failed": 1}
        failed = next(record for record in records[:-1] if record["status"] == "failed")
        assert failed["code"] == "disk_not_found"
        assert failed["request_id"]
        assert "disk_none -> vm_none: failed" in err


async def test_a_bad_plan_is_refused_whole() -> None:
    async with emulator_with() as emulator:
        bad = plan(emulator) + "vm_1,disk_1\n" * 30
        code, out, err = await run("assign", "-", "--base-url", emulator.url, stdin=bad)
        assert code == 2
        assert out == ""
        assert "<standard input>:62: vm_1 is a virtual machine, not a disk" in err
        assert "and 10 more" in err
        assert emulator.ledger.total == 0


@pytest.mark.parametrize(
    ("arguments", "env", "words"),
    [
        (["assign", "-"], {}, "KATAPULT_API_KEY is not set"),
        (["assign", "-"], {"KATAPULT_API_KEY": "a b"}, "blank at position 2"),
        (["assign", "missing.csv"], {"KATAPULT_API_KEY": "t"}, "missing.csv: No such file"),
        (["assign", "-", "--base-url", "http://example.org"], {"KATAPULT_API_KEY": "t"}, "clear text"),
        (["assign", "-", "--concurrency", "0"], {"KATAPULT_API_KEY": "t"}, "concurrency"),
        (["assign"], {}, "PLAN"),
        (["nonsense"], {}, "nonsense"),
    ],
)
async def test_bad_usage_says_what_is_wrong(arguments: list[str], env: dict[str, str], words: str) -> None:
    code, _, err = await run(*arguments, env=env)
    assert code == 2
    assert words in err


async def test_a_refused_run_is_one_clear_sentence() -> None:
    async with emulator_with(tokens=("other",)) as emulator:
        code, out, _ = await run("assign", "-", "--base-url", emulator.url, stdin=plan(emulator))
        assert code == 3
        refusals = [line for line in out.splitlines() if line.startswith("the run was refused")]
        assert len(refusals) == 1
        assert "invalid_api_token" in refusals[0]
        assert "KATAPULT_API_KEY" in refusals[0]
        assert "not_attempted  59" in out
        assert emulator.ledger.total <= 32


async def test_the_first_interrupt_waits_and_the_second_does_not() -> None:
    async with emulator_with(disks=500, virtual_machines=500, latency=0.05) as emulator:
        for times in (1, 2):
            if times == 2:
                # After a while nothing is answered any more.
                silent_from = emulator.ledger.total + 60
                emulator.faults.script(
                    lambda arrival, silent_from=silent_from: (  # type: ignore[misc]
                        FaultKind.TIMEOUT_AFTER if arrival.sequence > silent_from else None
                    )
                )
            process = await asyncio.create_subprocess_exec(
                *PROGRAM,
                *("assign", "-", "--json", "--base-url", emulator.url),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment(KATAPULT_API_KEY=TOKEN),
            )
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdin.write(plan(emulator).encode())
            process.stdin.close()
            await process.stdout.readline()
            if times == 2:
                while sum(arrival.fault is not None for arrival in emulator.ledger.arrivals) < 8:
                    await asyncio.sleep(0.01)
            process.send_signal(signal.SIGINT)
            if times == 2:
                assert b"in flight" in await process.stderr.readline()
                process.send_signal(signal.SIGINT)
            out, err = await asyncio.wait_for(process.communicate(), 20)
            assert process.returncode == 130, err
            assert b"Traceback" not in err
            assert b"interrupted" in err
            counts = json.loads(out.splitlines()[-1])["report"]["counts"]
            assert sum(counts.values()) == 500
            assert counts["not_attempted"] > 300
            assert ("unknown" in counts) == (times == 2)


async def test_the_demo_runs_without_a_terminal() -> None:
    code, out, _ = await run(
        *("demo", "--disks", "80", "--virtual-machines", "20", "--limit", "60", "--window", "2"), env={}
    )
    assert code == 0
    assert "assigned  80" in out
    assert "80 disks where they were wanted, 0 applied twice" in out


async def test_the_emulator_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    file = tmp_path / "plan.csv"
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        *("emulate", "--disks", "10", "--virtual-machines", "5", "--token", TOKEN, "--plan-out", str(file)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdout is not None
    first = (await process.stdout.readline()).decode()
    url = first.split("listens on ")[1].split()[0]
    code, out, _ = await run("assign", str(file), "--base-url", url)
    assert code == 0
    assert "assigned  10" in out
    process.send_signal(signal.SIGTERM)
    rest, err = await process.communicate()
    assert process.returncode == 0
    assert b"10 requests, 0 of them 429; 10 changes" in rest
    assert err == b""


async def test_a_closed_pipe_ends_quietly() -> None:
    async with emulator_with() as emulator:
        reading, writing = os.pipe()
        process = await asyncio.create_subprocess_exec(
            *PROGRAM,
            *("assign", "-", "--json", "--base-url", emulator.url),
            stdin=subprocess.PIPE,
            stdout=writing,
            stderr=subprocess.PIPE,
            env=environment(KATAPULT_API_KEY=TOKEN),
        )
        os.close(writing)
        assert process.stdin is not None
        assert process.stderr is not None
        os.close(reading)
        process.stdin.write(plan(emulator).encode())
        process.stdin.close()
        err = await process.stderr.read()
        await process.wait()
        assert b"Traceback" not in err
        assert process.returncode == 1


def test_help_is_quick_and_version_is_there() -> None:
    code = (
        "import sys; sys.argv = ['katapult-async', '--help']\n"
        "from katapult_async.cli import main\n"
        "try: main()\n"
        "except SystemExit as exit: assert not exit.code\n"
        "assert not {'aiohttp', 'anyio'} & set(sys.modules)\n"
    )
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    for command in ("assign", "demo", "emulate"):
        assert command in done.stdout


async def test_faults_do_not_reach_the_user() -> None:
    async with emulator_with(faults=Faults.everywhere(0.1, seed=5, methods=["POST"])) as emulator:
        emulator.faults.rates = {
            kind: rate for kind, rate in emulator.faults.rates.items() if "timeout" not in kind.value
        }
        code, out, _ = await run("assign", "-", "--base-url", emulator.url, stdin=plan(emulator))
        assert code == 0
        assert "assigned  60" in out
        assert emulator.ledger.applied_more_than_once() == []


async def test_a_short_plan_that_finds_nobody_there_is_a_refused_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with emulator_with() as emulator:
        nobody = emulator.url
        items = [Assignment(disk, emulator.virtual_machine_ids[0]) for disk in emulator.disk_ids[:3]]
    # In this process, to try again quickly.
    settings = Settings(base_url=nobody, concurrency=4, retry=RetryPolicy(attempts=2, base=0.01))
    code = await carry_out(TOKEN, iter(items), len(items), as_json=False, settings=settings)
    assert code == 3
    assert capsys.readouterr().out.count("no connection") == 1


async def test_pipes_get_no_escape_codes_whatever_the_environment_wants() -> None:
    env = {"KATAPULT_API_KEY": TOKEN, "FORCE_COLOR": "1", "GITHUB_ACTIONS": "true", "TERM": "xterm"}
    async with emulator_with() as emulator:
        code, out, _ = await run("assign", "-", "--base-url", emulator.url, stdin=plan(emulator), env=env)
    assert code == 0
    assert "assigned  60" in out
    code, _, err = await run("assign", env=env)
    assert code == 2
    assert "PLAN" in err


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
async def test_json_stays_on_standard_output_when_only_standard_error_is_a_terminal() -> None:
    import pty

    async with emulator_with() as emulator:
        terminal, side = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            *PROGRAM,
            *("assign", "-", "--json", "--base-url", emulator.url),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=side,
            env=environment(KATAPULT_API_KEY=TOKEN, TERM="xterm", COLUMNS="100", LINES="30"),
        )
        os.close(side)
        shown: list[bytes] = []
        asyncio.get_running_loop().add_reader(terminal, lambda: shown.append(_read(terminal)))
        try:
            out, _ = await asyncio.wait_for(process.communicate(plan(emulator).encode()), 30)
        finally:
            asyncio.get_running_loop().remove_reader(terminal)
            os.close(terminal)
    assert process.returncode == 0
    assert len([json.loads(line) for line in out.splitlines()]) == 61
    assert b"of 60 done" in b"".join(shown)
    assert b"request_id" not in b"".join(shown)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says so when the other side is closed
        return b""


async def test_a_plan_that_changes_under_way_ends_the_run_with_its_table(tmp_path: Path) -> None:
    async with emulator_with(disks=2000, virtual_machines=2000, limit=9999, latency=0.05) as emulator:
        file = tmp_path / "plan.csv"
        file.write_text(plan(emulator))
        process = await asyncio.create_subprocess_exec(
            *PROGRAM,
            *("assign", str(file), "--json", "--base-url", emulator.url),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(KATAPULT_API_KEY=TOKEN),
        )
        assert process.stdout is not None
        await process.stdout.readline()
        text = file.read_text()
        with file.open("r+") as opened:
            opened.write(text[:60000] + "x" * (len(text) - 60000))
        out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    assert b"Traceback" not in err
    assert b"the plan has changed since it was checked" in err
    counts = json.loads(out.splitlines()[-1])["report"]["counts"]
    assert counts["not_attempted"] > 0
    assert sum(counts.values()) == 2000


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
async def test_the_version_is_told_installed_or_not() -> None:
    code, out, _ = await run("--version")
    assert code == 0
    assert out.startswith("katapult-async ")


def test_a_closed_standard_input_is_said_in_a_sentence() -> None:
    code = "import sys; sys.stdin = None; sys.argv = ['k', 'assign', '-']; from katapult_async.cli import main; main()"
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(KATAPULT_API_KEY=TOKEN),
    )
    assert done.returncode == 2
    assert done.stderr == "katapult-async: there is no standard input to read the manifest from\n"
