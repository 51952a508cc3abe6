"""Questions before a run changes anything, on real terminals, and the answers that count."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from katapult_async.jobs import Journal
from katapult_async.testing import KatapultEmulator
from tests.command_line import emulator_with, on_terminal, plan, run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
QUESTION = "Assign 60 disks in acme at 127.0.0.1:"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def unread() -> Iterator[int]:
    """A pipe that takes output."""
    reading, writing = os.pipe()
    yield writing
    os.close(reading)
    os.close(writing)


def arguments(emulator: KatapultEmulator) -> list[str]:
    Path("plan.csv").write_text(plan(emulator))
    return ["assign", "plan.csv", "--base-url", emulator.url, "--organization", "acme"]


def changes(emulator: KatapultEmulator) -> int:
    return emulator.ledger.by_path["/disks/disk/assign"] + emulator.ledger.by_path["/disks/disk/unassign"]


def files() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


@pytest.mark.parametrize(
    ("answer", "code", "left"),
    [
        ("n\n", 1, []),
        ("\n", 1, []),
        ("yesterday\n", 1, []),
        ("\x03", 130, []),
        ("\x04", 130, []),
        ("y\n", 0, ["plan.csv.run"]),
        (" YES \n", 0, ["plan.csv.run"]),
    ],
)
async def test_only_yes_starts_a_run(answer: str, code: int, left: list[str]) -> None:
    async with emulator_with() as emulator, on_terminal(*arguments(emulator)) as terminal:
        await terminal.sees(f"{QUESTION}{emulator.url.split(':')[2].split('/')[0]}? [y/N] ")
        assert changes(emulator) == 0
        terminal.types(answer)
        assert await terminal.ends() == code
        assert changes(emulator) == (60 if left else 0)
        assert ("nothing was sent" in terminal.shown) is (not left)
    assert files() == sorted(["plan.csv", *left])


@pytest.mark.parametrize("piped", [("stdout",), ("stderr",), ("stdout", "stderr")])
async def test_a_pipe_does_not_remove_the_question(piped: tuple[str, ...], unread: int) -> None:
    async with (
        emulator_with() as emulator,
        on_terminal(*arguments(emulator), **dict.fromkeys(piped, unread)) as terminal,  # type: ignore[arg-type]
    ):
        await terminal.sees(QUESTION)
        terminal.types("n\n")
        assert await terminal.ends() == 1
        assert changes(emulator) == 0


async def test_a_manifest_on_standard_input_is_asked_about_on_the_terminal(unread: int) -> None:
    async with emulator_with() as emulator:
        words = arguments(emulator)
        words[1] = "-"
        with Path("plan.csv").open() as manifest:  # noqa: ASYNC230
            async with on_terminal(*words, stdin=manifest.fileno(), stdout=unread) as terminal:
                await terminal.sees(QUESTION)
                terminal.types("n\n")
                assert await terminal.ends() == 1
        assert changes(emulator) == 0


async def test_keys_typed_before_the_question_do_not_answer_it() -> None:
    async with emulator_with(latency=0.3) as emulator, on_terminal(*arguments(emulator)) as terminal:
        await terminal.sees("preflight")
        terminal.types("y\n")
        await terminal.sees(QUESTION)
        terminal.types("n\n")
        assert await terminal.ends() == 1
        assert changes(emulator) == 0


@pytest.mark.parametrize("command", ["assign", "rollback", "resume"])
async def test_without_a_terminal_and_yes_nothing_is_done(command: str) -> None:
    async with emulator_with() as emulator:
        words = arguments(emulator)
        if command == "rollback":
            assert (await run(*words, "--yes"))[0] == 0
            words = ["rollback", "plan.csv.run", "--base-url", emulator.url]
        elif command == "resume":
            await stopped_at_the_question(emulator)
            words = ["resume", "plan.csv.run", "--base-url", emulator.url]
        before, total, there = changes(emulator), emulator.ledger.total, files()
        code, _, err = await run(*words)
        assert code == 2
        assert err == (
            "katapult-async: cannot ask for confirmation, because there is no terminal. Nothing was sent. To confirm, "
            "add --yes\n"
        )
        assert changes(emulator) == before
        assert emulator.ledger.total == total
        assert {"plan.csv", *there} >= set(files())


async def stopped_at_the_question(emulator: KatapultEmulator) -> None:
    """Leave the journal of a run that was killed before anybody answered."""
    async with on_terminal(*arguments(emulator)) as terminal:
        await terminal.sees(QUESTION)
        terminal.process.kill()
        await terminal.process.wait()
    assert "plan.csv.run" in files()


async def test_a_run_killed_at_its_question_is_looked_at_and_asked_about_when_it_is_resumed() -> None:
    async with emulator_with() as emulator:
        await stopped_at_the_question(emulator)
        there = emulator.world.disks[emulator.disk_ids[0]]
        there.virtual_machine = emulator.virtual_machine_ids[0]
        async with on_terminal("resume", "plan.csv.run", "--base-url", emulator.url) as terminal:
            await terminal.sees("Assign 59 disks in acme at 127.0.0.1:")
            assert "1  already assigned" in terminal.shown
            assert changes(emulator) == 0
            terminal.types("n\n")
            assert await terminal.ends() == 1
        assert changes(emulator) == 0
        code, out, _ = await run("resume", "plan.csv.run", "--base-url", emulator.url, "--yes")
        assert code == 0
        assert "1  already assigned" in out
        assert changes(emulator) == 59
        assert emulator.ledger.applied_total["assign"] == 59
        # The rollback leaves the disk that was there before.
        code, _, _ = await run("rollback", "plan.csv.run", "--base-url", emulator.url, "--yes")
        assert code == 0
        assigned = [disk.id for disk in emulator.world.disks.values() if disk.virtual_machine]
        assert assigned == [there.id]


async def test_a_run_killed_in_its_preflight_is_looked_at_when_it_is_resumed() -> None:
    async with emulator_with(latency=0.2) as emulator:
        async with on_terminal(*arguments(emulator)) as terminal:
            await terminal.sees("preflight")
            terminal.process.kill()
            await terminal.process.wait()
        lists = emulator.ledger.total
        async with on_terminal("resume", "plan.csv.run", "--base-url", emulator.url) as terminal:
            await terminal.sees(QUESTION)
            terminal.types("\x03")
            assert await terminal.ends() == 130
        assert emulator.ledger.total > lists
        assert changes(emulator) == 0


async def test_a_rollback_says_what_it_costs_and_asks() -> None:
    async with emulator_with() as emulator:
        assert (await run(*arguments(emulator), "--yes"))[0] == 0
        async with on_terminal("rollback", "plan.csv.run", "--base-url", emulator.url) as terminal:
            await terminal.sees("Unassign 60 disks in acme at 127.0.0.1:")
            assert "Rolling back 60 disks needs about 120 requests." in terminal.shown
            terminal.types("n\n")
            assert await terminal.ends() == 1
        assert changes(emulator) == 60
        assert files() == ["plan.csv", "plan.csv.run"]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
async def test_a_signal_at_the_question_sends_nothing(number: signal.Signals) -> None:
    async with emulator_with() as emulator, on_terminal(*arguments(emulator)) as terminal:
        await terminal.sees(QUESTION)
        terminal.process.send_signal(number)
        assert await terminal.ends() == 130
        assert changes(emulator) == 0
    assert files() == ["plan.csv"]


async def test_a_closed_terminal_ends_a_run_gently() -> None:
    async with (
        emulator_with(disks=400, virtual_machines=400, latency=0.05) as emulator,
        on_terminal(*arguments(emulator), "--no-preflight", "--yes") as terminal,
    ):
        with anyio.fail_after(30):
            while changes(emulator) < 40:
                await anyio.sleep(0.01)
        terminal.process.send_signal(signal.SIGHUP)
        assert await terminal.ends() == 130
        with Journal.read("plan.csv.run") as journal:
            summary = journal.summary()
        assert summary.sessions[-1].ended == "interrupted"
        assert {status.value for status in summary.counts} == {"assigned", "waiting"}
        assert summary.counts[next(iter(summary.counts))] == emulator.ledger.applied_total["assign"]


CANARY = "Assign 7 of 60 disks first (canary) in acme at 127.0.0.1:"


async def test_a_canary_asks_before_the_rest() -> None:
    async with (
        emulator_with() as emulator,
        on_terminal(*arguments(emulator), "--canary", "7", "--no-preflight") as terminal,
    ):
        await terminal.sees(CANARY)
        terminal.types("y\n")
        await terminal.sees("Assign the other 53 disks in acme at 127.0.0.1:")
        assert "Assigned 7 of 60 disks in " in terminal.shown
        assert changes(emulator) == 7
        terminal.types("y\n")
        assert await terminal.ends() == 0
        assert changes(emulator) == 60


async def test_a_canary_that_is_refused_leaves_a_run_to_resume() -> None:
    async with emulator_with() as emulator:
        async with on_terminal(*arguments(emulator), "--canary", "7", "--no-preflight") as terminal:
            await terminal.sees(CANARY)
            terminal.types("y\n")
            await terminal.sees("Assign the other 53 disks")
            terminal.types("n\n")
            assert await terminal.ends() == 1
            assert "nothing was sent" not in terminal.shown
            assert terminal.shown.count("Resume: katapult-async resume plan.csv.run") == 1
            assert terminal.shown.index("Resume: ") > terminal.shown.index("Assign the other 53 disks")
        assert changes(emulator) == 7
        resume = ("resume", "plan.csv.run", "--base-url", emulator.url)
        async with on_terminal(*resume) as terminal:
            await terminal.sees("Continue with 53 of 60 lines in acme at 127.0.0.1:")
            terminal.types("n\n")
            assert await terminal.ends() == 1
        code, _, err = await run(*resume)
        assert (code, "add --yes" in err) == (2, True)
        assert changes(emulator) == 7
        assert (await run(*resume, "--yes"))[0] == 0
        assert changes(emulator) == 60


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_canary_that_was_cut_off_is_not_forgotten(number: signal.Signals) -> None:
    """Nobody has agreed to send the other lines, so no command without --yes sends them."""
    async with emulator_with(latency=0.05) as emulator:
        words = (*arguments(emulator), "--no-preflight", "--yes")
        async with on_terminal(*words, "--canary", "40", "--concurrency", "1") as terminal:
            with anyio.fail_after(30):
                while not changes(emulator):
                    await anyio.sleep(0.01)
            terminal.process.send_signal(number)
            await terminal.process.wait()
        emulator.latency = 0
        sent = changes(emulator)
        assert sent < 40
        resume = ("resume", "plan.csv.run", "--base-url", emulator.url)
        code, _, err = await run(*resume)
        assert (code, "To confirm, add --yes" in err) == (2, True)
        assert changes(emulator) == sent
        assert (await run(*resume, "--yes"))[0] == 0
        assert changes(emulator) == 60


async def test_a_repeated_command_does_not_pass_a_failed_canary() -> None:
    async with emulator_with() as emulator:
        first, *rest = plan(emulator).splitlines()
        words = (*arguments(emulator), "--no-preflight", "--yes", "--canary", "5")
        Path("plan.csv").write_text("\n".join([first, "disk_none,vm_none", *rest]) + "\n")
        said = "1 line of the canary failed. The other 56 disks were not sent"
        for _ in range(3):
            code, _, err = await run(*words)
            assert (code, said in err) == (1, True), err
            assert changes(emulator) == 5
        assert (await run("resume", "plan.csv.run", "--base-url", emulator.url, "--yes"))[0] == 1
        assert emulator.ledger.applied_total["assign"] == 60


async def test_an_unfinished_run_is_continued_by_assign_only_after_a_question() -> None:
    """Whoever types `assign` may not know that a run of this manifest is under way."""
    async with emulator_with() as emulator:
        words = (*arguments(emulator), "--no-preflight")
        async with on_terminal(*words, "--canary", "7") as terminal:
            await terminal.sees(CANARY)
            terminal.types("y\n")
            await terminal.sees("Assign the other 53 disks")
            terminal.types("n\n")
            assert await terminal.ends() == 1
        code, _, err = await run(*words)
        assert (code, "add --yes" in err) == (2, True)
        async with on_terminal(*words) as terminal:
            await terminal.sees("Continue with 53 of 60 lines")
            assert changes(emulator) == 7
            terminal.types("n\n")
            assert await terminal.ends() == 1
        async with on_terminal(*words, "--canary", "9") as terminal:
            await terminal.sees("Continue with 9 of 60 lines first (canary)")
            terminal.types("n\n")
            assert await terminal.ends() == 1
        assert changes(emulator) == 7
        assert (await run(*words, "--yes"))[0] == 0
        assert changes(emulator) == 60


async def test_keys_do_not_show_while_a_run_is_under_way() -> None:
    async with (
        emulator_with(disks=200, virtual_machines=200, latency=0.1) as emulator,
        on_terminal(*arguments(emulator), "--no-preflight", "--yes") as terminal,
    ):
        await terminal.sees("assigning")
        terminal.types("keys that nobody wants\n")
        assert await terminal.ends() == 0
        assert "nobody wants" not in terminal.shown
        assert changes(emulator) == 200


async def test_a_process_in_the_background_does_not_ask() -> None:
    """A read from the terminal would stop it for ever."""
    async with emulator_with() as emulator:
        words = " ".join(arguments(emulator))
        # The shell puts a background job into a group of its own.
        script = (
            f"set -m; {sys.executable} -m katapult_async.cli {words} < /dev/null & wait $!; echo ended $?"
        )
        async with on_terminal("-c", script, program=["/bin/sh"]) as terminal:
            await terminal.sees("ended 2")
        assert changes(emulator) == 0
