"""The command line as its users meet it: a process, its output, its exit code."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from katapult_async import RetryPolicy
from katapult_async.cli.execute import carry_out
from katapult_async.cli.options import Screen
from katapult_async.client import ClientSettings
from katapult_async.jobs import Manifest, Run
from katapult_async.testing import FaultKind, Faults, KatapultEmulator
from tests import command_line
from tests.command_line import PROGRAM, TOKEN, emulator_with, environment, plan


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Journals go to the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


async def run(*arguments: str, stdin: str = "", env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Run a command; one that would ask is answered with --yes."""
    if arguments[:1] in (("assign",), ("rollback",)) and len(arguments) > 1:
        arguments = (*arguments, "--yes")
    return await command_line.run(*arguments, stdin=stdin, env=env)


async def test_the_same_manifest_twice_sends_no_assign_request_the_second_time(tmp_path: Path) -> None:
    async with emulator_with() as emulator:
        (tmp_path / "plan.csv").write_text(plan(emulator))
        arguments = ("plan.csv", "--base-url", emulator.url, "--organization", "acme")
        code, out, _ = await run("plan", *arguments)
        assert code == 0
        assert "60  to assign" in out
        assert "The run needs 60 requests" in out
        assert emulator.ledger.by_path["/disks/disk/assign"] == 0
        code, out, err = await run("assign", *arguments)
        assert code == 0
        assert "60 lines; the journal of this run is plan.csv.run" in err
        assert "assigned  60" in out
        assert emulator.ledger.by_path["/disks/disk/assign"] == 60
        code, out, err = await run("assign", *arguments)
        assert code == 0
        assert "60  already assigned" in out
        assert "Nothing has to be sent." in out
        assert "already assigned  60" in out
        assert "plan.csv.2.run" in err
        assert emulator.ledger.by_path["/disks/disk/assign"] == 60
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plan.csv", "plan.csv.2.run", "plan.csv.run"]


async def test_without_an_organization_it_says_what_to_do(tmp_path: Path) -> None:
    for command in ("plan", "assign"):
        code, out, err = await run(command, "-", stdin="disk,virtual_machine\ndisk_1,vm_1\n")
        assert code == 2
        assert out == ""
        assert "KATAPULT_ORGANIZATION" in err
    assert list(tmp_path.iterdir()) == []


async def test_assign_from_standard_input_as_json() -> None:
    async with emulator_with() as emulator:
        env = {"KATAPULT_API_KEY": TOKEN, "KATAPULT_BASE_URL": emulator.url}
        code, out, err = await run(
            *("assign", "-", "--json", "--no-preflight"),
            stdin=plan(emulator) + "disk_none,vm_none\n",
            env=env,
        )
        records = [json.loads(line) for line in out.splitlines()]
        assert code == 1
        assert len(records) == 62
        assert records[-1]["run"]["counts"] == {"assigned": 60, "failed": 1}
        failed = records[60]
        assert failed["status"] == "failed"
        assert failed["line"] == 62
        assert failed["code"] == "disk_not_found"
        assert failed["request_id"]
        assert "line 62: disk_none -> vm_none: failed" in err


