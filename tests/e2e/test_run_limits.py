"""Sessions that send only the first lines of a run, or stop when too many lines fail."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from katapult_async import Client, Observer, RequestEvent, RetryPolicy
from katapult_async.jobs import Finding, Journal, LineState, LineStatus, Manifest, Run, RunState, RunSummary
from katapult_async.jobs.report.command_documents import PlanDocument
from katapult_async.testing import FaultKind, KatapultEmulator
from tests.command_line import TOKEN, emulator_with, plan, run


def run_of(emulator: KatapultEmulator, path: Path, *, attach: bool = False, missing: int = 0) -> Run:
    """A run of all disks of an emulator; the first ones do not exist."""
    machines = emulator.virtual_machine_ids
    disks = [f"disk_none{number}" for number in range(missing)] + list(emulator.disk_ids)
    pairs = [(disk, machines[number % len(machines)]) for number, disk in enumerate(disks)]
    with Manifest.from_items(pairs) as manifest:
        return Run.create(path, manifest, attach=attach)


def client(emulator: KatapultEmulator, **settings: object) -> Client:
    return Client(TOKEN, base_url=emulator.url, **settings)  # type: ignore[arg-type]


def counts(summary: RunSummary) -> dict[str, int]:
    return {status.value: number for status, number in summary.counts.items()}


@pytest.mark.parametrize("limit", [1, 7, 59, 60, 1000])
async def test_only_the_first_lines_are_sent_and_the_rest_later(tmp_path: Path, limit: int) -> None:
    async with emulator_with() as emulator, client(emulator) as api:
        with run_of(emulator, tmp_path / "a.run") as durable:
            summary = await durable.execute(api, limit_lines=limit)
            sent = min(limit, 60)
            assert summary.counts.get(LineStatus.ASSIGNED) == sent
            assert summary.counts.get(LineStatus.WAITING, 0) == 60 - sent
            assert emulator.ledger.by_path["/disks/disk/assign"] == sent
            done = [line.number for line in durable.journal.lines() if line.status is LineStatus.ASSIGNED]
            assert done == sorted(done)[:sent]
            assert summary.sessions[-1].ended == ("finished" if sent == 60 else "stopped_early")
            assert counts(await durable.execute(api)) == {"assigned": 60}
        assert emulator.ledger.by_path["/disks/disk/assign"] == 60


async def test_the_first_lines_are_attached_too_and_no_others(tmp_path: Path) -> None:
    async with emulator_with(task_duration=0.05) as emulator, client(emulator) as api:
        with run_of(emulator, tmp_path / "a.run", attach=True) as durable:
            assert counts(await durable.execute(api, limit_lines=6)) == {"attached": 6, "waiting": 54}
            assert counts(await durable.execute(api)) == {"attached": 60}
        assert emulator.ledger.applied_more_than_once() == []


async def test_at_a_slow_pace_few_lines_are_marked_before_their_turn(tmp_path: Path) -> None:
    path = tmp_path / "a.run"
    marked: list[int] = []

    class Looks(Observer):
        def on_request(self, event: RequestEvent) -> None:  # noqa: ARG002 - any will do
            if len(marked) % 5 == 4:
                with Journal.read(path) as journal:
                    states = [line.state for line in journal.lines()]
                    marked.append(states.count(LineState.SENT))
            else:
                marked.append(0)

    # After a crash, each of them would cost a request.
    async with (
        emulator_with(disks=300, virtual_machines=100) as emulator,
        client(emulator, concurrency=8, max_per_second=200, observer=Looks()) as api,
    ):
        with run_of(emulator, path) as durable:
            assert counts(await durable.execute(api)) == {"assigned": 300}
    assert 0 < max(marked) <= 8 + 48


@pytest.mark.parametrize(("most", "stops"), [(0, True), (4, True), (5, False), (100, False)])
async def test_too_many_failures_stop_a_session_gently(tmp_path: Path, most: int, stops: bool) -> None:
    async with emulator_with() as emulator, client(emulator, concurrency=1) as api:
        with run_of(emulator, tmp_path / "a.run", missing=5) as durable:
            summary = await durable.execute(api, max_failures=most)
            assert summary.counts[LineStatus.FAILED] == (most + 1 if stops else 5)
            assert (LineStatus.WAITING in summary.counts) is stops
            if stops:
                assert summary.state is RunState.STOPPED_EARLY
                assert summary.sessions[-1].reason == f"more than {most} lines failed"
            # Each session counts anew, and nothing is lost.
            summary = await durable.execute(api)
            assert counts(summary) == {"assigned": 60, "failed": 5}
        assert emulator.ledger.applied_more_than_once() == []


async def test_attaching_that_fails_counts_too(tmp_path: Path) -> None:
    async with emulator_with(task_duration=0.01) as emulator:
        emulator.faults.script(
            lambda arrival: FaultKind.SERVER_ERROR if arrival.path.endswith("/attach") else None
        )
        with run_of(emulator, tmp_path / "a.run", attach=True) as durable:
            retry = RetryPolicy(attempts=1)
            async with client(emulator, retry=retry, concurrency=1) as hasty:
                summary = await durable.execute(hasty, max_failures=2)
        assert summary.sessions[-1].reason == "more than 2 lines failed"
        assert emulator.ledger.applied_total["assign"] == 60


async def test_a_canary_of_the_command_line_goes_on_only_if_all_its_lines_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with emulator_with() as emulator:
        good, bad = plan(emulator), "disk,virtual_machine\ndisk_none,vm_none\n" + plan(emulator)[21:]
        common = ("--no-preflight", "--yes", "--canary", "5", "--base-url", emulator.url)
        Path("bad.csv").write_text(bad)
        code, out, err = await run("assign", "bad.csv", *common)
        assert code == 1
        assert "1 line of the canary failed. The other 56 disks were not sent\nResume: " in err
        assert emulator.ledger.applied_total["assign"] == 4
        Path("good.csv").write_text(good)
        code, out, err = await run("assign", "good.csv", *common, "--json")
        assert code == 0
        # The command continues, so it says neither that it stopped nor how to resume.
        assert "Assigned 1 of 60 disks" in err  # the other 4 are of the first manifest
        assert "The canary has ended.\n" in err
        assert "Stopped" not in err
        assert "Resume: " not in err
        assert len(out.splitlines()) == 61
        assert emulator.ledger.applied_total["assign"] == 60


async def test_max_failures_of_the_command_line_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with emulator_with() as emulator:
        missing = "".join(f"disk_none{number},vm_none\n" for number in range(9))
        Path("plan.csv").write_text("disk,virtual_machine\n" + missing + plan(emulator)[21:])
        common = ("--base-url", emulator.url, "--concurrency", "1")
        words = ("assign", "plan.csv", "--no-preflight", "--yes", "--max-failures", "3", *common)
        code, out, _ = await run(*words)
        assert code == 1
        assert "failed  4" in out
        assert (
            f"Stopped: more than 3 lines failed. Resume: katapult-async resume plan.csv.run --base-url {emulator.url}"
            in out
        )
        assert (
            json.loads((await run("status", "plan.csv.run", "--json"))[1])["run"]["state"] == "stopped_early"
        )
        code, _, err = await run("resume", "plan.csv.run", *common)
        assert (code, "To confirm, add --yes" in err) == (2, True)
        code, out, _ = await run("resume", "plan.csv.run", *common, "--yes")
        assert code == 1
        assert "assigned  60" in out
        assert "failed  9" in out


async def test_a_dry_run_is_a_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with emulator_with() as emulator:
        Path("plan.csv").write_text(plan(emulator))
        words = ("plan.csv", "--base-url", emulator.url, "--organization", "acme", "--json")
        code, dry, _ = await run("assign", *words, "--dry-run")
        assert code == 0
        _, planned, _ = await run("plan", *words)
        assert dry.partition('"seconds"')[0] == planned.partition('"seconds"')[0]
        assert msgspec.json.decode(planned, type=PlanDocument).counts == {Finding.TO_ASSIGN: 60}
        assert emulator.ledger.by_path["/disks/disk/assign"] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["plan.csv"]


async def test_a_request_takes_no_longer_than_the_time_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with emulator_with(disks=1) as emulator:
        emulator.faults.script(lambda arrival: FaultKind.TIMEOUT_BEFORE if arrival.sequence == 1 else None)
        Path("plan.csv").write_text(plan(emulator))
        words = ("assign", "plan.csv", "--no-preflight", "--yes", "--base-url", emulator.url)
        code, out, _ = await run(*words, "--timeout", "0.3")
        assert code == 0
        assert "Assigned 1 of 1 disk in " in out