async def test_what_cannot_be_done_is_seen_before_and_left_alone(tmp_path: Path) -> None:
    async with emulator_with(disks=6, virtual_machines=3) as emulator:
        world, (first, second, third) = emulator.world, emulator.virtual_machine_ids
        there, elsewhere, trashed, building, far, _ = (world.disks[disk] for disk in emulator.disk_ids)
        there.virtual_machine, elsewhere.virtual_machine = first, third
        world.trash(trashed)
        building.state = "building"
        far.data_center = world.data_centers[1]
        world.virtual_machines[second].state = "started"
        lines = "\n".join(f"{disk},{first}" for disk in emulator.disk_ids)
        extra = f"disk_none,{second}\ndisk_other,vm_none\n"
        (tmp_path / "plan.csv").write_text(f"disk,virtual_machine\n{lines}\n{extra}")
        arguments = ("plan.csv", "--base-url", emulator.url, "--organization", "acme")
        code, out, _ = await run("plan", *arguments, "--json")
        assert code == 1
        counts = json.loads(out)["counts"]
        assert counts == {
            "to_assign": 1,
            "already_there": 1,
            "assignment_conflict": 1,
            "disk_not_found": 1,
            "virtual_machine_not_found": 1,
            "in_trash": 1,
            "not_ready": 1,
            "data_centers_differ": 1,
        }
        code, out, _ = await run("assign", *arguments)
        assert code == 1
        assert f"line 3: {elsewhere.id} -> {first}: it is on {third}" in out
        # One that is to be assigned, and one that might be ready by then.
        assert emulator.ledger.by_path["/disks/disk/assign"] == 2
        assert elsewhere.virtual_machine == third
        code, out, _ = await run("report", "plan.csv.run", "--format", "json")
        lines_by_disk = {line["disk"]: line for line in json.loads(out)["lines"]}
        assert lines_by_disk[there.id]["status"] == "already_assigned"
        assert lines_by_disk[trashed.id]["code"] == "in_trash"
        assert lines_by_disk[far.id]["code"] == "data_centers_differ"
        assert lines_by_disk[building.id]["code"] == "unable_to_assign"


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
        (["assign", "-"], {"KATAPULT_API_KEY": "a b"}, "white space at position 2"),
        (["assign", "missing.csv"], {"KATAPULT_API_KEY": "t"}, "missing.csv: No such file"),
        (["assign", "-", "--base-url", "http://example.org"], {"KATAPULT_API_KEY": "t"}, "clear text"),
        (["assign", "-", "--concurrency", "0"], {"KATAPULT_API_KEY": "t"}, "concurrency"),
        (["assign"], {}, "MANIFEST"),
        (["nonsense"], {}, "nonsense"),
        (["resume", "none.run"], {"KATAPULT_API_KEY": "t"}, "none.run does not exist"),
        (["resume", __file__], {"KATAPULT_API_KEY": "t"}, "It was not changed"),
        (["status", "none.run"], {}, "none.run does not exist"),
        (["report", "none.run"], {}, "none.run does not exist"),
        (["rollback", "none.run"], {"KATAPULT_API_KEY": "t"}, "none.run does not exist"),
        (["plan", "-", "--log", "none/x"], {"KATAPULT_API_KEY": "t"}, "cannot write the log none/x"),
    ],
)
async def test_bad_usage_says_what_is_wrong(arguments: list[str], env: dict[str, str], words: str) -> None:
    code, _, err = await run(*arguments, env=env)
    assert code == 2
    assert words in err


async def test_a_refused_run_is_one_clear_sentence_and_goes_on_with_the_right_token() -> None:
    async with emulator_with(tokens=("other",)) as emulator:
        url = ("--base-url", emulator.url)
        code, out, err = await run("assign", "-", *url, "--organization", "acme", stdin=plan(emulator))
        assert code == 3
        assert "the preflight could not be made" in err
        assert "invalid_api_token" in err
        arguments = ("assign", "-", "--no-preflight", "--run", "a.run", *url)
        code, out, _ = await run(*arguments, stdin=plan(emulator))
        assert code == 3
        refusals = [line for line in out.splitlines() if line.startswith("The API refused the run")]
        assert len(refusals) == 1
        assert "invalid_api_token" in refusals[0]
        assert "KATAPULT_API_KEY" in refusals[0]
        assert "waiting  60" in out
        assert emulator.ledger.total <= 33
        code, out, _ = await run("resume", "a.run", *url, env={"KATAPULT_API_KEY": "other"})
        assert code == 0
        assert "assigned  60" in out


async def interrupted(
    emulator: KatapultEmulator, *arguments: str, times: int, when: Callable[[], bool]
) -> tuple[str, str]:
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        *arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(KATAPULT_API_KEY=TOKEN),
    )
    assert process.stderr is not None
    while not when():
        await asyncio.sleep(0.01)
    process.send_signal(signal.SIGINT)
    if times == 2:
        while b"in flight" not in (line := await process.stderr.readline()):
            assert line
        process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 130, err
    assert b"Traceback" not in err
    return out.decode(), err.decode()


async def test_the_first_interrupt_waits_the_second_does_not_and_both_can_be_resumed(tmp_path: Path) -> None:
    async with emulator_with(disks=500, virtual_machines=500, latency=0.05) as emulator:
        (tmp_path / "plan.csv").write_text(plan(emulator))
        ledger = emulator.ledger
        arguments = ("assign", "plan.csv", "--json", "--no-preflight", "--yes", "--base-url", emulator.url)
        out, err = await interrupted(emulator, *arguments, times=1, when=lambda: ledger.total > 40)
        assert "Interrupted. Resume: katapult-async resume plan.csv.run" in err
        counts = json.loads(out.splitlines()[-1])["run"]["counts"]
        assert set(counts) == {"assigned", "waiting"}
        assert sum(counts.values()) == 500
        assert counts["waiting"] > 200
        assert counts["assigned"] == ledger.applied_total["assign"]
        code, out, _ = await run("status", "plan.csv.run")
        assert code == 0
        assert "\nInterrupted 2" in out
        assert f"katapult-async resume plan.csv.run --base-url {emulator.url}\n" in out

        # After a while nothing is answered any more.
        silent_from = ledger.total + 60
        emulator.faults.script(
            lambda arrival: FaultKind.TIMEOUT_AFTER if arrival.sequence > silent_from else None
        )
        _, err = await interrupted(
            emulator,
            *("resume", "plan.csv.run", "--base-url", emulator.url),
            times=2,
            when=lambda: sum(arrival.fault is not None for arrival in ledger.arrivals) >= 8,
        )
        emulator.faults.script(None)
        # The same command goes on as well as `resume`. What was on the wire is read back.
        reads = ledger.by_path["/disks/disk"]
        code, _, err = await run(*arguments)
        assert code == 0
        assert "resuming the unfinished run of this manifest: plan.csv.run" in err
        assert ledger.by_path["/disks/disk"] >= reads + 8
        assert ledger.applied_total["assign"] == 500
        assert ledger.by_path["/disks/disk/assign"] == 500


#: Starts the program with a maximum size of files, in bytes. This stands for a full disk.
WITH_A_LIMIT = (
    "import os, resource, sys; limit = int(sys.argv[1]); resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
    "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
)


async def with_a_limit(limit: int, *arguments: str) -> tuple[int, str]:
    env = environment(KATAPULT_API_KEY=TOKEN)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WITH_A_LIMIT, str(limit), *PROGRAM[1:], *arguments),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        # What measures the coverage has no room for its own file then.
        env={name: value for name, value in env.items() if not name.startswith("COVERAGE")},
    )
    _, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, err.decode()


async def test_a_disk_without_room_for_a_journal_is_said_before_anything_is_sent(tmp_path: Path) -> None:
    async with emulator_with(disks=400, virtual_machines=400) as emulator:
        (tmp_path / "plan.csv").write_text(plan(emulator))
        arguments = ("assign", "plan.csv", "--no-preflight", "--yes", "--base-url", emulator.url)
        for too_small in (0, 20_000):
            code, err = await with_a_limit(too_small, *arguments)
            assert code == 2
            assert "othing was sent" in err
            assert "Traceback" not in err
            assert {path.name for path in tmp_path.iterdir()} == {"plan.csv"}
        assert emulator.ledger.total == 0


async def test_an_interrupt_while_the_manifest_is_read_is_said() -> None:
    process = await asyncio.create_subprocess_exec(
        *(*PROGRAM, "assign", "-", "--no-preflight"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(KATAPULT_API_KEY=TOKEN),
    )
    assert process.stdin is not None
    process.stdin.write(b"disk,virtual_machine\n" + b"\n" * 2_000_000)
    await process.stdin.drain()  # more than a pipe holds: it is reading
    await asyncio.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 130
    assert err.decode() == "katapult-async: interrupted while reading the manifest; nothing was sent\n"


async def test_a_run_is_attached_shown_and_rolled_back(tmp_path: Path) -> None:
    async with emulator_with(boot_disks=True, task_duration=0.05) as emulator:
        text = plan(emulator).replace("disk,virtual_machine\n", "disk,virtual_machine,attach\n")
        first, *rest = text.splitlines()
        lines = [f"{line},{'no' if number < 10 else ''}" for number, line in enumerate(rest)]
        (tmp_path / "plan.csv").write_text("\n".join([first, *lines]))
        common = ("--base-url", emulator.url)
        code, out, _ = await run("assign", "plan.csv", "--attach", "--organization", "acme", *common)
        assert code == 0
        assert "attached  50" in out
        assert "assigned  10" in out
        code, out, _ = await run("report", "plan.csv.run", "--format", "csv", "-o", "report.csv")
        assert code == 0
        rows = list(csv.DictReader((tmp_path / "report.csv").read_text().splitlines()))
        assert Counter(row["status"] for row in rows) == {"attached": 50, "assigned": 10}
        assert all(row["request_id"] and row["finished_at"] for row in rows)
        code, out, _ = await run("report", "plan.csv.run", "--all")
        assert code == 0
        assert len(out.splitlines()) > 60
        code, out, _ = await run("report", "plan.csv.run", "--format", "html")
        assert code == 0
        assert out.startswith("<!doctype html>")

        boots = [disk for disk in emulator.world.disks.values() if disk.boot]
        moved = emulator.world.disks[emulator.disk_ids[0]]
        home, moved.virtual_machine = moved.virtual_machine, emulator.virtual_machine_ids[5]
        code, out, _ = await run("rollback", "plan.csv.run", *common)
        assert code == 1
        assert "unassigned  59" in out
        assert f"{moved.id} is on {moved.virtual_machine}" in out
        assert emulator.ledger.applied_total["unassign"] == 59
        assert all(disk.virtual_machine for disk in boots)
        # What could not be rolled back is tried again, until nothing is left.
        code, out, err = await run("rollback", "plan.csv.run", *common)
        assert code == 1
        assert "1 line of plan.csv.run could not be rolled back: trying again" in err
        moved.virtual_machine = home
        code, out, _ = await run("rollback", "plan.csv.run", *common)
        assert code == 0
        assert "unassigned  60" in out
        assert emulator.ledger.applied_total["unassign"] == 60
        code, _, err = await run("rollback", "plan.csv.run", *common)
        assert code == 2
        assert "has been rolled back already" in err
        code, _, err = await run("resume", "plan.csv.run", *common)
        assert code == 2
        assert "was rolled back by" in err


async def test_lines_that_have_failed_are_tried_again_when_asked_to(tmp_path: Path) -> None:
    async with emulator_with(disks=6, virtual_machines=3) as emulator:
        (tmp_path / "plan.csv").write_text(plan(emulator))
        machine = emulator.world.virtual_machines[emulator.virtual_machine_ids[0]]
        machine.state = "migrating"
        common = ("--base-url", emulator.url)
        code, out, _ = await run("assign", "plan.csv", "--no-preflight", *common)
        assert code == 1
        assert "failed  2" in out
        machine.state = "started"
        code, out, _ = await run("resume", "plan.csv.run", *common)
        assert code == 1
        code, out, err = await run("resume", "plan.csv.run", "--retry-failed", *common)
        assert code == 0
        assert "trying 2 failed lines again" in err
        assert "assigned  6" in out
        assert emulator.ledger.applied_more_than_once() == []


async def test_a_report_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with Manifest.from_items([("disk_1", "vm_1")]) as manifest, Run.create("a.run", manifest):
        pass
    code, _, err = await run("report", "a.run", "-o", "none/report.csv")
    assert code == 2
    assert err == "katapult-async: cannot write none/report.csv: No such file or directory\n"
    assert {path.name for path in tmp_path.iterdir()} == {"a.run"}


def a_run(lines: int) -> None:
    """The journal `a.run` of a run that has not been executed."""
    with Manifest.from_items((f"disk_{n}", "vm_1") for n in range(lines)) as manifest:
        Run.create("a.run", manifest).close()


async def test_a_report_never_takes_the_place_of_the_run_it_is_of(tmp_path: Path) -> None:
    a_run(1)
    before = (tmp_path / "a.run").read_bytes()
    for name in ("a.run", "./a.run", "a.run-wal", "a.run.lock"):
        code, _, err = await run("report", "a.run", "--format", "csv", "-o", name)
        assert code == 2
        assert err.endswith("belongs to the journal a.run: name another file for the report\n")
    assert (tmp_path / "a.run").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.run"]


async def test_a_report_for_which_there_is_no_room_leaves_the_old_one(tmp_path: Path) -> None:
    a_run(3000)
    (tmp_path / "report.csv").write_text("the old one")
    arguments = ("report", "a.run", "--format", "csv", "-o", "report.csv")
    code, err = await with_a_limit(100_000, *arguments)
    assert code == 2
    assert err == "katapult-async: cannot write report.csv: File too large\n"
    assert (tmp_path / "report.csv").read_text() == "the old one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.run", "report.csv"]
    code, _, _ = await run(*arguments)
    assert code == 0
    assert len((tmp_path / "report.csv").read_text().splitlines()) == 3001


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there are no such files")
async def test_a_report_goes_to_standard_output_also_by_name() -> None:
    a_run(1)
    reports = [
        await run("report", "a.run", "--format", "csv", *output)
        for output in ((), ("-o", "-"), ("-o", "/dev/stdout"))
    ]
    assert len({tuple(report) for report in reports}) == 1
    assert reports[0][0] == 0
    assert "disk_0,vm_1,waiting" in reports[0][1]
    code, _, err = await run("report", "a.run", "-o", "/dev/full")
    assert code == 2
    assert err == "katapult-async: cannot write /dev/full: No space left on device\n"


async def test_a_log_names_the_run_and_each_request(tmp_path: Path) -> None:
    async with emulator_with(disks=3) as emulator:
        arguments = ("assign", "-", "--no-preflight", "--base-url", emulator.url, "--log", "log.txt")
        code, _, _ = await run(*arguments, stdin=plan(emulator))
        assert code == 0
    text = (tmp_path / "log.txt").read_text()
    requests = [line for line in text.splitlines() if "katapult_async.transport" in line]
    assert len(requests) == 3
    assert all(re.search(r"run=[0-9a-f]{12} request=[\w-]{8,}", line) for line in requests)
    assert TOKEN not in text


async def test_the_demo_runs_without_a_terminal() -> None:
    code, out, _ = await run(
        *("demo", "--disks", "80", "--virtual-machines", "20", "--limit", "60", "--window", "2"), env={}
    )
    assert code == 0
    assert "assigned  80" in out
    assert "80 disks on the wanted machine, 0 assigned twice" in out
    assert "katapult-async " not in out  # its journal is removed, so no command can use it


async def test_an_interrupted_demo_names_no_command() -> None:
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, "demo", stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    assert process.stderr is not None
    line = b""
    while b" assigned, " not in line:
        line = await process.stderr.readline()
        assert line, "the demo has ended"
    process.send_signal(signal.SIGINT)
    out, _ = await process.communicate()
    assert process.returncode == 130
    assert b"Interrupted." in out
    assert b"katapult-async " not in out


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
    code, out, _ = await run("assign", str(file), "--base-url", url, "--no-preflight")
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
            *("assign", "-", "--json", "--no-preflight", "--yes", "--base-url", emulator.url),
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
    for command in ("assign", "demo", "emulate", "plan", "report", "resume", "rollback", "status"):
        assert command in done.stdout


async def test_faults_do_not_reach_the_user() -> None:
    async with emulator_with(faults=Faults.everywhere(0.1, seed=5, methods=["POST"])) as emulator:
        emulator.faults.rates = {
            kind: rate for kind, rate in emulator.faults.rates.items() if "timeout" not in kind.value
        }
        code, out, _ = await run(
            "assign", "-", "--no-preflight", "--base-url", emulator.url, stdin=plan(emulator)
        )
        assert code == 0
        assert "assigned  60" in out
        assert emulator.ledger.applied_more_than_once() == []


async def test_a_short_plan_that_finds_nobody_there_is_a_refused_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with emulator_with() as emulator:
        nobody = emulator.url
        items = [(disk, emulator.virtual_machine_ids[0]) for disk in emulator.disk_ids[:3]]
    # In this process, to try again quickly.
    settings = ClientSettings(base_url=nobody, concurrency=4, retry=RetryPolicy(attempts=2, base=0.01))
    with Manifest.from_items(items) as manifest, Run.create("a.run", manifest) as durable:
        code = await carry_out(durable, TOKEN, settings, screen=Screen(), task_timeout=1.0)
    assert code == 3
    out = capsys.readouterr().out
    assert out.count("no connection") == 1
    assert "waiting  3" in out
    assert "Resume: katapult-async resume a.run" in out


async def test_pipes_get_no_escape_codes_whatever_the_environment_wants() -> None:
    env = {"KATAPULT_API_KEY": TOKEN, "FORCE_COLOR": "1", "GITHUB_ACTIONS": "true", "TERM": "xterm"}
    async with emulator_with() as emulator:
        code, out, _ = await run(
            *("assign", "-", "--no-preflight", "--base-url", emulator.url), stdin=plan(emulator), env=env
        )
    assert code == 0
    assert "assigned  60" in out
    code, _, err = await run("assign", env=env)
    assert code == 2
    assert "MANIFEST" in err


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
async def test_json_stays_on_standard_output_when_only_standard_error_is_a_terminal() -> None:
    import pty

    async with emulator_with() as emulator:
        terminal, side = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            *PROGRAM,
            *("assign", "-", "--json", "--no-preflight", "--yes", "--base-url", emulator.url),
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
    assert b"of 60  " in b"".join(shown)
    assert b"request_id" not in b"".join(shown)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says so when the other side is closed
        return b""


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
    assert done.stderr == "katapult-async: cannot read the manifest from standard input: it is closed\n"
